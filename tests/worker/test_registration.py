"""A restarted slot ends the attempts of its dead predecessor, and reports that it is alive."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from app.core.database import Database
from app.fleet.repository import (
    Registration,
    all_workers,
    count_forgotten,
    forget_workers,
)
from app.fleet.tables import Cordon, Worker
from app.fleet.use import MeasuredUse, SlotUse
from app.jobs.end_reasons import EndReason
from app.jobs.life.claim import SlotOffer
from app.jobs.life.recording import set_phase
from app.jobs.locks import Fenced, Hold
from app.jobs.repository import attempts_of
from app.jobs.states import JobState, Phase
from tests.jobs.slots import change_slot, silence
from tests.waiting import eventually
from tests.worlds.rows import a_job, claim, job_row, some_rows
from tests.worlds.worker import QUICK, a_lease
from worker.registration import heartbeats, register_slot

WEEK = timedelta(days=7)


def registration(incarnation: str = "inc_1", *, slot: str = "cpu") -> Registration:
    return Registration(
        node="nod_1",
        slot=slot,
        incarnation=incarnation,
        host="here",
        queues=("default",),
        gpus=0,
        version="0.1.0",
    )


def register(database: Database, incarnation: str = "inc_1", *, slot: str = "cpu") -> str:
    return register_slot(database, registration(incarnation, slot=slot), timing=QUICK)


def claim_as(database: Database, worker_id: str) -> Hold:
    return claim(database, offer=SlotOffer(worker_id, ("default",), gpus=0), lease_seconds=900)


def workers(database: Database) -> Sequence[Worker]:
    with database.read() as unit:
        return all_workers(unit.session)


def worker(database: Database) -> Worker:
    return workers(database)[0]


class TestRegisterSlot:
    def test_a_slot_keeps_its_id_over_restarts(self, database: Database) -> None:
        first = register(database)

        assert register(database, "inc_2") == first

    def test_another_slot_has_another_id(self, database: Database) -> None:
        assert register(database) != register(database, slot="0")

    def test_the_attempt_of_a_dead_predecessor_ends_at_once(self, database: Database) -> None:
        worker_id = register(database)
        job_id = a_job(database, some_rows(database))
        hold = claim_as(database, worker_id)

        register(database, "inc_2")

        job = job_row(database, job_id)
        assert (job.state, job.restarts) == (JobState.QUEUED, 1)
        assert job.dispatch_seq > 0
        with database.read() as unit:
            assert attempts_of(unit.session, job_id)[0].end_reason is EndReason.WORKER_LOST
        with pytest.raises(Fenced):
            a_lease(database, hold).write(lambda session: set_phase(session, hold, Phase.TRAINING))

    def test_the_attempts_of_other_slots_go_on(self, database: Database) -> None:
        other = register(database, slot="0")
        job_id = a_job(database, some_rows(database))
        claim_as(database, other)

        register(database, "inc_2")

        assert job_row(database, job_id).state is JobState.RUNNING


class TestHeartbeats:
    def test_the_slot_is_heard_of_and_marked_as_stopped_at_its_end(
        self, database: Database
    ) -> None:
        worker_id = register(database)

        with heartbeats(database, worker_id, registration(), timing=QUICK):
            first = worker(database).heartbeat_at
            eventually(lambda: worker(database).heartbeat_at > first, within=5)
            assert worker(database).stopped_at is None

        assert worker(database).stopped_at is not None

    def test_a_late_predecessor_does_not_stop_its_successor(self, database: Database) -> None:
        worker_id = register(database)

        with heartbeats(database, worker_id, registration(), timing=QUICK):
            register(database, "inc_2")

        assert worker(database).stopped_at is None

    def test_a_heartbeat_reports_what_the_slot_uses(self, database: Database) -> None:
        worker_id = register(database)
        used = MeasuredUse(SlotUse(utilization=0.5, cores_busy=1.0), (0.25, None))

        with heartbeats(database, worker_id, registration(), timing=QUICK, measure=lambda: used):
            eventually(lambda: worker(database).use is not None, within=5)

        row = worker(database)
        assert (SlotUse.model_validate(row.use), row.use_means) == (used.now, [0.25, None])

    def test_a_living_slot_that_was_forgotten_comes_back_under_its_id(
        self, database: Database
    ) -> None:
        worker_id = register(database)
        silence(database, worker_id, days=8)
        with database.write() as unit:
            assert forget_workers(unit.session, after=WEEK, limit=10) == [worker_id]

        with heartbeats(database, worker_id, registration(), timing=QUICK):
            eventually(lambda: [row.id for row in workers(database)] == [worker_id], within=5)


class TestForgetWorkers:
    def test_slots_that_are_gone_for_long_are_forgotten(self, database: Database) -> None:
        gone, here, cordoned = (register(database, slot=slot) for slot in ("0", "1", "2"))
        silence(database, gone, days=8)
        silence(database, cordoned, days=8)
        change_slot(database, cordoned, cordon=Cordon.CORDONED)
        with database.read() as unit:
            assert count_forgotten(unit.session, after=WEEK) == 1

        with database.write() as unit:
            forgotten = forget_workers(unit.session, after=WEEK, limit=10)

        assert list(forgotten) == [gone]
        assert [row.id for row in workers(database)] == [here, cordoned]
