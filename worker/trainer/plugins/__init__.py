"""The public names for packages of trainer plugins; the rest of this folder is internal."""

from worker.trainer.plugins.interface import GROUP, TRAINER_EVENTS, PluginOptions, TrainerPlugin

__all__ = ["GROUP", "TRAINER_EVENTS", "PluginOptions", "TrainerPlugin"]
