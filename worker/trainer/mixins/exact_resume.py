"""Going on from a training state, as if the training had never been interrupted."""

import shutil
from pathlib import Path
from typing import Any

from ultralytics.utils.torch_utils import unwrap_model

from app.artifacts.names import RESULTS
from worker.trainer.atomic_path import AtomicPath
from worker.trainer.mixins.plain_resume import NothingMoreToTrain, has_trained_its_last_epoch
from worker.trainer.plugins.interface import plugin_of, saves_its_state
from worker.trainer.protocol import JobFile, ResumedEvent
from worker.trainer.run import Composed
from worker.trainer.state.file import Digests, ExactResume, StateHeader, best_files, read_state
from worker.trainer.state.not_exact import OWN_LOADER, NotExact
from worker.trainer.state.parts import AT_FIRST_EPOCH, AT_SETUP, put_parts
from worker.trainer.state.sameness import compare_environment


def exact_resume_of(job_file: JobFile) -> ExactResume:
    """Read the state that a job goes on from, and hold it to the job and to this machine.

    Raises:
        NotExact: from there the training would give other numbers.
    """
    if job_file.spec.train.time is not None:
        raise NotExact("time_budget", "The job trains for a time, which counts anew.")
    plugin = plugin_of(job_file.spec.trainer, job_file.task)
    if plugin is not None and plugin.plugin.keeps_state and not saves_its_state(plugin.plugin):
        message = f"The trainer plugin {plugin.name} keeps state that it does not save."
        raise NotExact("unsaved_plugin_state", message)
    if job_file.state_from is None:
        raise NotExact("no_state", "There is no training state of this epoch.")
    header, parts = read_state(job_file.state_from)
    compare_environment(header.environment, job_file)
    _compare_batch(header, job_file)
    results = job_file.run_directory / RESULTS
    _compare_files(header, [results, *best_files(job_file.run_directory)])
    return ExactResume(header, parts, results.read_bytes())


def _compare_batch(header: StateHeader, job_file: JobFile) -> None:
    asked = job_file.spec.train.batch
    if asked >= 1 and asked != header.batch:
        message = f"A batch had {header.batch} images, and now it has {int(asked)}."
        raise NotExact("other_batch", message)


def _compare_files(header: StateHeader, files: list[Path]) -> None:
    found = Digests().of(file for file in files if file.exists())
    if found != header.files:
        names = sorted(found.keys() | header.files.keys())
        differing = [name for name in names if found.get(name) != header.files.get(name)]
        message = f"Not as they were when the state was written: {', '.join(differing)}."
        raise NotExact("other_files", message)


class ExactResuming(Composed):
    """Puts a training state into a trainer that starts as for the first time.

    Overrides `resume_training` (around super) and `hook_before_epoch` (before super). The trainer
    has the arguments of its first start, and not those of last.pt, so that data, optimizer and
    class weights come about as they did. Ultralytics' setup clears gradients (8.4.190,
    trainer.py:494) and draws random numbers: both are put in as the first epoch begins, before any
    callback of it.
    """

    def resume_training(self, ckpt: dict[str, Any] | None) -> None:
        """Put the training state in, and report the resume; without a state, resume plainly."""
        resume = self.run.exact
        if resume is None:
            super().resume_training(ckpt)
            return
        self.__compare(resume.header)
        self.__lay_out(resume)
        super().resume_training(ckpt)
        decay = [group["weight_decay"] for group in self.optimizer.param_groups]
        self.__put(resume)
        if self.run.job.joint == resume.header.epoch:
            self.__begin_another_total(resume.header.epoch, decay)
        done = resume.header.epoch
        self.start_epoch = done
        self.run.pipe.emit(ResumedEvent(mode="exact", epoch=done, reason=None, message=None))
        if self.run.interrupts.stop_requested or self.__has_trained_its_last_epoch(done):
            self.epoch = done - 1
            raise NothingMoreToTrain

    def hook_before_epoch(self) -> None:
        """Put in, once, the parts of the state that Ultralytics' setup would have changed."""
        resume = self.run.exact
        if resume is not None and self.start_epoch > 0:
            # The loop has its own copy. From now on the epoch is one like any other, which may be
            # repeated when its loss is not finite (trainer.py:1100).
            self.start_epoch = 0
            put_parts(AT_FIRST_EPOCH, self, resume.parts)
            resume.parts.clear()  # it is as large as the model is, several times
        super().hook_before_epoch()

    def __compare(self, header: StateHeader) -> None:
        """Hold the loaders, which exist only by now, to those of the state."""
        loader = self.recorded_train_loader
        if loader is None or self.recorded_val_loader is None:
            raise NotExact("unknown_loader", OWN_LOADER)
        if loader.workers != header.loader_workers:
            raise NotExact(
                "other_workers",
                f"{header.loader_workers} processes loaded images, and now {loader.workers} do.",
            )
        if loader.batches != header.batches:
            message = f"An epoch had {header.batches} batches, and now it has {loader.batches}."
            raise NotExact("other_batches", message)

    def __lay_out(self, resume: ExactResume) -> None:
        AtomicPath(self.csv).write_bytes(resume.results)
        if self.run.job.resume_from is not None:  # NaN recovery goes back to it
            shutil.copyfile(self.run.job.resume_from, self.last)

    def __put(self, resume: ExactResume) -> None:
        try:
            put_parts(AT_SETUP, self, resume.parts)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise NotExact("does_not_fit", f"The state is not of this model: {error}") from error

    def __begin_another_total(self, joint: int, decay: list[float]) -> None:
        """Let schedules of the number of epochs be those of the new one, and patience count anew.

        The loop asks the learning rates of `epochs` itself, and closes the mosaic by it.
        """
        self.stopper.best_epoch = joint
        for group, value in zip(self.optimizer.param_groups, decay, strict=True):
            group["weight_decay"] = value  # by the batches of a step, which few epochs limit
        criterion: Any = unwrap_model(self.model).criterion
        if hasattr(criterion, "update"):
            criterion.updates -= 1
            criterion.update()

    def __has_trained_its_last_epoch(self, done: int) -> bool:
        stood = {"epoch": done - 1, "stopper": vars(self.stopper)}
        return has_trained_its_last_epoch(stood, self.epochs, self.stopper.patience)
