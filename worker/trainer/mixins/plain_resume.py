"""Going on from a checkpoint: with the next epoch, or with finalizing where none is left."""

import csv
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.trainer.atomic_path import AtomicPath
from worker.trainer.protocol import ResumedEvent
from worker.trainer.run import Composed
from worker.trainer.state.not_exact import OWN_LOADER, NotExact


class NothingMoreToTrain(Exception):
    """The checkpoint holds the last epoch; only finalizing is left."""


class Resuming(Composed):
    """Ultralytics' plain resume, made to hold where a run had trained its last epoch already.

    Overrides `check_resume` (after super), `resume_training` (before super) and `_do_train` (around
    super). Drops rows of results.csv that are newer than the checkpoint: it is written before
    last.pt (trainer.py:664). A checkpoint of the job that this one extends was written for another
    number of epochs.
    """

    def check_resume(self, overrides: dict[str, object]) -> None:
        """Take the number of epochs from the job when it extends another one."""
        super().check_resume(overrides)
        if self.resume and self.run.job.joint is not None:  # the checkpoint may be of another job
            self.args.epochs = self.run.job.spec.train.epochs

    def resume_training(self, ckpt: dict[str, Any] | None) -> None:
        """Report a plain resume, trim results.csv, and skip the loop if no epoch is left."""
        if ckpt is not None and self.resume:
            done = ckpt["epoch"] + 1
            self.__tell(done)
            trim_results(self.csv, last_epoch=done)
            if self.run.job.joint == done:
                ckpt["stopper"]["best_epoch"] = done  # patience counts anew
            stopping = self.run.interrupts.stop_requested
            if stopping or has_trained_its_last_epoch(ckpt, self.epochs, self.stopper.patience):
                self.__stand_at(ckpt)
                raise NothingMoreToTrain
        super().resume_training(ckpt)

    def _do_train(self) -> None:
        """Finalize at once if no epoch is left."""
        try:
            super()._do_train()
        except NothingMoreToTrain:
            self.__finalize()

    def __tell(self, done: int) -> None:
        why = self.run.not_exact or NotExact("no_state", "There is no training state.")
        if why.reason == "no_state" and (self.noted_train is None or self.noted_val is None):
            why = NotExact("unknown_loader", OWN_LOADER)  # for which none could be written
        event = ResumedEvent(mode="plain", epoch=done, reason=why.reason, message=str(why))
        self.run.pipe.emit(event)

    def __stand_at(self, ckpt: Mapping[str, Any]) -> None:
        if self.run.job.resume_from is not None:  # nothing will be saved that takes its place
            shutil.copyfile(self.run.job.resume_from, self.last)
        self.epoch = ckpt["epoch"]
        self.best_fitness = ckpt["best_fitness"]
        vars(self.stopper).update(ckpt["stopper"])

    def __finalize(self) -> None:
        """Do what follows the last epoch (trainer.py:701)."""
        self.final_eval()
        if self.args.plots:
            self.plot_metrics()
        self.run_callbacks("on_train_end")
        for loader in (self.train_loader, self.test_loader):
            loader.close()


def has_trained_its_last_epoch(ckpt: Mapping[str, Any], epochs: int, patience: float) -> bool:
    """Tell whether the run that wrote the checkpoint would have trained on.

    Args:
        ckpt: as written by Ultralytics 8.4.190, trainer.py:800; `epoch` counts from 0.
        epochs: of the whole training.
        patience: of early stopping (torch_utils.py:1142), infinite where there is none.
    """
    done = ckpt["epoch"] + 1
    return bool(done >= epochs or done - ckpt["stopper"]["best_epoch"] >= patience)


def trim_results(file: Path, *, last_epoch: int) -> None:
    """Drop the rows of results.csv after `last_epoch`, and repeated ones."""
    if not file.exists():
        return
    header, *rows = file.read_text(encoding="utf-8").splitlines(keepends=True)
    by_epoch = {int(next(csv.reader([row]))[0]): row for row in rows}
    kept = [by_epoch[epoch] for epoch in sorted(by_epoch) if epoch <= last_epoch]
    AtomicPath(file).write_bytes("".join([header, *kept]).encode())
