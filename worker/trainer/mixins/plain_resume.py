"""Resume plainly: continue from a checkpoint with the next epoch, or finalize after the last."""

import csv
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.trainer.atomic_path import AtomicPath
from worker.trainer.protocol import ResumedEvent
from worker.trainer.run import TrainerMixin
from worker.trainer.state.not_exact import OWN_LOADER, NotExact


class NothingMoreToTrain(Exception):
    """The checkpoint holds the last epoch; only finalizing is left."""


class Resuming(TrainerMixin):
    """Ultralytics' plain resume, extended to runs that have already trained their last epoch.

    Overrides `check_resume` (after super), `resume_training` (before super) and `_do_train` (around
    super). Drops rows of results.csv that are newer than the checkpoint, since results.csv is
    written before last.pt (trainer.py:664). A checkpoint of the job that this job extends was
    written for another number of epochs.
    """

    def check_resume(self, overrides: dict[str, object]) -> None:
        """Use the job's own number of epochs when it extends another job."""
        super().check_resume(overrides)
        if self.resume and self.run.job.joint is not None:  # the checkpoint may be of another job
            self.args.epochs = self.run.job.spec.train.epochs

    def resume_training(self, ckpt: dict[str, Any] | None) -> None:
        """Report a plain resume, trim results.csv, and skip the loop if no epoch is left."""
        if ckpt is not None and self.resume:
            done = ckpt["epoch"] + 1
            self.__report(done)
            trim_results(self.csv, last_epoch=done)
            if self.run.job.joint == done:
                ckpt["stopper"]["best_epoch"] = done  # resets patience
            stopping = self.run.interrupts.stop_requested
            if stopping or has_trained_its_last_epoch(ckpt, self.epochs, self.stopper.patience):
                self.__restore_progress(ckpt)
                raise NothingMoreToTrain
        super().resume_training(ckpt)

    def _do_train(self) -> None:
        """Finalize at once if no epoch is left."""
        try:
            super()._do_train()
        except NothingMoreToTrain:
            self.__finalize()

    def __report(self, done: int) -> None:
        why = self.run.not_exact or NotExact("no_state", "There is no training state.")
        loaders = (self.recorded_train_loader, self.recorded_val_loader)
        if why.reason == "no_state" and None in loaders:
            why = NotExact("unknown_loader", OWN_LOADER)  # no state can be written for it
        event = ResumedEvent(mode="plain", epoch=done, reason=why.reason, message=str(why))
        self.run.pipe.emit(event)

    def __restore_progress(self, ckpt: Mapping[str, Any]) -> None:
        if self.run.job.resume_from is not None:  # no epoch follows that would write last.pt
            shutil.copyfile(self.run.job.resume_from, self.last)
        self.epoch = ckpt["epoch"]
        self.best_fitness = ckpt["best_fitness"]
        vars(self.stopper).update(ckpt["stopper"])

    def __finalize(self) -> None:
        """Run the steps that Ultralytics runs after the last epoch (trainer.py:701)."""
        self.final_eval()
        if self.args.plots:
            self.plot_metrics()
        self.run_callbacks("on_train_end")
        for loader in (self.train_loader, self.test_loader):
            loader.close()


def has_trained_its_last_epoch(ckpt: Mapping[str, Any], epochs: int, patience: float) -> bool:
    """Return whether the run that wrote the checkpoint had trained its last epoch.

    Args:
        ckpt: A checkpoint as written by Ultralytics 8.4.190, trainer.py:800; `epoch` counts from 0.
        epochs: The number of epochs of the whole training.
        patience: The patience of early stopping (torch_utils.py:1142); infinite without it.
    """
    done = ckpt["epoch"] + 1
    return bool(done >= epochs or done - ckpt["stopper"]["best_epoch"] >= patience)


def trim_results(file: Path, *, last_epoch: int) -> None:
    """Drop the rows of results.csv after `last_epoch`; of repeated rows keep the last one."""
    if not file.exists():
        return
    header, *rows = file.read_text(encoding="utf-8").splitlines(keepends=True)
    by_epoch = {int(next(csv.reader([row]))[0]): row for row in rows}
    kept = [by_epoch[epoch] for epoch in sorted(by_epoch) if epoch <= last_epoch]
    AtomicPath(file).write_bytes("".join([header, *kept]).encode())
