"""Builds the trainer of a job and lets it train."""

from worker.trainer.compose import compose_trainer, overrides
from worker.trainer.interrupts import Interrupts
from worker.trainer.plugins import failures_named, plugin_of
from worker.trainer.protocol import JobFile
from worker.trainer.run import Emits, TrainingRun
from worker.trainer.upstream import pin_threads, settle


def train(job: JobFile, pipe: Emits, interrupts: Interrupts) -> None:
    """Train the job to its end.

    Raises:
        TrainerError: what is wrong has a name. All else is a bug, or memory.
    """
    settle(threads=job.threads)
    plugin = plugin_of(job.spec.trainer, job.task)
    with failures_named(plugin):
        composed = compose_trainer(TrainingRun(job, pipe, interrupts), plugin)
        trainer = composed(overrides=overrides(job))
        pin_threads(job.threads)
        trainer.train()
