"""Builds the trainer of a job and lets it train."""

from worker.trainer.compose import compose_trainer, overrides
from worker.trainer.interrupts import Interrupts
from worker.trainer.plugins import failures_named
from worker.trainer.protocol import JobFile
from worker.trainer.run import Emits, TrainingRun
from worker.trainer.upstream import pin_threads, settle


def train(job: JobFile, pipe: Emits, interrupts: Interrupts) -> None:
    """Train the job to its end.

    Raises:
        TrainerError: what is wrong has a name. All else is a bug, or memory.
    """
    settle(threads=job.threads)
    with failures_named(job.spec.trainer):
        trainer = compose_trainer(TrainingRun(job, pipe, interrupts))(overrides=overrides(job))
        pin_threads(job.threads)
        trainer.train()
