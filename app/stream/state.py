"""Current state as items: all of it for a watcher that joins, then only what changed."""

from collections.abc import Iterator

from app.events.log import LogPosition
from app.events.views import DatasetState
from app.fleet.tables import Presence
from app.jobs.queue.occupants import share_done
from app.jobs.states import Phase
from app.stream.items import DatasetItem, Item, QueueOfProject, QueuesItem, SlotItem, TickItem
from app.stream.messages import StreamRunningJob, StreamSlot, StreamVerification
from app.stream.rendering import rendered_state
from app.stream.repository import RunningRow, StateRows, VerifyingRow

TIMED = frozenset({Phase.TRAINING, Phase.VALIDATING})
"""The phases in which the estimate of the remaining time is current."""

Counts = dict[QueueOfProject, tuple[int, int]]


class StateItems:
    """Turns what was read into items. Use it from one thread only."""

    def __init__(self) -> None:
        self._members: dict[str, tuple[RunningRow, str]] = {}
        self._slots: dict[str, tuple[Presence, RunningRow | None]] = {}
        self._slot_items: dict[str, SlotItem] = {}
        self._counts: Counts = {}
        self._verifying: dict[str, tuple[VerifyingRow, DatasetItem]] = {}

    def changes(self, rows: StateRows, at: LogPosition, id_: str) -> list[Item]:
        """Return what differs from the previous call.

        Args:
            rows: what was read now.
            at: up to where the log was sent.
            id_: `at`, sealed.
        """
        return [
            *self._tick(rows, at),
            *self._slot_changes(rows, at, id_),
            *self._queues(rows, at, id_),
            *self._progress(rows, at, id_),
        ]

    def everything(self, at: LogPosition, id_: str) -> list[Item]:
        """Return the state of the last call of `changes`, for a watcher that joins."""
        members = [(row.project_id, row.id, text) for row, text in self._members.values()]
        return [
            TickItem(at, tuple(members)),
            *self._slot_items.values(),
            QueuesItem(at, id_, self._counts, frozenset(self._counts)),
            *(item for _, item in self._verifying.values()),
        ]

    def _tick(self, rows: StateRows, at: LogPosition) -> Iterator[Item]:
        known, self._members, changed = self._members, {}, []
        for row in rows.running:
            before = known.get(row.id)
            if before is None or _shown(before[0]) != _shown(row):
                member = row, f'"{row.id}":{_running(row).model_dump_json()}'
                changed.append((row.project_id, row.id, member[1]))
            else:
                member = row, before[1]
            self._members[row.id] = member
        if changed:
            yield TickItem(at, tuple(changed))

    def _slot_changes(self, rows: StateRows, at: LogPosition, id_: str) -> Iterator[Item]:
        jobs = {row.worker_id: row for row in rows.running}
        known, self._slots = self._slots, {}
        items, self._slot_items = self._slot_items, {}
        for row in rows.slots:
            state = Presence.of(is_stopped=row.is_stopped, is_live=row.is_recent)
            job = jobs.get(row.id)
            self._slots[row.id] = state, job
            if row.id in known and _facts(known[row.id]) == _facts((state, job)):
                self._slot_items[row.id] = items[row.id]
            else:
                self._slot_items[row.id] = _slot_item(row.id, state, job, at, id_)
                yield self._slot_items[row.id]
        for gone in known.keys() - self._slots.keys():
            if known[gone][0] is not Presence.STOPPED:
                yield _slot_item(gone, Presence.STOPPED, None, at, id_)

    def _queues(self, rows: StateRows, at: LogPosition, id_: str) -> Iterator[Item]:
        counts: Counts = {(lane.project_id, lane.queue): (lane.waiting, 0) for lane in rows.lanes}
        for row in rows.running:
            queued, running = counts.get((row.project_id, row.queue), (0, 0))
            counts[row.project_id, row.queue] = queued, running + 1
        before, self._counts = self._counts, counts
        either = before.keys() | counts.keys()
        changed = frozenset(key for key in either if before.get(key) != counts.get(key))
        if changed:
            yield QueuesItem(at, id_, counts, changed)

    def _progress(self, rows: StateRows, at: LogPosition, id_: str) -> Iterator[Item]:
        known, self._verifying = self._verifying, {}
        for row in rows.verifying:
            before = known.get(row.id)
            if before is not None and before[0] == row:
                self._verifying[row.id] = before
                continue
            item = DatasetItem(
                at, row.project_id, rendered_state("dataset", _dataset(row), id_=id_)
            )
            self._verifying[row.id] = row, item
            if row.progress is not None:
                yield item


def _shown(row: RunningRow) -> RunningRow:
    return row._replace(worker_id=None, queue="")


def _running(row: RunningRow) -> StreamRunningJob:
    return StreamRunningJob(
        epoch=row.epoch,
        epochs=row.epochs,
        batch=row.batch,
        batches=row.batches,
        done=round(share_done(row.epoch, row.epochs, row.batch, row.batches) or 0.0, 4),
        eta_seconds=row.eta_seconds if row.phase in TIMED else None,
        losses=row.losses or {},
        log_bytes=row.log_bytes or 0,
    )


def _facts(known: tuple[Presence, RunningRow | None]) -> tuple[Presence, str | None]:
    state, job = known
    return state, None if job is None else job.id


def _slot_item(
    worker: str, state: Presence, job: RunningRow | None, at: LogPosition, id_: str
) -> SlotItem:
    busy = job is not None
    hidden = StreamSlot(worker=worker, state=state, busy=busy, job=None)
    shown = hidden if job is None else hidden.model_copy(update={"job": job.id})
    return SlotItem(
        at,
        None if job is None else job.project_id,
        rendered_state("fleet", shown, id_=id_),
        rendered_state("fleet", hidden, id_=id_),
    )


def _dataset(row: VerifyingRow) -> StreamVerification:
    progress = row.progress or {}
    return StreamVerification(
        id=row.dataset_id,
        version=row.id,
        state=DatasetState.VALIDATING,
        step=progress.get("step"),
        done=progress.get("done"),
    )
