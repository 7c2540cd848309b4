"""A cordoned slot takes nothing, whichever way it asks."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import insert, select

from app.audit.record import COMMAND
from app.audit.tables import AuditRecord
from app.core.database import Database, database_now
from app.fleet.cordons import set_cordon
from app.fleet.errors import WorkerNotFound
from app.fleet.tables import Cordon, Worker
from app.jobs.life.claim import SlotOffer, best_job_of, claim_job
from app.jobs.life.doorbell import Doorbell
from app.jobs.life.reconciler import Reconciler
from app.jobs.states import JobState
from app.models.tables import Model, ModelSource
from app.settings.timing import Timing
from tests.jobs.slots import a_slot
from tests.waiting import eventually
from tests.worlds.rows import SHA, a_job, job_row, some_rows

LEASE = timedelta(hours=1)
PATIENCE = 20.0


class Bells(Doorbell):
    """Records which slots it would ring."""

    def __init__(self) -> None:
        super().__init__("redis://127.0.0.1:1/0")
        self.rung: list[str] = []

    def ring_slot(self, _job_id: str, _seq: int, worker_id: str) -> None:
        self.rung.append(worker_id)

    def ring_inspection(self, _model_id: str, _number: int, worker_id: str) -> None:
        self.rung.append(worker_id)


def offer(worker_id: str) -> SlotOffer:
    return SlotOffer(worker_id, ("default",), gpus=0)


def claims(database: Database, worker_id: str, *, bell: str | None = None) -> str | None:
    with database.write() as unit:
        job = claim_job(unit.session, offer(worker_id), lease=LEASE, rung_for=bell)
        return None if job is None else job.id


def actions(database: Database) -> list[str]:
    with database.read() as unit:
        return list(unit.session.scalars(select(AuditRecord.action).order_by(AuditRecord.id)))


class TestClaims:
    @pytest.mark.parametrize("cordon", list(Cordon))
    def test_a_cordoned_slot_claims_no_job(self, database: Database, cordon: Cordon) -> None:
        a_job(database, some_rows(database))

        assert claims(database, a_slot(database, cordon=cordon)) is None

    def test_a_bell_does_not_open_a_cordoned_slot(self, database: Database) -> None:
        job_id = a_job(database, some_rows(database))

        assert claims(database, a_slot(database, cordon=Cordon.CORDONED), bell=job_id) is None

    def test_other_slots_take_what_a_cordoned_one_leaves(self, database: Database) -> None:
        job_id = a_job(database, some_rows(database))
        a_slot(database, cordon=Cordon.DRAINING)

        assert claims(database, a_slot(database, "0")) == job_id

    def test_an_uncordoned_slot_claims_again(self, database: Database) -> None:
        job_id = a_job(database, some_rows(database))
        worker_id = a_slot(database, cordon=Cordon.DRAINING)

        set_cordon(database, COMMAND, worker_id, None)

        assert claims(database, worker_id) == job_id

    def test_a_restarted_slot_is_still_cordoned(self, database: Database) -> None:
        a_job(database, some_rows(database))
        worker_id = a_slot(database, cordon=Cordon.CORDONED)

        again = a_slot(database)

        assert (again, claims(database, worker_id)) == (worker_id, None)

    def test_no_claim_is_committed_after_a_cordon(self, database: Database) -> None:
        """A claim that is under way delays the cordon; when the cordon is set, it has ended."""
        job_id = a_job(database, some_rows(database))
        worker_id = a_slot(database)
        states: list[JobState] = []

        def cordon() -> None:
            set_cordon(database, COMMAND, worker_id, Cordon.CORDONED)
            states.append(job_row(database, job_id).state)

        thread = threading.Thread(target=cordon)
        with database.write() as unit:
            claim_job(unit.session, offer(worker_id), lease=LEASE)
            thread.start()
            eventually(lambda: waits_for_a_lock(database), within=PATIENCE)
        thread.join(PATIENCE)

        assert states == [JobState.RUNNING]


def waits_for_a_lock(database: Database) -> bool:
    """Return whether a transaction waits; SQLite lets only one write at a time."""
    if database.is_sqlite:
        return True
    with database.engine.connect() as connection:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return bool(connection.exec_driver_sql(waiting).scalar())


class TestBells:
    def test_no_job_is_the_best_for_a_cordoned_slot(self, database: Database) -> None:
        a_job(database, some_rows(database))
        a_slot(database, cordon=Cordon.CORDONED)

        with database.read() as unit:
            worker = unit.session.scalars(select(Worker)).one()
            assert best_job_of(unit.session, worker) is None

    def test_a_cordoned_slot_is_not_rung(self, database: Database) -> None:
        rows = some_rows(database)
        a_job(database, rows)
        with database.write() as unit:
            unit.session.execute(
                insert(Model).values(
                    id="mod_1",
                    project_id=rows.project_id,
                    name="a.pt",
                    source=ModelSource.FILE,
                    sha256=SHA,
                    size_bytes=1,
                    created_at=database_now(),
                )
            )
        a_slot(database, cordon=Cordon.DRAINING)
        bells = Bells()

        Reconciler(database, bells, Timing()).reconcile_once()

        assert bells.rung == []


class TestSetCordon:
    def test_each_change_is_in_the_audit_log_once(self, database: Database) -> None:
        worker_id = a_slot(database)

        for cordon in (Cordon.DRAINING, Cordon.DRAINING, Cordon.CORDONED, None, None):
            set_cordon(database, COMMAND, worker_id, cordon)

        assert actions(database) == ["worker.drained", "worker.cordoned", "worker.uncordoned"]

    def test_an_unknown_slot_is_not_found(self, database: Database) -> None:
        with pytest.raises(WorkerNotFound):
            set_cordon(database, COMMAND, "wrk_none", Cordon.CORDONED)
