"""Write the trainer's events to the database while it trains.

One thread reads the pipe into a spool on disk, so that the trainer never waits for the database.
Another thread writes the events in order, and continues where it was after an outage. An epoch is
written in one transaction with its checkpoint or a later one, after the bytes of that are durable:
a job can be resumed from what the API shows. A training state may follow its epoch.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

from pydantic import JsonValue, ValidationError
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from app.artifacts.names import LAST
from app.core.crash_points import CrashPoint, crash_point
from app.core.database import OUTAGE
from app.core.guarded_files import GuardedFolder
from app.core.logging import get_logger
from app.core.storage import ArtifactStore
from app.events.tables import Level
from app.jobs.end_reasons import EndReason
from app.jobs.life.recorded import RecordedRows, recorded_of
from app.jobs.life.recording import (
    EpochReport,
    ProgressReport,
    finish_progress,
    log_event,
    note_resumed,
    note_started,
    put_progress,
    record_epoch,
    record_progress,
    renew_lease,
)
from app.jobs.locks import Fenced, guarded_update
from app.jobs.spec.deciding_metric import DecidingMetric
from app.jobs.spec.metric_table import FITNESS
from app.jobs.states import Phase, Request
from app.jobs.tables import Job
from worker.attempt.checkpoints import StoredCheckpoint, record_checkpoints, store_checkpoint
from worker.attempt.claimed import AttemptFailed
from worker.attempt.event_limits import MAX_LINE_BYTES, EventLimits
from worker.attempt.lease import Lease, LeaseLost
from worker.attempt.spool import EventSpool
from worker.attempt.waiting_checkpoints import WaitingCheckpoints, as_checkpoint
from worker.trainer.protocol import (
    BatchEvent,
    CheckpointEvent,
    EpochEvent,
    ErrorEvent,
    FinalEvent,
    NoticeEvent,
    PhaseEvent,
    ResumedEvent,
    StartedEvent,
    StateEvent,
    TrainerEvent,
    WarningEvent,
    parse_event,
)
from worker.usage.epochs import EpochUse

PROGRESS_SECONDS = 1.0
PIPE_END_SECONDS = 10.0

log = get_logger(__name__)


class Relay:
    """Relays one trainer process; `final` and `error` keep its event of that type.

    Args:
        lease: the lease under which everything is written.
        store: receives the checkpoints.
        run: the run directory; paths in events are relative to it.
        epochs: the number of epochs in the spec.
        deciding: the metric that decides which epoch is the best.
        use: of the trainer and its slot, by epoch; None: nothing is measured.
    """

    def __init__(
        self,
        lease: Lease,
        store: ArtifactStore,
        run: GuardedFolder,
        *,
        epochs: int,
        deciding: DecidingMetric,
        use: EpochUse | None = None,
    ) -> None:
        self.use = use or EpochUse()
        self.final: FinalEvent | None = None
        self.error: ErrorEvent | None = None
        self.failure: Exception | None = None
        self.has_started = False
        self.batch_size: int | None = None
        self._lease = lease
        self._store = store
        self._run = run
        self._epochs = epochs
        self._deciding = deciding
        self._waiting = WaitingCheckpoints(run)
        self._limits = EventLimits(lease.hold.job_id)
        self._lines = EventLimits(lease.hold.job_id)
        self._unwritten: list[tuple[EpochEvent | None, StoredCheckpoint]] = []
        self._recorded: RecordedRows | None = None
        self._awaiting_state: int | None = None
        self._last_seq = 0
        self._phase: Phase | None = None
        self._progress: ProgressReport | None = None
        self._progress_at = 0.0
        self._epoch: EpochEvent | None = None

    @contextmanager
    def relaying(self, descriptor: int, spool_file: Path) -> Iterator[Self]:
        """Relay the events from the pipe's end `descriptor`, which is closed when the block ends.

        End the block only after every writer of the pipe is dead: then every event has been
        written, or `failure` is the reason why not. Unwritten events wait in `spool_file`.
        """
        with EventSpool(spool_file) as spool:
            reader = threading.Thread(target=self._read_pipe, args=(descriptor, spool), daemon=True)
            writer = threading.Thread(target=self._write_events, args=(spool,), daemon=True)
            reader.start()
            writer.start()
            try:
                yield self
            finally:
                reader.join(PIPE_END_SECONDS)
                if reader.is_alive():
                    log.error("relay.pipe_held_open", job_id=self._lease.hold.job_id)
                spool.end()
                writer.join()

    def handle(self, event: TrainerEvent) -> None:
        """Write one event; skip it if it was handled before.

        Raises:
            AttemptFailed: the trainer breaks the protocol.
            Fenced: the hold is not valid any more.
            LeaseLost: the database was unavailable for too long.
        """
        if event.seq <= self._last_seq:
            return
        self.has_started = True  # the trainer handles signals before it sends any event
        if self._limits.allows(event):
            self._handlers[type(event)](self, event)
        self._last_seq = event.seq

    def _read_pipe(self, descriptor: int, spool: EventSpool) -> None:
        try:
            with os.fdopen(descriptor, "rb") as pipe:
                while line := pipe.readline(MAX_LINE_BYTES):
                    self._spool_line(line, spool)
        except (OSError, AttemptFailed) as error:  # the supervisor raises it, as below
            self._fail(error)

    def _spool_line(self, line: bytes, spool: EventSpool) -> None:
        """Spool a valid line. It is parsed again when written: waiting events take no memory."""
        self._lines.check_length(line)
        try:
            event = parse_event(line)
        except ValidationError as error:
            self._lines.count_invalid_line(error)
            return
        if isinstance(event, BatchEvent) and not spool.is_empty:
            return  # outdated: earlier events wait to be written
        if isinstance(event, CheckpointEvent | StateEvent):
            self._waiting.add(as_checkpoint(event))
        self.use.hear(event)
        spool.append(line)

    def _write_events(self, spool: EventSpool) -> None:
        try:
            while (line := spool.take()) is not None:
                event = parse_event(line)
                if spool.is_empty or not isinstance(event, BatchEvent):
                    self.handle(event)
        except (Fenced, LeaseLost):
            log.info("relay.ended", job_id=self._lease.hold.job_id)
        except (DataError, IntegrityError):
            message = "The trainer sent an event that cannot be recorded."
            self._fail(AttemptFailed(EndReason.TRAINER_BUG, message))
        except Exception as error:  # noqa: BLE001 -- raised by the supervisor, which waits
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if isinstance(error, AttemptFailed):
            log.warning("relay.refused", job_id=self._lease.hold.job_id, reason=error.message)
        else:
            log.error("relay.failed", job_id=self._lease.hold.job_id, exc_info=error)
        self.failure = self.failure or error

    def _on_phase(self, event: PhaseEvent) -> None:
        """Write the phase with a renewal of the lease, which also brings the pending request.

        A validation comes after the last batch of an epoch, so the progress moves there. The return
        from validation to training is written with what comes next: an epoch or a batch.
        """
        before, self._phase = self._phase, event.phase
        if before is Phase.VALIDATING and event.phase is Phase.TRAINING:
            return
        hold, length = self._lease.hold, self._lease.length
        is_validation = event.phase is Phase.VALIDATING
        progress = self._progress if is_validation else None

        def enter(session: Session) -> Request | None:
            request = renew_lease(session, hold, lease=length, phase=event.phase)
            if progress is not None:
                put_progress(session, hold, replace(progress, batch=progress.batches))
            if event.epochs_done is not None:
                finish_progress(session, hold, event.epochs_done)
            return request

        self._lease.insist(lambda: self._lease.renew_with(enter))
        if progress is not None:
            self._progress_is_written(progress)
            self._progress = None  # of a finished epoch

    def _on_resumed(self, event: ResumedEvent) -> None:
        hold = self._lease.hold
        data = event.model_dump(include={"epoch", "reason", "message"}, exclude_none=True)

        def note(session: Session) -> None:
            note_resumed(session, hold, event.mode, event.epoch)
            level = Level.INFO if event.mode == "exact" else Level.WARNING
            log_event(session, hold, f"resume.{event.mode}", level=level, data=data)

        self._lease.write(note)

    def _on_started(self, event: StartedEvent) -> None:
        self.batch_size = event.batch_size
        data = event.model_dump(exclude={"seq", "at", "type"})
        hold, device_name = self._lease.hold, event.device_name
        progress = ProgressReport(
            epoch=event.first_epoch,
            epochs=max(event.epochs, event.first_epoch),
            batch=0,
            batches=event.batches_per_epoch,
            losses={},
            eta_seconds=None,
        )
        before = self._recorded_before()

        def note(session: Session) -> None:
            note_started(
                session, hold, device_name=device_name, first_epoch=event.first_epoch, data=data
            )
            put_progress(session, hold, progress)

        self._lease.write(note)
        self._recorded = replace(before, progress_epoch=event.first_epoch - 1)  # no batch yet

    def _on_batch(self, event: BatchEvent) -> None:
        """Write the progress at most once a second; drop it in an outage, it is soon outdated."""
        report = ProgressReport(
            epoch=event.epoch,
            epochs=event.epochs,
            batch=event.batch,
            batches=event.batches,
            losses=event.losses,
            eta_seconds=event.eta_seconds,
        )
        self._progress = report
        now = time.monotonic()
        if now - self._progress_at < PROGRESS_SECONDS:
            return
        hold, length = self._lease.hold, self._lease.length
        try:
            self._lease.renew_with(
                lambda session: record_progress(session, hold, report, lease=length)
            )
            self._progress_at = now
            self._progress_is_written(report)
        except OUTAGE:
            log.debug("progress.not_written", job_id=hold.job_id)

    def _progress_is_written(self, progress: ProgressReport) -> None:
        if self._recorded is not None:
            self._recorded = replace(self._recorded, progress_epoch=progress.epoch)

    def _on_epoch(self, event: EpochEvent) -> None:
        self._epoch = event  # written together with its checkpoint, which comes next

    def _on_checkpoint(self, event: CheckpointEvent) -> None:
        remaining = self._waiting.take(event)
        stored = store_checkpoint(self._store, remaining, self._run)
        crash_point(CrashPoint.CHECKPOINT_STORED)
        epoch = self._epoch if self._epoch and self._epoch.epoch == event.epoch else None
        self._epoch = None
        if event.state_follows:
            self._awaiting_state = event.epoch
        self._unwritten.append((epoch, stored))
        if LAST in event.files and LAST not in remaining.files:
            return  # superseded: the epoch is written with the later checkpoint that waits
        self._recorded = self._lease.write(self._recording(tuple(self._unwritten)))
        self._unwritten.clear()
        crash_point(CrashPoint.EPOCH_AFTER_COMMIT)

    def _on_state(self, event: StateEvent) -> None:
        remaining = self._waiting.take(as_checkpoint(event))
        stored = store_checkpoint(self._store, remaining, self._run)
        crash_point(CrashPoint.CHECKPOINT_STORED)
        if stored.files:
            self._recorded = self._lease.write(self._recording(((None, stored),)))
        if self._awaiting_state == event.epoch:
            self._awaiting_state = None

    def _recorded_before(self) -> RecordedRows:
        hold = self._lease.hold
        return self._recorded or self._lease.read(lambda session: recorded_of(session, hold))

    def _recording(
        self, unwritten: Sequence[tuple[EpochEvent | None, StoredCheckpoint]]
    ) -> Callable[[Session], RecordedRows]:
        hold, before = self._lease.hold, self._recorded_before()
        epochs = [epoch for epoch, _ in unwritten if epoch is not None]

        def record(session: Session) -> RecordedRows:
            recorded = before
            if not epochs:
                guarded_update(session, hold, {"last_seq": Job.last_seq})
            for epoch in epochs:
                recorded = record_epoch(session, hold, self._report(epoch), recorded)
            rows = record_checkpoints(
                session,
                hold,
                [checkpoint for _, checkpoint in unwritten],
                recorded.checkpoints,
                awaiting_state=self._awaiting_state,
            )
            crash_point(CrashPoint.EPOCH_BEFORE_COMMIT)
            return replace(recorded, checkpoints=rows)

        return record

    def _report(self, event: EpochEvent) -> EpochReport:
        value = self._value(event)
        return EpochReport(
            epoch=event.epoch,
            epochs=self._epochs,
            last_epoch=event.epochs,
            eta_seconds=event.eta_seconds,
            metrics=event.metrics,
            duration_seconds=event.seconds,
            optimizer_steps=event.optimizer_steps,
            lr=event.lr,
            system=self.use.row_of(event),
            classes=event.classes,
            deciding_metric=self._deciding.name,
            direction=self._deciding.direction,
            value=value,
            rank=self._deciding.rank_of(value),
            is_best=event.fitness is not None and event.fitness == event.best_fitness,
        )

    def _value(self, event: EpochEvent) -> float | None:
        value = self._deciding.value_of(event.metrics)
        # The validator of a trainer plugin may compute its fitness from its own columns.
        return event.fitness if value is None and self._deciding.name == FITNESS else value

    def _on_notice(self, event: NoticeEvent) -> None:
        data = event.model_dump(include={"code", "message", "data"})
        self._log("trainer.notice", Level.INFO, data)

    def _on_warning(self, event: WarningEvent) -> None:
        data: dict[str, JsonValue] = {"code": event.code, "message": event.message}
        self._log("trainer.warning", Level.WARNING, data)

    def _on_error(self, event: ErrorEvent) -> None:
        self.error = event

    def _on_final(self, event: FinalEvent) -> None:
        self.final = event

    def _log(self, type_: str, level: Level, data: dict[str, JsonValue]) -> None:
        hold = self._lease.hold
        self._lease.write(lambda session: log_event(session, hold, type_, level=level, data=data))

    _handlers: dict[type, Callable[..., None]] = {  # noqa: RUF012 -- a table, never changed
        PhaseEvent: _on_phase,
        ResumedEvent: _on_resumed,
        StartedEvent: _on_started,
        BatchEvent: _on_batch,
        EpochEvent: _on_epoch,
        CheckpointEvent: _on_checkpoint,
        StateEvent: _on_state,
        NoticeEvent: _on_notice,
        WarningEvent: _on_warning,
        ErrorEvent: _on_error,
        FinalEvent: _on_final,
    }
