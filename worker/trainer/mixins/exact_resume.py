"""Resume exactly: continue from a training state as if there had been no interruption."""

import shutil
from pathlib import Path
from typing import Any

from ultralytics.utils.torch_utils import unwrap_model

from app.artifacts.names import RESULTS
from worker.trainer.atomic_path import AtomicPath
from worker.trainer.mixins.plain_resume import NothingMoreToTrain, has_trained_its_last_epoch
from worker.trainer.plugins.interface import plugin_of, saves_its_state
from worker.trainer.protocol import JobFile, ResumedEvent
from worker.trainer.run import TrainerMixin
from worker.trainer.state.file import Digests, ExactResume, StateHeader, best_files, read_state
from worker.trainer.state.not_exact import OWN_LOADER, NotExact
from worker.trainer.state.parts import AT_FIRST_EPOCH, AT_SETUP, put_parts
from worker.trainer.state.sameness import compare_environment


def exact_resume_of(job_file: JobFile) -> ExactResume:
    """Read the training state that a job resumes from, and compare it with job and machine.

    Raises:
        NotExact: Continuing from this state would give different numbers.
    """
    if job_file.spec.train.time is not None:
        raise NotExact("time_budget", "The job has a time budget, which starts again on a resume.")
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
    batch = job_file.spec.train.batch
    if batch >= 1 and batch != header.batch:
        message = f"A batch had {header.batch} images, and now it has {int(batch)}."
        raise NotExact("other_batch", message)


def _compare_files(header: StateHeader, files: list[Path]) -> None:
    found = Digests().of(file for file in files if file.exists())
    if found != header.files:
        names = sorted(found.keys() | header.files.keys())
        differing = [name for name in names if found.get(name) != header.files.get(name)]
        message = f"These files changed after the state was written: {', '.join(differing)}."
        raise NotExact("other_files", message)


class ExactResuming(TrainerMixin):
    """Restores a training state in a trainer that is built as for a first start.

    Overrides `resume_training` (around super) and `hook_before_epoch` (before super). The trainer
    gets the arguments of the first start, not those of last.pt, so data, optimizer and class
    weights are set up the same way again. Ultralytics' setup clears gradients (8.4.190,
    trainer.py:494) and draws random numbers, so both are restored when the first epoch begins,
    before any of its callbacks.
    """

    def resume_training(self, ckpt: dict[str, Any] | None) -> None:
        """Restore the training state and report the resume; without a state, resume plainly."""
        resume = self.run.exact
        if resume is None:
            super().resume_training(ckpt)
            return
        self.__compare(resume.header)
        self.__restore_files(resume)
        super().resume_training(ckpt)
        decay = [group["weight_decay"] for group in self.optimizer.param_groups]
        self.__restore_parts(resume)
        if self.run.job.joint == resume.header.epoch:
            self.__extend_schedules(resume.header.epoch, decay)
        done = resume.header.epoch
        self.start_epoch = done
        self.run.pipe.emit(ResumedEvent(mode="exact", epoch=done, reason=None, message=None))
        if self.run.interrupts.stop_requested or self.__has_trained_its_last_epoch(done):
            self.epoch = done - 1
            raise NothingMoreToTrain

    def hook_before_epoch(self) -> None:
        """Restore, once, the parts of the state that Ultralytics' setup would have changed."""
        resume = self.run.exact
        if resume is not None and self.start_epoch > 0:
            # The loop has its own copy of `start_epoch`. At 0 the resumed epoch is like any other,
            # which Ultralytics may repeat when its loss is not finite (trainer.py:1100).
            self.start_epoch = 0
            put_parts(AT_FIRST_EPOCH, self, resume.parts)
            resume.parts.clear()  # frees several times the size of the model
        super().hook_before_epoch()

    def __compare(self, header: StateHeader) -> None:
        """Compare the loaders, which did not exist before, with those of the state."""
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

    def __restore_files(self, resume: ExactResume) -> None:
        AtomicPath(self.csv).write_bytes(resume.results)
        if self.run.job.resume_from is not None:  # NaN recovery loads last.pt
            shutil.copyfile(self.run.job.resume_from, self.last)

    def __restore_parts(self, resume: ExactResume) -> None:
        try:
            put_parts(AT_SETUP, self, resume.parts)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise NotExact("does_not_fit", f"The state does not fit the model: {error}") from error

    def __extend_schedules(self, joint: int, decay: list[float]) -> None:
        """Rebuild the schedules for the new number of epochs and reset patience.

        The loop derives learning rates and `close_mosaic` from `epochs` itself.
        """
        self.stopper.best_epoch = joint
        for group, value in zip(self.optimizer.param_groups, decay, strict=True):
            # Depends on the batches of an optimizer step, which a small number of epochs limits.
            group["weight_decay"] = value
        criterion: Any = unwrap_model(self.model).criterion
        if hasattr(criterion, "update"):
            criterion.updates -= 1
            criterion.update()

    def __has_trained_its_last_epoch(self, done: int) -> bool:
        progress = {"epoch": done - 1, "stopper": vars(self.stopper)}
        return has_trained_its_last_epoch(progress, self.epochs, self.stopper.patience)
