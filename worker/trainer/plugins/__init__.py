"""What a package of trainer plugins imports; the rest of this folder is Trainyard's own."""

from worker.trainer.plugins.interface import GROUP, TRAINER_EVENTS, PluginOptions, TrainerPlugin

__all__ = ["GROUP", "TRAINER_EVENTS", "PluginOptions", "TrainerPlugin"]
