"""Training states, written as epochs end."""

import time
from pathlib import Path
from typing import Final

from app.artifacts.names import STATE
from worker.trainer.errors import is_disk_full
from worker.trainer.plugins.interface import brings_its_state
from worker.trainer.protocol import STORING_SECONDS_FILE, WarningEvent
from worker.trainer.run import Composed
from worker.trainer.state.file import FORMAT, Digests, Heading, best_files, write_state
from worker.trainer.state.loader import NotedLoader
from worker.trainer.state.parts import parts_of
from worker.trainer.state.period import StatePeriod
from worker.trainer.state.sameness import environment_of

CHOSEN: Final = ("optimizer", "lr0", "warmup_bias_lr")
"""Arguments that Ultralytics chooses where the optimizer is `auto` (8.4.190, trainer.py:1223)."""

NO_ROOM: Final = (
    "The worker's disk has no room for a training state: a resume is from an older one, or plain."
)

_BYTES_PER_NUMBER: Final = 16
"""Of a model: weights, EMA, and two of the optimizer's or one and pending gradients."""


class TrainingStates(Composed):
    """Writes the training state where it is due, and always where the training ends.

    Overrides `hook_after_setup` and `hook_after_epoch` (both after super): at the end of an epoch
    all its files are written, and it is decided whether it was the last one. The next epoch, or a
    resume, begins with what is read here. A job with a time budget gets no states: its clock cannot
    be set back.
    """

    def __init__(self, *, overrides: dict[str, object]) -> None:
        self.__digests = Digests()
        self.__period: StatePeriod | None = None
        super().__init__(overrides=overrides)

    def hook_after_setup(self) -> None:
        """Start the period from one state to the next; none for a job with a time budget."""
        super().hook_after_setup()
        if self.run.job.spec.train.time is None:
            self.__period = StatePeriod(
                self.run.job.state_every, has_state=self.run.exact is not None
            )

    def hook_after_epoch(self) -> None:
        """Write the training state if it is due, or if the training ends here."""
        super().hook_after_epoch()
        self.has_new_state = False
        if self.__period is not None and self.__is_due(self.__period):
            self.__write(self.__period)

    def __is_due(self, period: StatePeriod) -> bool:
        told = Path(self.save_dir) / STORING_SECONDS_FILE
        if told.exists():
            period.stored(seconds=float(told.read_text(encoding="ascii")))
            told.unlink()
        expected = _BYTES_PER_NUMBER * sum(tensor.numel() for tensor in self.model.parameters())
        return period.is_due(epoch=self.epoch + 1, expected_bytes=expected) or self.stop

    def __write(self, period: StatePeriod) -> None:
        loader = self.__known_loader()
        if loader is None:
            return
        began = time.monotonic()
        heading, parts = self.__heading(loader), parts_of(self)
        try:
            size = write_state(self.wdir / STATE, heading, parts)
        except (OSError, RuntimeError) as error:
            if not is_disk_full(error):
                raise
            # All else of the epoch has found room: the job can do without.
            self.run.pipe.emit(WarningEvent(code="state_not_written", message=NO_ROOM))
            return
        period.cost(seconds=time.monotonic() - began, size=size)
        self.has_new_state = True

    def __known_loader(self) -> NotedLoader | None:
        """Return the training's loader; None: a plugin has what a state could not hold.

        It may bring loaders of its own, or state that it does not save.
        """
        plugin = self.plugin_class
        if plugin is not None and plugin.keeps_state and not brings_its_state(plugin):
            return None
        loader = self.noted_train
        is_known = loader is not None and loader.is_told and self.noted_val is not None
        return loader if is_known else None

    def __heading(self, loader: NotedLoader) -> Heading:
        return Heading(
            format=FORMAT,
            epoch=self.epoch + 1,
            epochs=self.epochs,
            batch=self.batch_size,
            batches=loader.batches,
            loader_workers=loader.workers,
            arguments={name: getattr(self.args, name) for name in CHOSEN},
            environment=environment_of(self.run.job),
            files=self.__digests.of([self.csv, *best_files(Path(self.save_dir))]),
        )
