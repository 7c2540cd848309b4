"""The lease is renewed while the database answers, and given up before others may claim."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.core.database import Database, database_now
from app.jobs.life.log_pieces import append_log
from app.jobs.life.recorded import recorded_of
from app.jobs.life.recording import (
    EpochReport,
    record_epoch,
    renew_lease,
    set_phase,
)
from app.jobs.life.transitions import apply_event as apply
from app.jobs.locks import Fenced, Hold, lock_job
from app.jobs.states import JobEvent, Phase, Request
from app.jobs.tables import Epoch, Job, LogChunk
from tests.counting import statements_to
from tests.waiting import eventually
from tests.worlds.rows import a_job, claim, job_row, some_rows
from tests.worlds.worker import a_lease
from worker.attempt.lease import LeaseLost

REPORT = EpochReport(epoch=1, epochs=3, metrics={"train/box_loss": 1.0}, duration_seconds=1.0)


def request(database: Database, hold: Hold, event: JobEvent) -> None:
    with database.write() as unit:
        job = lock_job(unit.session, Job.id == hold.job_id)
        assert job is not None
        apply(unit.session, job, event)


def claim_again(database: Database, hold: Hold) -> Hold:
    """Give the job to a second attempt, as after a lease that ran out."""
    request(database, hold, JobEvent.INTERRUPT)
    return claim(database)


def seconds_left(database: Database, hold: Hold) -> float:
    with database.read() as unit:
        now = unit.session.scalars(select(database_now())).one()
    expires_at = job_row(database, hold.job_id).lease_expires_at
    assert expires_at is not None
    return (expires_at - now).total_seconds()


class TestKeeping:
    def test_a_lease_is_renewed_from_the_databases_current_time(
        self, database: Database, hold: Hold
    ) -> None:
        assert seconds_left(database, hold) > 10

        with a_lease(database, hold).kept():
            eventually(lambda: seconds_left(database, hold) <= 3, within=5)

            assert seconds_left(database, hold) > 2

    @pytest.mark.parametrize("event", [JobEvent.CANCEL, JobEvent.PAUSE, JobEvent.STOP])
    def test_a_lease_sees_what_is_requested(
        self, database: Database, hold: Hold, event: JobEvent
    ) -> None:
        lease = a_lease(database, hold)

        with lease.kept():
            request(database, hold, event)

            assert eventually(lambda: lease.request, within=2) is Request(event.value)

    def test_a_renewal_brings_the_request_so_that_it_need_not_be_read(
        self, database: Database, hold: Hold
    ) -> None:
        lease = a_lease(database, hold)
        request(database, hold, JobEvent.PAUSE)

        with statements_to(database) as statements:
            lease.renew_with(lambda session: renew_lease(session, hold, lease=lease.length))

        assert (lease.request, statements) == (Request.PAUSE, ["UPDATE jobs"])

    def test_a_lease_sees_that_another_attempt_was_claimed(
        self, database: Database, hold: Hold
    ) -> None:
        lease = a_lease(database, hold)

        with lease.kept():
            claim_again(database, hold)

            eventually(lambda: lease.is_fenced, within=2)
        assert lease.is_lost

    def test_a_lease_is_lost_once_the_database_was_silent_for_too_long(
        self, open_database: Callable[[str], Database], sqlite_url: str
    ) -> None:
        database = open_database(sqlite_url)
        a_job(database, some_rows(database))
        lease = a_lease(database, claim(database))

        with lease.kept(), database.write():  # the write turn is taken: no renewal succeeds
            eventually(lambda: lease.is_lost, within=5)

        assert not lease.is_fenced
        assert lease.silent_seconds >= 2.5

    def test_a_lease_survives_a_short_silence(
        self, open_database: Callable[[str], Database], sqlite_url: str
    ) -> None:
        database = open_database(sqlite_url)
        a_job(database, some_rows(database))
        lease = a_lease(database, claim(database))

        with lease.kept():
            with database.write():
                eventually(lambda: lease.silent_seconds > 1, within=5)
            eventually(lambda: lease.silent_seconds < 0.5, within=2)

        assert not lease.is_lost


class TestWriting:
    def test_a_stale_attempt_writes_nothing(self, database: Database, hold: Hold) -> None:
        lease = a_lease(database, hold)
        claim_again(database, hold)

        with pytest.raises(Fenced):
            lease.write(
                lambda session: record_epoch(session, hold, REPORT, recorded_of(session, hold))
            )

        with database.read() as unit:
            assert unit.session.scalars(select(Epoch)).all() == []
        assert lease.is_lost

    def test_a_lost_lease_writes_nothing(self, database: Database, hold: Hold) -> None:
        lease = a_lease(database, hold)
        lease._renewed_at -= 100

        with pytest.raises(LeaseLost):
            lease.write(
                lambda session: record_epoch(session, hold, REPORT, recorded_of(session, hold))
            )

    def test_an_attempt_ended_between_its_lock_and_its_insert_is_not_overtaken(
        self,
        database: Database,
        hold: Hold,
        database_url: str,
        open_database: Callable[..., Database],
    ) -> None:
        """Two sessions interleave: the holder of the row's lock writes before the waiting one."""
        other = open_database(database_url)
        order: list[str] = []

        def claim() -> None:
            claim_again(other, hold)
            order.append("claim")

        claimer = threading.Thread(target=claim)

        with database.write() as unit:
            append_log(unit.session, hold, offset=0, chunk=b"first")
            claimer.start()
            claimer.join(0.3)
            order.append("write")
        claimer.join(20)

        assert order == ["write", "claim"]
        with pytest.raises(Fenced), database.write() as unit:
            append_log(unit.session, hold, offset=5, chunk=b"second")
        with database.read() as unit:
            assert unit.session.scalars(select(LogChunk.bytes)).all() == [b"first"]

    def test_an_insert_without_the_guard_would_land(self, database: Database, hold: Hold) -> None:
        """Every write begins with the guarded update, as only that refuses a stale write."""
        claim_again(database, hold)

        with database.write() as unit:
            job = unit.session.scalars(select(Job).where(Job.id == hold.job_id)).one()
            unit.session.execute(
                insert(LogChunk).values(
                    job_id=job.id, attempt=hold.attempt, offset=0, bytes=b"stale"
                )
            )

        with database.read() as unit:
            assert unit.session.scalars(select(LogChunk.bytes)).all() == [b"stale"]

    def test_a_write_is_repeated_when_the_database_comes_back(
        self, database: Database, hold: Hold
    ) -> None:
        lease = a_lease(database, hold)
        tries = []

        def work(session: Session) -> None:
            tries.append(1)
            record_epoch(session, hold, REPORT, recorded_of(session, hold))
            if len(tries) < 3:
                raise OperationalError("COMMIT", {}, Exception("the server closed the connection"))

        lease.write(work)

        with database.read() as unit:
            assert len(unit.session.scalars(select(Epoch)).all()) == 1

    def test_a_write_of_one_guarded_update_is_one_statement(
        self, database: Database, hold: Hold
    ) -> None:
        lease = a_lease(database, hold)

        with statements_to(database) as statements:
            lease.write(lambda session: set_phase(session, hold, Phase.TRAINING))

        assert statements == ["UPDATE jobs"]


class TestLength:
    def test_the_length_of_a_lease_is_that_of_the_settings(
        self, database: Database, hold: Hold
    ) -> None:
        assert a_lease(database, hold).length == timedelta(seconds=3)
