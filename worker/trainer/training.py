"""Builds the trainer of a job and lets it train."""

import gc
from collections.abc import Callable
from dataclasses import replace

from app.artifacts.names import RESULTS
from worker.trainer.compose import compose_trainer, overrides
from worker.trainer.interrupts import Interrupts
from worker.trainer.mixins.exact_resume import exact_resume_of
from worker.trainer.plugins.interface import failures_named
from worker.trainer.protocol import JobFile
from worker.trainer.run import Composed, Emits, TrainingRun
from worker.trainer.state.not_exact import NotExact
from worker.trainer.upstream import pin_threads, settle

Composing = Callable[[TrainingRun], type[Composed]]


def train(job: JobFile, pipe: Emits, interrupts: Interrupts) -> None:
    """Train the job to its end.

    Raises:
        TrainerError: what is wrong has a name. All else is a bug, or memory.
    """
    settle(threads=job.threads)
    with failures_named(job.spec.trainer):
        train_run(TrainingRun(job, pipe, interrupts))


def train_run(run: TrainingRun, composing: Composing = compose_trainer) -> Composed:
    """Train to the end, and return the trainer; exactly where the run left off, if that can be.

    What cannot be equal may show only when the loaders are there. Then all is built once more, to
    go on plainly.

    Args:
        run: of the job.
        composing: makes the class of its trainer.
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
        # Without a traceback, which would hold the first trainer and all its memory.
        not_exact = NotExact(why.reason, str(why))
    exact.parts.clear()
    gc.collect()
    (run.job.run_directory / RESULTS).write_bytes(exact.results)
    return _trained(replace(run, not_exact=not_exact), composing)


def _trained(run: TrainingRun, composing: Composing) -> Composed:
    going_on = None if run.exact is None else run.exact.heading
    trainer = composing(run)(overrides=overrides(run.job, going_on))
    pin_threads(run.job.threads)
    trainer.train()
    return trainer
