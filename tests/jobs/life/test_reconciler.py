"""The reconciler's actions for jobs without a worker."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue
from typing import Any

import pytest
from sqlalchemy import event, update
from sqlalchemy.exc import OperationalError, ProgrammingError
from structlog.testing import capture_logs

from app.core.database import Database, database_now
from app.fleet.repository import Registration, ReportedPlugin, mark_stopped, register_worker
from app.jobs.end_reasons import EndReason
from app.jobs.life.claim import SlotOffer, claim_job
from app.jobs.life.doorbell import Doorbell
from app.jobs.life.reconciler import (
    EndOverdue,
    JobRow,
    Reconciler,
    RequeueExpired,
    RingAgain,
    due_actions,
)
from app.jobs.states import JobState, Request
from app.jobs.tables import Epoch, Job
from app.settings.timing import Timing
from tests.waiting import eventually
from tests.worlds.rows import Rows, a_job, job_row

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TIMING = Timing(doorbell_retry_seconds=10, doorbell_retry_max_seconds=40)
PAST = timedelta(seconds=-1)
REGISTRATION = Registration(
    node="node",
    slot="cpu",
    incarnation="1",
    host="host",
    queues=("default",),
    gpus=0,
    version="0",
)


def a_row(**changes: object) -> JobRow:
    fields: dict[str, Any] = {
        "job_id": "job_1",
        "state": JobState.QUEUED,
        "attempt": 1,
        "queue": "default",
        "dispatch_seq": 1,
        "dispatched_at": NOW - SECOND,
        "not_before_at": None,
        "lease_expires_at": None,
        "overdue_at": None,
    }
    return JobRow(**fields | changes)


class TestDueActions:
    @pytest.mark.parametrize(
        ("row", "due"),
        [
            (a_row(), []),
            (a_row(dispatched_at=NOW - 11 * SECOND), [RingAgain("job_1", 1)]),
            (a_row(dispatched_at=NOW - 11 * SECOND, dispatch_seq=2), []),
            (a_row(dispatched_at=NOW - 21 * SECOND, dispatch_seq=2), [RingAgain("job_1", 2)]),
            (a_row(dispatched_at=NOW - 41 * SECOND, dispatch_seq=8), [RingAgain("job_1", 8)]),
            (a_row(dispatched_at=NOW - 999 * SECOND, dispatch_seq=9), []),
            (a_row(dispatched_at=NOW - 99 * SECOND, not_before_at=NOW + SECOND), []),
            (a_row(state=JobState.RUNNING, lease_expires_at=NOW + SECOND), []),
            (
                a_row(state=JobState.RUNNING, lease_expires_at=NOW - SECOND),
                [RequeueExpired("job_1", 1)],
            ),
            (
                a_row(
                    state=JobState.RUNNING,
                    lease_expires_at=NOW + SECOND,
                    overdue_at=NOW - SECOND,
                ),
                [EndOverdue("job_1", 1)],
            ),
        ],
        ids=[
            "just-rung",
            "rung-long-ago",
            "second-ring-waits-twice",
            "second-ring-is-due",
            "pauses-are-bounded",
            "rings-are-bounded",
            "in-back-off",
            "healthy",
            "lease-expired",
            "overdue",
        ],
    )
    def test_actions_are_due_by_the_state_of_a_job(self, row: JobRow, due: list[object]) -> None:
        assert due_actions([row], NOW, TIMING) == due


class Bells(Doorbell):
    """Replaces the doorbell's thread and records what it would ring."""

    def __init__(self) -> None:
        super().__init__("redis://127.0.0.1:1/0")
        self.rung: SimpleQueue[tuple[str, str]] = SimpleQueue()

    def ring(self, job_id: str, _: int, queue_name: str) -> None:
        self.rung.put((job_id, queue_name))

    def ring_slot(self, job_id: str, _: int, worker_id: str) -> None:
        self.rung.put((job_id, worker_id))

    def all(self) -> list[tuple[str, str]]:
        return [self.rung.get() for _ in range(self.rung.qsize())]


class BellsThatJamOnce(Bells):
    """Fails at the first ring, with an unexpected error."""

    has_jammed = False

    def ring_slot(self, job_id: str, seq: int, worker_id: str) -> None:
        if not self.has_jammed:
            self.has_jammed = True
            raise RuntimeError("jammed")
        super().ring_slot(job_id, seq, worker_id)


