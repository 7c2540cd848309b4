"""Builds the trainer of a job and runs the training; a resume is exact where possible."""

import gc
from collections.abc import Callable
from dataclasses import replace

from app.artifacts.names import RESULTS
from worker.trainer.compose import compose_trainer, overrides
from worker.trainer.interrupts import Interrupts
from worker.trainer.mixins.exact_resume import exact_resume_of
from worker.trainer.plugins.interface import failures_named
from worker.trainer.protocol import JobFile
from worker.trainer.run import Emits, TrainerMixin, TrainingRun
from worker.trainer.state.not_exact import NotExact
from worker.trainer.upstream import configure_ultralytics, draw_text_as_written, pin_threads

Composing = Callable[[TrainingRun], type[TrainerMixin]]


def train(job_file: JobFile, pipe: Emits, interrupts: Interrupts) -> None:
    """Train the job to its end.

    Raises:
        TrainerError: A failure with a known reason. Any other exception is a bug, or memory ran
            out.
    """
    configure_ultralytics(threads=job_file.threads)
    if job_file.spec.train.plots:
        draw_text_as_written()
    with failures_named(job_file.spec.trainer):
        train_run(TrainingRun(job_file, pipe, interrupts))


def train_run(run: TrainingRun, composing: Composing = compose_trainer) -> TrainerMixin:
    """Train to the end and return the trainer. A resume is exact if possible, otherwise plain.

    Some differences show only when the loaders exist. Then the trainer is built a second time, for
    a plain resume.

    Args:
        run: The run of the job.
        composing: Returns the class of its trainer.
    """
    if run.job.resume_from is None:
        return _trained(run, composing)
    try:
        exact = exact_resume_of(run.job)
    except NotExact as why:
        return _trained(replace(run, not_exact=why), composing)
    try:
        return _trained(replace(run, exact=exact), composing)
    except NotExact as why:
        # A copy without the traceback, which would keep the first trainer and all its memory.
        not_exact = NotExact(why.reason, str(why))
    exact.parts.clear()
    gc.collect()
    (run.job.run_directory / RESULTS).write_bytes(exact.results)
    return _trained(replace(run, not_exact=not_exact), composing)


def _trained(run: TrainingRun, composing: Composing) -> TrainerMixin:
    resumed_from = None if run.exact is None else run.exact.header
    trainer = composing(run)(overrides=overrides(run.job, resumed_from))
    pin_threads(run.job.threads)
    trainer.train()
    return trainer
