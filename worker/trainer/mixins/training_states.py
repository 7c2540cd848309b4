"""Writes training states at the end of epochs."""

import time
from pathlib import Path
from typing import Final

from app.artifacts.names import STATE
from worker.trainer.errors import is_disk_full
from worker.trainer.plugins.interface import saves_its_state
from worker.trainer.protocol import STORING_SECONDS_FILE, WarningEvent
from worker.trainer.run import TrainerMixin
from worker.trainer.state.file import FORMAT, Digests, StateHeader, best_files, write_state
from worker.trainer.state.loader import RecordedLoader
from worker.trainer.state.parts import parts_of
from worker.trainer.state.period import StatePeriod
from worker.trainer.state.sameness import environment_of

CHOSEN: Final = ("optimizer", "lr0", "warmup_bias_lr")
"""Arguments that Ultralytics chooses if the optimizer is `auto` (8.4.190, trainer.py:1223)."""

NO_ROOM: Final = (
    "The worker's disk has no room for a training state: a resume uses an older one, or is plain."
)

_BYTES_PER_NUMBER: Final = 16
"""State bytes per parameter: weight, EMA, and two optimizer values, or one and a pending gradient.

Each of the four takes 4 bytes.
"""


class TrainingStates(TrainerMixin):
    """Writes the training state when it is due, and always when the training ends.

    Overrides `hook_after_setup` and `hook_after_epoch` (both after super): at the end of an epoch
    all its files are already written, and `stop` already shows whether it was the last one. The
    state read here is the one that the next epoch, or a resume, starts with. A job with a time
    budget gets no states, since its clock cannot be set back.
    """

    def __init__(self, *, overrides: dict[str, object]) -> None:
        self.__digests = Digests()
        self.__period: StatePeriod | None = None
        super().__init__(overrides=overrides)

    def hook_after_setup(self) -> None:
        """Start the period between states, unless the job has a time budget."""
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
        report = Path(self.save_dir) / STORING_SECONDS_FILE
        if report.exists():
            period.stored(seconds=float(report.read_text(encoding="ascii")))
            report.unlink()
        expected = _BYTES_PER_NUMBER * sum(tensor.numel() for tensor in self.model.parameters())
        return period.is_due(epoch=self.epoch + 1, expected_bytes=expected) or self.stop

    def __write(self, period: StatePeriod) -> None:
        loader = self.__known_loader()
        if loader is None:
            return
        began = time.monotonic()
        header, parts = self.__header(loader), parts_of(self)
        try:
            size = write_state(self.wdir / STATE, header, parts)
        except (OSError, RuntimeError) as error:
            if not is_disk_full(error):
                raise
            # All other files of the epoch are written, so the job can continue without a state.
            self.run.pipe.emit(WarningEvent(code="state_not_written", message=NO_ROOM))
            return
        period.cost(seconds=time.monotonic() - began, size=size)
        self.has_new_state = True

    def __known_loader(self) -> RecordedLoader | None:
        """Return the training loader, or None if a training state would be incomplete.

        A plugin may have loaders of its own, or state that it does not save.
        """
        plugin = self.plugin_class
        if plugin is not None and plugin.keeps_state and not saves_its_state(plugin):
            return None
        loader = self.recorded_train_loader
        is_known = (
            loader is not None and loader.has_all_states and self.recorded_val_loader is not None
        )
        return loader if is_known else None

    def __header(self, loader: RecordedLoader) -> StateHeader:
        return StateHeader(
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