@pytest.fixture
def bells() -> Bells:
    return Bells()


@pytest.fixture
def reconciler(database: Database, bells: Bells) -> Reconciler:
    return Reconciler(database, bells, TIMING)


def a_worker(
    database: Database, *, gpus: int = 0, slot: str = "cpu", plugins: tuple[str, ...] = ()
) -> str:
    reported = tuple(ReportedPlugin(name=name, version="1") for name in plugins)
    registration = replace(REGISTRATION, slot=slot, gpus=gpus, plugins=reported)
    with database.write() as unit:
        return register_worker(unit.session, registration)


def claimed(database: Database, worker_id: str, *, lease: timedelta) -> None:
    with database.write() as unit:
        offer = SlotOffer(worker_id, ("default",), gpus=0)
        assert claim_job(unit.session, offer, lease=lease) is not None


class TestExpiredLease:
    def test_the_job_waits_again_and_its_bell_is_rung(
        self, database: Database, rows: Rows, reconciler: Reconciler, bells: Bells
    ) -> None:
        job_id = a_job(database, rows)
        claimed(database, "wrk_dead", lease=PAST)

        reconciler.reconcile_once()

        job = job_row(database, job_id)
        assert (job.state, job.restarts) == (JobState.QUEUED, 1)
        assert bells.all() == [(job_id, "default")]

    def test_a_lease_that_was_renewed_meanwhile_is_left_alone(
        self, database: Database, rows: Rows, reconciler: Reconciler
    ) -> None:
        job_id = a_job(database, rows)
        claimed(database, "wrk_slow", lease=timedelta(seconds=60))

        reconciler._do(RequeueExpired(job_id, 1))

        assert job_row(database, job_id).state is JobState.RUNNING

    def test_two_reconcilers_requeue_once(
        self, database: Database, rows: Rows, reconciler: Reconciler, bells: Bells
    ) -> None:
        job_id = a_job(database, rows)
        claimed(database, "wrk_dead", lease=PAST)
        other = Reconciler(database, bells, TIMING)

        for each in (reconciler, other):
            each._do(RequeueExpired(job_id, 1))

        assert job_row(database, job_id).restarts == 1


class TestOverdue:
    def test_an_overdue_job_without_an_epoch_fails(
        self, database: Database, rows: Rows, reconciler: Reconciler
    ) -> None:
        job_id = a_job(database, rows, timeout_seconds=-1.0)
        claimed(database, "wrk", lease=timedelta(seconds=60))

        reconciler.reconcile_once()

        job = job_row(database, job_id)
        assert (job.state, job.end_reason) == (JobState.FAILED, EndReason.TIMEOUT)

    def test_an_overdue_job_with_an_epoch_is_stopped_and_keeps_its_result(
        self, database: Database, rows: Rows, reconciler: Reconciler
    ) -> None:
        job_id = a_job(database, rows, timeout_seconds=-1.0)
        claimed(database, "wrk", lease=timedelta(seconds=60))
        with database.write() as unit:
            unit.session.add(
                Epoch(
                    job_id=job_id,
                    epoch=1,
                    attempt=1,
                    metrics={},
                    lr={},
                    system={},
                    duration_seconds=1.0,
                    created_at=NOW,
                )
            )

        reconciler.reconcile_once()

        job = job_row(database, job_id)
        assert (job.state, job.request) == (JobState.RUNNING, Request.STOP)


class TestLoop:
    def test_a_fault_of_ours_ends_one_look_and_not_the_thread(
        self, database: Database, rows: Rows
    ) -> None:
        job_id, worker_id = a_job(database, rows), a_worker(database)
        bells = BellsThatJamOnce()
        timing = Timing(reconcile_seconds=0.01)

        with Reconciler(database, bells, timing):
            eventually(lambda: not bells.rung.empty(), within=10)

        assert bells.all()[0] == (job_id, worker_id)

    @pytest.mark.parametrize(
        ("error", "entry"),
        [
            (
                OperationalError("SELECT", {}, Exception("connection refused")),
                ("reconciler.database_unavailable", "warning"),
            ),
            (
                ProgrammingError("SELECT", {}, Exception("no such column")),
                ("reconciler.failed", "error"),
            ),
            (RuntimeError("jammed"), ("reconciler.failed", "error")),
        ],
        ids=["outage", "statement", "unforeseen"],
    )
    def test_a_failure_is_logged_by_its_kind_and_the_thread_continues(
        self,
        database: Database,
        bells: Bells,
        monkeypatch: pytest.MonkeyPatch,
        error: Exception,
        entry: tuple[str, str],
    ) -> None:
        quick = Timing(reconcile_seconds=0.01)
        reconciler = Reconciler(database, bells, quick)  # its bells reach no worker
        looks: list[Exception] = []

        def look_or_fail() -> None:
            looks.append(error)
            if len(looks) == 1:
                raise error

        monkeypatch.setattr(reconciler, "reconcile_once", look_or_fail)

        with capture_logs() as logged, reconciler:
            eventually(lambda: len(looks) > 1, within=10)

        assert [(line["event"], line["log_level"]) for line in logged] == [entry]


