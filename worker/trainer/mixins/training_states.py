"""Keeps the training state of the newest epoch in memory, and writes states."""

from pathlib import Path
from typing import Final

from app.artifacts.names import STATE
from worker.trainer.mixins.checkpoints import in_outbox
from worker.trainer.plugins.interface import saves_its_state
from worker.trainer.protocol import (
    NO_STATE_FILE,
    STORING_SECONDS_FILE,
    StateEvent,
    WarningEvent,
)
from worker.trainer.run import TrainerMixin
from worker.trainer.state.file import FORMAT, Digests, StateHeader, best_files
from worker.trainer.state.generators import Plain
from worker.trainer.state.loader import RecordedLoader
from worker.trainer.state.memory import SnapshotMemory
from worker.trainer.state.parts import parts_of
from worker.trainer.state.period import StatePeriod
from worker.trainer.state.sameness import Environment, environment_of
from worker.trainer.state.snapshot import Snapshot
from worker.trainer.state.writer import StateWriter, WrittenState

CHOSEN: Final = ("optimizer", "lr0", "warmup_bias_lr")
"""Arguments that Ultralytics chooses if the optimizer is `auto` (8.4.190, trainer.py:1223)."""

NO_ROOM: Final = (
    "The worker's disk has no room for a training state: a resume uses an older one, or is plain."
)
NO_MEMORY: Final = (
    "There is no memory for a copy of the training state: a pause continues from the last stored "
    "state, not from the last finished epoch."
)

_BYTES_PER_NUMBER: Final = 16
"""State bytes per parameter: weight, EMA, and two optimizer values, or one and a pending gradient.

Each of the four takes 4 bytes.
"""


