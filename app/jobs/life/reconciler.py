"""The reconciler: requeues jobs with expired leases, ends overdue jobs and rings again.

Any number of reconcilers can run at once. `due_actions`, a pure function of rows and database time,
decides what is due. Each action then locks its row and checks again, so that a second reconciler
finds nothing left to do.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import or_, select, tuple_, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, load_only

from app.core.background import Background
from app.core.crash_points import CrashPoint, crash_point
from app.core.database import OUTAGE, Database, database_now
from app.core.logging import get_logger
from app.fleet.repository import live_workers
from app.fleet.tables import Worker
from app.jobs.end_reasons import EndReason
from app.jobs.life.claim import best_job_of
from app.jobs.life.doorbell import Doorbell
from app.jobs.life.inspection_bells import InspectionBells
from app.jobs.life.transitions import AttemptEnd, Refused, apply_event
from app.jobs.locks import lock_job
from app.jobs.states import JobEvent, JobState
from app.jobs.tables import Attempt, Job
from app.settings.timing import Timing

log = get_logger(__name__)

MAX_RINGS = 8
"""The maximum number of bells per job. Busy slots do not read bells, so more would only pile up. An
idle slot is rung separately while a job waits that it can claim."""

MAX_WAITING = 500
"""Waiting jobs that are read at once. There are at most as many running jobs as slots."""
JUDGED = (
    Job.state,
    Job.attempt,
    Job.queue,
    Job.dispatch_seq,
    Job.dispatched_at,
    Job.not_before_at,
    Job.lease_expires_at,
    Job.timeout_seconds,
    Job.ran_seconds,
)
"""Columns of a `JobRow`. Specs are long and thousands of jobs may wait, so they are not read."""


@dataclass(frozen=True)
class JobRow:
    """The columns of a waiting or running job that decide what is due."""

    job_id: str
    state: JobState
    attempt: int
    queue: str
    dispatch_seq: int
    dispatched_at: datetime | None
    not_before_at: datetime | None
    lease_expires_at: datetime | None
    overdue_at: datetime | None


@dataclass(frozen=True)
class RequeueExpired:
    """The lease has expired: the worker is considered lost."""

    job_id: str
    attempt: int


@dataclass(frozen=True)
class EndOverdue:
    """The job has exceeded its time limit."""

    job_id: str
    attempt: int


@dataclass(frozen=True)
class RingAgain:
    """The bell may be lost: the job has not been claimed since."""

    job_id: str
    dispatch_seq: int


Action = RequeueExpired | EndOverdue | RingAgain


def due_actions(rows: Sequence[JobRow], now: datetime, timing: Timing) -> list[Action]:
    """Return the actions that are due at the database time `now`."""
    actions: list[Action] = []
    for row in rows:
        if row.state is JobState.RUNNING:
            if row.lease_expires_at is not None and row.lease_expires_at < now:
                actions.append(RequeueExpired(row.job_id, row.attempt))
            elif row.overdue_at is not None and row.overdue_at < now:
                actions.append(EndOverdue(row.job_id, row.attempt))
        elif _bell_is_due(row, now, timing):
            actions.append(RingAgain(row.job_id, row.dispatch_seq))
    return actions


def _bell_is_due(row: JobRow, now: datetime, timing: Timing) -> bool:
    if row.not_before_at is not None and row.not_before_at > now:
        return False
    if row.dispatch_seq > MAX_RINGS:
        return False
    if row.dispatched_at is None:
        return True
    pause = min(timing.doorbell_retry * 2.0 ** (row.dispatch_seq - 1), timing.doorbell_retry_max)
    return row.dispatched_at + pause < now


class Reconciler(Background):
    """Runs `reconcile_once` in its own thread while the `with` block runs."""

    def __init__(self, database: Database, doorbell: Doorbell, timing: Timing) -> None:
        super().__init__("reconciler")
        self._database = database
        self._doorbell = doorbell
        self._timing = timing
        self._inspection_bells = InspectionBells(timing)
        self._judges_from = 0.0

    def _run(self) -> None:
        while not self._stopping.wait(self._timing.reconcile_seconds):
            try:
                self.reconcile_once()
            except SQLAlchemyError as error:
                # Workers could not renew either: first give every worker a whole lease to do so.
                self._judges_from = time.monotonic() + self._timing.lease_seconds
                if isinstance(error, OUTAGE):
                    log.warning("reconciler.database_unavailable", error=type(error).__name__)
                else:
                    log.exception("reconciler.failed")
            except Exception:  # the thread's outermost loop: without it no lost job is requeued
                log.exception("reconciler.failed")

    def reconcile_once(self) -> None:
        """Read once, and do everything that is due."""
        with self._database.read() as unit:
            now = unit.session.scalars(select(database_now())).one()
            rows = self._rows(unit.session)
            idle = self._idle_slots(unit.session)
            bells = [bell for worker in idle for bell in _bell_of_idle_slot(unit.session, worker)]
            inspections = self._inspection_bells.due(unit.session, [worker.id for worker in idle])
        actions = due_actions(rows, now, self._timing)
        if actions:
            crash_point(CrashPoint.RECONCILER_HAS_READ)
        for action in actions:
            if not isinstance(action, RingAgain):
                self._do(action)
        self._ring_again([action for action in actions if isinstance(action, RingAgain)])
        for job_id, dispatch_seq, worker_id in bells:
            self._doorbell.ring_slot(job_id, dispatch_seq, worker_id)
        for bell in inspections:
            self._doorbell.ring_inspection(bell.model_id, bell.number, bell.worker_id)

    def _do(self, action: RequeueExpired | EndOverdue) -> None:
        match action:
            case RequeueExpired():
                if time.monotonic() >= self._judges_from:
                    self._end_running(action, JobEvent.INTERRUPT, EndReason.WORKER_LOST)
            case EndOverdue():
                self._end_running(action, JobEvent.TIMEOUT, EndReason.TIMEOUT)

    def _end_running(
        self, action: RequeueExpired | EndOverdue, event: JobEvent, reason: EndReason
    ) -> None:
        still = [
            Job.id == action.job_id,
            Job.attempt == action.attempt,
            Job.state == JobState.RUNNING,
        ]
        if isinstance(action, RequeueExpired):
            still.append(Job.lease_expires_at < database_now())
        pause = self._timing.restart_backoff
        with self._database.write() as unit:
            job = lock_job(unit.session, *still)
            if job is None:
                return
            end = AttemptEnd(reason, message=reason.hint, restart_backoff=pause)
            outcome = apply_event(unit.session, job, event, end)
            if isinstance(outcome, Refused) or outcome.job.state is JobState.RUNNING:
                return  # a stop is pending, requested now or before
            if outcome.rings:
                seq, queue = job.dispatch_seq, job.queue
                unit.after_commit(lambda: self._doorbell.ring(action.job_id, seq, queue))
        log.info(
            "attempt.ended",
            job_id=action.job_id,
            attempt=action.attempt,
            reason=reason.value,
            exit_code=None,
        )

    def _ring_again(self, actions: Sequence[RingAgain]) -> None:
        """Ring for all jobs in one transaction, so that the disk syncs once."""
        if not actions:
            return
        judged = [(action.job_id, action.dispatch_seq) for action in actions]
        statement = (
            update(Job)
            .where(
                Job.id.in_([job_id for job_id, _ in judged]),  # uses the index
                tuple_(Job.id, Job.dispatch_seq).in_(judged),
                Job.state == JobState.QUEUED,
            )
            .values(dispatch_seq=Job.dispatch_seq + 1, dispatched_at=database_now())
            .returning(Job.id, Job.dispatch_seq, Job.queue)
            .execution_options(synchronize_session=False)
        )
        with self._database.write() as unit:
            rung = unit.session.execute(statement).all()
        for job_id, seq, queue in rung:
            self._doorbell.ring(job_id, seq, queue)

    def _rows(self, session: Session) -> list[JobRow]:
        since = (
            select(Attempt.started_at)
            .where(Attempt.job_id == Job.id, Attempt.ended_at.is_(None))
            .scalar_subquery()
        )
        before = database_now(-self._timing.doorbell_retry)
        rang_long_ago = or_(Job.dispatched_at.is_(None), Job.dispatched_at < before)
        judged = select(Job, since).options(load_only(*JUDGED))
        running = judged.where(Job.state == JobState.RUNNING)
        waiting = judged.where(
            Job.state == JobState.QUEUED, Job.dispatch_seq <= MAX_RINGS, rang_long_ago
        )
        found = [
            *session.execute(running),
            *session.execute(waiting.order_by(Job.dispatched_at).limit(MAX_WAITING)),
        ]
        return [_row(job, started_at) for job, started_at in found]

    def _idle_slots(self, session: Session) -> list[Worker]:
        silent = self._timing.worker_silence
        busy = set(session.scalars(select(Job.worker_id).where(Job.state == JobState.RUNNING)))
        live = live_workers(session, silent=silent)
        return [row for row in live if row.id not in busy and row.cordon is None]


def _bell_of_idle_slot(session: Session, worker: Worker) -> list[tuple[str, int, str]]:
    """Return a bell for the best job that the slot can claim now, if there is one."""
    best = best_job_of(session, worker)
    return [] if best is None else [(*best, worker.id)]


def _row(job: Job, started_at: datetime | None) -> JobRow:
    overdue_at = None
    if job.timeout_seconds is not None and started_at is not None:
        overdue_at = started_at + timedelta(seconds=job.timeout_seconds - job.ran_seconds)
    return JobRow(
        job_id=job.id,
        state=job.state,
        attempt=job.attempt,
        queue=job.queue,
        dispatch_seq=job.dispatch_seq,
        dispatched_at=job.dispatched_at,
        not_before_at=job.not_before_at,
        lease_expires_at=job.lease_expires_at,
        overdue_at=overdue_at,
    )