class TestBells:
    def test_a_lost_bell_is_rung_again_once(
        self, database: Database, rows: Rows, reconciler: Reconciler, bells: Bells
    ) -> None:
        job_id = a_job(database, rows)
        with database.write() as unit:
            unit.session.execute(
                update(Job).values(dispatched_at=database_now(timedelta(seconds=-11)))
            )

        reconciler.reconcile_once()
        reconciler.reconcile_once()

        assert bells.all() == [(job_id, "default")]
        assert job_row(database, job_id).dispatch_seq == 2

    def test_many_lost_bells_cost_one_transaction(
        self, database: Database, rows: Rows, reconciler: Reconciler, bells: Bells
    ) -> None:
        lost = [a_job(database, rows) for _ in range(3)]
        with database.write() as unit:
            unit.session.execute(
                update(Job).values(dispatched_at=database_now(timedelta(seconds=-11)))
            )
        commits: list[object] = []
        event.listen(database.engine, "commit", commits.append)

        reconciler.reconcile_once()

        assert sorted(bells.all()) == sorted((job_id, "default") for job_id in lost)
        assert len(commits) == 1

    def test_an_idle_slot_is_rung_for_the_job_it_can_claim(
        self, database: Database, rows: Rows, reconciler: Reconciler, bells: Bells
    ) -> None:
        job_id = a_job(database, rows, gpus=1)
        a_worker(database)
        with_gpu = a_worker(database, gpus=1, slot="0")

        reconciler.reconcile_once()

        assert bells.all() == [(job_id, with_gpu)]

    def test_the_one_of_ten_idle_slots_with_the_plugin_is_rung_and_claims(
        self, database: Database, rows: Rows, reconciler: Reconciler, bells: Bells
    ) -> None:
        without = [a_worker(database, slot=str(number)) for number in range(9)]
        with_plugin = a_worker(database, slot="9", plugins=("gray",))
        job_id = a_job(database, rows, trainer="gray")
        for each in without:  # the bell of a submission reaches any slot of the queue
            with database.write() as unit:
                offer = SlotOffer(each, ("default",), gpus=0)
                assert claim_job(unit.session, offer, lease=PAST, rung_for=job_id) is None

        reconciler.reconcile_once()

        assert bells.all() == [(job_id, with_plugin)]
        with database.write() as unit:
            offer = SlotOffer(with_plugin, ("default",), gpus=0, plugins=("gray",))
            claimed = claim_job(unit.session, offer, lease=SECOND, rung_for=job_id)
        assert claimed is not None
        assert (claimed.id, claimed.worker_id, claimed.restarts) == (job_id, with_plugin, 0)

    def test_a_plugin_that_does_not_work_there_makes_no_slot_eligible(
        self, database: Database, rows: Rows, reconciler: Reconciler, bells: Bells
    ) -> None:
        a_job(database, rows, trainer="gray")
        broken = ReportedPlugin(name="gray", version="1", error="ImportError")
        with database.write() as unit:
            register_worker(unit.session, replace(REGISTRATION, plugins=(broken,)))

        reconciler.reconcile_once()

        assert bells.all() == []

    def test_a_busy_or_stopped_slot_is_not_rung(
        self, database: Database, rows: Rows, reconciler: Reconciler, bells: Bells
    ) -> None:
        a_job(database, rows)
        busy = a_worker(database)
        claimed(database, busy, lease=timedelta(seconds=60))
        stopped = a_worker(database, slot="other")
        with database.write() as unit:
            mark_stopped(unit.session, stopped, "1")
        a_job(database, rows)

        reconciler.reconcile_once()

        assert bells.all() == []