class TrainingStates(TrainerMixin):
    """Takes a snapshot at the end of each epoch, and writes it when it is due.

    Overrides `_do_train` (around super), `hook_after_setup`, `hook_after_epoch` (both after super)
    and `hook_before_batch` (before super). At the end of an epoch all its files are already
    written, and `stop` already shows whether it was the last one. The state read here is the one
    that the next epoch, or a resume, starts with.

    A thread writes a due snapshot while the next epoch trains; only the first state of a job is
    written at once. The thread starts with the epoch's first batch, when the loader's workers are
    forked. If the training is interrupted, the newest snapshot is written before the process
    leaves. There are at most two: the one that is being written, and the newest. A job with a time
    budget gets no states, since its clock cannot be set back.
    """

    def __init__(self, *, overrides: dict[str, object]) -> None:
        self.__period: StatePeriod | None = None
        self.__writer = StateWriter(self.__file_of, self.__report)
        self.__memories: tuple[SnapshotMemory, ...] = ()
        self.__environment: Environment = {}
        self.__newest: Snapshot | None = None
        self.__due: Snapshot | None = None
        self.__last_written = 0
        super().__init__(overrides=overrides)

    def _do_train(self) -> None:
        """Write the newest snapshot if the training is interrupted."""
        try:
            super()._do_train()
        except BaseException:
            self.__write_newest()
            raise

    def hook_after_setup(self) -> None:
        """Start the period between states, unless the job has a time budget."""
        super().hook_after_setup()
        if self.run.job.spec.train.time is None:
            self.__period = StatePeriod(
                self.run.job.state_every, has_state=self.run.exact is not None
            )
            self.__memories = (SnapshotMemory(self.device), SnapshotMemory(self.device))
            self.__environment = environment_of(self.run.job)

    def hook_before_batch(self) -> None:
        """Start to write the snapshot of the previous epoch, if it is due."""
        if self.__due is not None:
            with self.run.interrupts.deferred():
                due, self.__due = self.__due, None
                self.__writer.start(due)
                self.__last_written = due.epoch
        super().hook_before_batch()

    def hook_after_epoch(self) -> None:
        """Take a snapshot; if the training ends here, write it at once."""
        super().hook_after_epoch()
        self.state_file, self.state_follows = None, False
        loader = self.__known_loader()
        if self.__period is None or loader is None:
            return
        self.__count_costs(self.__period)
        if self.stop:
            self.__write_now(self.__period, loader)
        else:
            self.__take_snapshot(self.__period, loader)

    def __count_costs(self, period: StatePeriod) -> None:
        """Count what writing and storing states has cost since the last epoch."""
        if self.__writer.snapshot is not None:
            return
        for written in self.__writer.ended():
            _count(period, written)
        report = Path(self.save_dir) / STORING_SECONDS_FILE
        if report.exists():
            period.stored(seconds=float(report.read_text(encoding="ascii")))
            report.unlink()

    def __take_snapshot(self, period: StatePeriod, loader: RecordedLoader) -> None:
        is_due = period.is_due(epoch=self.epoch + 1, expected_bytes=self.__expected_bytes())
        if is_due and period.has_no_state:
            # Handed over with its epoch: a kill between the two would make the resume plain.
            self.__write_now(period, loader)
            return
        if is_due:
            self.__writer.finish()  # with a fixed period the last state may still be written
        self.__forget_newest()
        memory = self.__free_memory()
        parts = None if memory is None else self.__copied_parts(memory)
        if parts is not None:
            self.__newest = self.__snapshot(loader, parts, memory)
        if is_due and self.__newest is None:
            self.__write_now(period, loader)
        elif is_due:
            period.writing()
            self.__due, self.state_follows = self.__newest, True

    def __free_memory(self) -> SnapshotMemory | None:
        """Return memory that is not being written; None if there was no memory for a copy."""
        written = self.__writer.snapshot
        free = (each for each in self.__memories if written is None or each is not written.memory)
        return next(free, None)

    def __copied_parts(self, memory: SnapshotMemory) -> Plain | None:
        try:
            copied: Plain = memory.copy_of(parts_of(self))
        except MemoryError:
            self.__memories = ()
            self.run.pipe.emit(WarningEvent(code="state_not_copied", message=NO_MEMORY))
            return None
        return copied

    def __write_now(self, period: StatePeriod, loader: RecordedLoader) -> None:
        """Write the state of this epoch without a copy, while the training waits."""
        self.__writer.finish()
        self.__forget_newest()
        written = self.__writer.write(self.__snapshot(loader, parts_of(self), None))
        _count(period, written)
        if written is None:
            self.__report(None)
        else:
            self.state_file = written.file

    def __write_newest(self) -> None:
        """Write the newest snapshot unless it is already written or the job is cancelled."""
        is_cancelled = (Path(self.save_dir) / NO_STATE_FILE).exists()
        if is_cancelled or self.run.interrupts.supervisor_gone:
            return
        with self.run.interrupts.deferred():
            try:
                self.__writer.finish()
            finally:
                newest, self.__newest = self.__newest, None
                if newest is not None and newest.epoch != self.__last_written:
                    self.__report(self.__writer.write(newest))

    def __forget_newest(self) -> None:
        newest, self.__newest = self.__newest, None
        if newest is not None and newest is not self.__writer.snapshot:
            newest.close()

    def __report(self, written: WrittenState | None) -> None:
        """Report a state that was written after the other files of its epoch; any thread calls it.

        None: the disk has no room for it.
        """
        if written is None:
            self.run.pipe.emit(WarningEvent(code="state_not_written", message=NO_ROOM))
            return
        file = str(written.file.relative_to(self.save_dir))
        self.run.pipe.emit(StateEvent(epoch=written.epoch, file=file))

    def __file_of(self, epoch: int) -> Path:
        return in_outbox(Path(self.save_dir), STATE, epoch)

    def __expected_bytes(self) -> int:
        return int(_BYTES_PER_NUMBER * sum(part.numel() for part in self.model.parameters()))

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

    def __snapshot(
        self, loader: RecordedLoader, parts: Plain, memory: SnapshotMemory | None
    ) -> Snapshot:
        header = StateHeader(
            format=FORMAT,
            epoch=self.epoch + 1,
            epochs=self.epochs,
            batch=self.batch_size,
            batches=loader.batches,
            loader_workers=loader.workers,
            arguments={name: getattr(self.args, name) for name in CHOSEN},
            environment=self.__environment,
            files=Digests().of([self.csv]),
        )
        return Snapshot(header, parts, best_files(Path(self.save_dir)), memory)


def _count(period: StatePeriod, written: WrittenState | None) -> None:
    if written is None:
        period.not_written()
    else:
        period.written(seconds=written.seconds, size=written.size)
