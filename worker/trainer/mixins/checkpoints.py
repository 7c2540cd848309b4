"""Atomic checkpoints without paths of this machine, linked into the outbox for the supervisor.

Ultralytics truncates the file and then writes it (8.4.190, trainer.py:832): a kill in between would
leave half a file.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from app.artifacts.names import BEST, LAST, RESULTS, STATE
from worker.trainer.atomic_path import AtomicPath, equal_files_linked
from worker.trainer.protocol import CheckpointEvent, CheckpointFile
from worker.trainer.run import TrainerMixin

OUTBOX: Final = "outbox"


class Checkpoints(TrainerMixin):
    """Writes checkpoints atomically, without paths, and links them into the outbox.

    Overrides `__init__` (after super), `save_model` (around super) and `hook_after_epoch` (after
    super, so that the epoch's own event comes first). A signal to leave waits until all of that
    hook is done: an epoch is reported with all of its files, or not at all. Adds nothing to a
    checkpoint. Works the same way on a resume.
    """

    def __init__(self, *, overrides: dict[str, object]) -> None:
        super().__init__(overrides=overrides)
        self.wdir = AtomicPath(self.wdir)
        self.last, self.best = self.wdir / LAST, self.wdir / BEST

    def save_model(self) -> bool:
        """Write last.pt and best.pt atomically, without paths of this machine; link equal ones."""
        # The model and its EMA share `args` with the trainer (detect/train.py:143, trainer.py:649).
        portable = portable_values(vars(self.args), self.run.job.model.name)
        with _replaced(self.args, portable), equal_files_linked():
            return super().save_model()

    def hook_after_epoch(self) -> None:
        """Link the epoch's files into the outbox and report them."""
        with self.run.interrupts.deferred():
            super().hook_after_epoch()
            self.__hand_over()

    def __hand_over(self) -> None:
        epoch = self.epoch + 1
        has_new_best = self.best_fitness == self.fitness and self.best.exists()
        self.run.pipe.emit(
            CheckpointEvent(
                epoch=epoch,
                files={
                    LAST: self.__link(self.last, epoch),
                    BEST: self.__link(self.best, epoch) if has_new_best else None,
                    **{
                        name: self.__link(self.wdir / name, epoch) if is_new else None
                        for name, is_new in self.kept_files.items()
                    },
                    RESULTS: self.__copy(self.csv, epoch),
                    **{plot.name: self.__link(plot, epoch) for plot in self.new_plots},
                    **self.__new_state(),
                },
                state_follows=self.state_follows,
            )
        )

    def __new_state(self) -> dict[CheckpointFile, str | None]:
        return {} if self.state_file is None else {STATE: self.__relative(self.state_file)}

    def __link(self, file: Path, epoch: int) -> str:
        target = in_outbox(Path(self.save_dir), file.name, epoch)
        os.link(file, target)
        return self.__relative(target)

    def __copy(self, file: Path, epoch: int) -> str:
        target = in_outbox(Path(self.save_dir), file.name, epoch)
        shutil.copyfile(file, target)  # a linked file would keep growing
        return self.__relative(target)

    def __relative(self, file: Path) -> str:
        return str(file.relative_to(self.save_dir))


def in_outbox(run_directory: Path, name: str, epoch: int) -> Path:
    """Return the place in the outbox for a file of an epoch, which is empty."""
    outbox = run_directory / OUTBOX
    outbox.mkdir(exist_ok=True)
    target = outbox / f"{epoch:06d}-{name}"
    target.unlink(missing_ok=True)
    return target


def portable_values(args: Mapping[str, Any], model_name: str) -> dict[str, Any]:
    """Return replacements for the training arguments that contain paths of this machine.

    The checkpoint can still be resumed: a resume passes model, data and save_dir again.
    """
    return {
        "data": Path(str(args["data"])).name,
        "model": model_name,
        "save_dir": None,
        "project": None,
        "name": None,
        "resume": False,
    }


@contextmanager
def _replaced(target: object, values: Mapping[str, Any]) -> Iterator[None]:
    before = {name: getattr(target, name) for name in values}
    vars(target).update(values)
    try:
        yield
    finally:
        vars(target).update(before)
