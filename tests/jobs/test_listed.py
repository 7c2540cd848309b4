"""What other rows say about jobs in a list; the events of a job by order, type and level."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app.core.database import Database, database_now
from app.events.repository import EventFilter, append_event, events_page
from app.events.tables import Level
from app.fleet.repository import Registration, register_worker
from app.jobs.end_reasons import EndReason
from app.jobs.life.claim import SlotOffer
from app.jobs.life.recorded import recorded_of
from app.jobs.life.recording import EpochReport, note_resumed, note_started, record_epoch
from app.jobs.life.transitions import AttemptEnd, apply_event
from app.jobs.listed import RelatedFacts, listed_job_of, with_records
from app.jobs.locks import Hold, lock_held, lock_job
from app.jobs.repository import attempts_of
from app.jobs.states import JobEvent
from app.jobs.tables import Attempt, Job
from tests.counting import statements_to
from tests.worlds.rows import Rows, a_job, claim, job_row

ADA = {"user": "ada"}


@pytest.fixture
def offer(database: Database) -> SlotOffer:
    """Return the offer of a slot that has registered."""
    slot = Registration("node", "0", "inc", "gpu-a (pid 7)", ("default",), gpus=1, version="1")
    with database.write() as unit:
        worker_id = register_worker(unit.session, slot)
    return SlotOffer(worker_id, ("default",), gpus=1)


def start(database: Database, hold: Hold, first_epoch: int) -> None:
    with database.write() as unit:
        note_started(unit.session, hold, device_name="cpu", first_epoch=first_epoch, data={})


def finish_epoch(database: Database, hold: Hold, epoch: int) -> None:
    with database.write() as unit:
        report = EpochReport(epoch, 9, {"metrics/mAP50(B)": 0.5}, 1.0)
        record_epoch(unit.session, hold, report, recorded_of(unit.session, hold))


def end(database: Database, hold: Hold, event: JobEvent, reason: EndReason) -> None:
    with database.write() as unit:
        apply_event(unit.session, lock_held(unit.session, hold), event, AttemptEnd(reason))


def ask(database: Database, job_id: str, event: JobEvent) -> None:
    """Apply an event of a user."""
    with database.write() as unit:
        job = lock_job(unit.session, Job.id == job_id)
        assert job is not None
        apply_event(unit.session, job, event, actor=ADA)


def began_before(database: Database, hold: Hold, seconds: float) -> None:
    with database.write() as unit:
        own = (Attempt.job_id == hold.job_id, Attempt.number == hold.attempt)
        began = {"started_at": database_now(timedelta(seconds=-seconds))}
        unit.session.execute(update(Attempt).where(*own).values(**began))


def attempt_of(database: Database, hold: Hold) -> Attempt:
    with database.read() as unit:
        return attempts_of(unit.session, hold.job_id)[hold.attempt - 1]


class TestWithRecords:
    def test_a_list_says_of_each_job_what_its_status_says(
        self, database: Database, rows: Rows, offer: SlotOffer
    ) -> None:
        running = a_job(database, rows)
        hold = claim(database, offer=offer)
        began_before(database, hold, 60)
        start(database, hold, 3)
        waiting = a_job(database, rows)

        with database.read() as unit:
            jobs = unit.session.scalars(select(Job).order_by(Job.id)).all()
            listed = with_records(unit.session, jobs)
            alone = [
                listed_job_of(unit.session, [rows.project_id], job_id)
                for job_id in (running, waiting)
            ]

        first, second = (it.related for it in listed)
        assert first.open_seconds == pytest.approx(60, abs=30)
        assert (first.slot_name, first.first_epoch) == ("gpu-a/0", 3)
        assert second == RelatedFacts("shapes", "user of default")
        assert [it.related.dataset_name for it in alone if it] == ["shapes", "shapes"]
        assert [it.related.slot_name for it in alone if it] == ["gpu-a/0", None]

    def test_records_of_any_number_of_jobs_take_two_statements(
        self, database: Database, rows: Rows
    ) -> None:
        for _ in range(5):
            a_job(database, rows)
        with database.read() as unit:
            jobs = unit.session.scalars(select(Job)).all()

            with statements_to(database) as statements:
                with_records(unit.session, jobs)

        assert statements == ["SELECT jobs", "SELECT job_tags"]


class TestAttempts:
    def test_an_attempt_keeps_its_slot_and_its_epochs(
        self, database: Database, rows: Rows, offer: SlotOffer
    ) -> None:
        a_job(database, rows)
        hold = claim(database, offer=offer)
        with database.write() as unit:
            note_resumed(unit.session, hold, "exact", 2)
        start(database, hold, 3)
        for epoch in (3, 4):
            finish_epoch(database, hold, epoch)
        end(database, hold, JobEvent.FINISH, EndReason.SUCCEEDED)

        attempt = attempt_of(database, hold)

        assert attempt.worker_name == "gpu-a/0"
        assert (attempt.resumed_from, attempt.first_epoch, attempt.last_epoch) == (2, 3, 4)
        assert attempt.actor is None

    def test_a_later_attempt_leaves_the_last_epoch_of_an_earlier_one(
        self, database: Database, hold: Hold
    ) -> None:
        start(database, hold, 1)
        finish_epoch(database, hold, 1)
        end(database, hold, JobEvent.DRAIN, EndReason.WORKER_DRAINED)
        second = claim(database)
        start(database, second, 1)
        end(database, second, JobEvent.DRAIN, EndReason.WORKER_DRAINED)

        assert [attempt_of(database, it).last_epoch for it in (hold, second)] == [1, None]

    @pytest.mark.parametrize(
        ("asked", "event", "reason", "actor"),
        [
            (JobEvent.CANCEL, JobEvent.LEAVE, EndReason.CANCELLED, ADA),
            (JobEvent.PAUSE, JobEvent.LEAVE, EndReason.PAUSED, ADA),
            (JobEvent.STOP, JobEvent.FINISH, EndReason.SUCCEEDED, ADA),
            (JobEvent.PAUSE, JobEvent.FAIL, EndReason.TRAINER_CRASHED, None),
            (None, JobEvent.FINISH, EndReason.SUCCEEDED, None),
        ],
        ids=["cancelled", "paused", "stopped", "crashed before a pause", "finished by itself"],
    )
    def test_an_attempt_names_the_person_whose_request_ended_it(
        self,
        database: Database,
        hold: Hold,
        asked: JobEvent | None,
        event: JobEvent,
        reason: EndReason,
        actor: dict[str, str] | None,
    ) -> None:
        finish_epoch(database, hold, 1)
        if asked is not None:
            ask(database, hold.job_id, asked)

        end(database, hold, event, reason)

        assert attempt_of(database, hold).actor == actor
        assert job_row(database, hold.job_id).requested_by is None


class TestActors:
    def test_events_of_people_name_them_and_those_of_the_system_nobody(
        self, database: Database, hold: Hold
    ) -> None:
        ask(database, hold.job_id, JobEvent.PAUSE)
        end(database, hold, JobEvent.LEAVE, EndReason.PAUSED)
        ask(database, hold.job_id, JobEvent.RESUME)

        with database.read() as unit:
            events = events_page(unit.session, hold.job_id, EventFilter(), after=None, limit=9)
        assert [(it.type, it.data.get("actor")) for it in events] == [
            ("job.started", None),
            ("job.pause_requested", ADA),
            ("job.paused", None),
            ("job.resumed", ADA),
        ]

    def test_a_stronger_request_replaces_who_made_the_weaker_one(
        self, database: Database, hold: Hold
    ) -> None:
        ask(database, hold.job_id, JobEvent.PAUSE)
        with database.write() as unit:
            job = lock_held(unit.session, hold)
            apply_event(unit.session, job, JobEvent.CANCEL, actor={"key": "ci"})

        assert job_row(database, hold.job_id).requested_by == {"key": "ci"}

    def test_a_time_limit_that_is_reached_is_no_request_of_the_person_before(
        self, database: Database, hold: Hold
    ) -> None:
        finish_epoch(database, hold, 1)
        ask(database, hold.job_id, JobEvent.PAUSE)
        with database.write() as unit:
            apply_event(unit.session, lock_held(unit.session, hold), JobEvent.TIMEOUT)

        assert job_row(database, hold.job_id).requested_by is None


class TestDuration:
    def test_a_retry_keeps_the_running_time_of_earlier_attempts(
        self, database: Database, hold: Hold
    ) -> None:
        began_before(database, hold, 100)
        end(database, hold, JobEvent.FAIL, EndReason.TRAINER_BUG)
        ask(database, hold.job_id, JobEvent.RETRY)
        second = claim(database)
        began_before(database, second, 50)
        end(database, second, JobEvent.FAIL, EndReason.TRAINER_BUG)

        job = job_row(database, hold.job_id)

        assert job.earlier_seconds == pytest.approx(100, abs=30)
        assert job.ran_seconds == pytest.approx(50, abs=30)


@pytest.mark.mostly_sqlite
class TestErrors:
    @pytest.mark.parametrize(
        ("ended", "amended"),
        [
            (AttemptEnd(EndReason.DISK_FULL), {}),
            (AttemptEnd(EndReason.BAD_DATA), None),
            (AttemptEnd(EndReason.TIMEOUT), None),
            (
                AttemptEnd(EndReason.DIVERGED, amended={"train": {"lr0": 0.1}}),
                {"train": {"lr0": 0.1}},
            ),
        ],
        ids=["disk full", "bad data", "timeout", "diverged"],
    )
    def test_a_failed_job_has_the_change_that_avoids_the_failure(
        self, database: Database, hold: Hold, ended: AttemptEnd, amended: object
    ) -> None:
        with database.write() as unit:
            apply_event(unit.session, lock_held(unit.session, hold), JobEvent.FAIL, ended)

        assert job_row(database, hold.job_id).error_amended == amended

    @pytest.mark.parametrize(
        ("reason", "amended"),
        [(EndReason.WORKER_LOST, {}), (EndReason.GPU_LOST, {}), (EndReason.TRAINER_KILLED, None)],
    )
    def test_restarts_that_machines_used_up_leave_the_spec_as_it_is(
        self, database: Database, hold: Hold, reason: EndReason, amended: object
    ) -> None:
        with database.write() as unit:
            unit.session.execute(update(Job).values(restarts=Job.max_restarts))
        with database.write() as unit:
            lost = AttemptEnd(reason, log_line=7)
            apply_event(unit.session, lock_held(unit.session, hold), JobEvent.INTERRUPT, lost)

        job = job_row(database, hold.job_id)
        assert (job.end_reason, job.error_amended) == (EndReason.RESTARTS_EXHAUSTED, amended)
        assert job.error_log_line == 7

    def test_every_reason_has_a_title_of_one_line(self) -> None:
        titles = [reason.headline for reason in EndReason]

        assert all(0 < len(title) <= 60 and "\n" not in title for title in titles)
        assert len(set(titles)) == len(titles)


class TestEventsPage:
    LOGGED = (
        ("job.started", Level.INFO),
        ("epoch.finished", Level.INFO),
        ("trainer.warning", Level.WARNING),
        ("epochs.dropped", Level.INFO),
        ("epoch.finished", Level.INFO),
        ("job.failed", Level.ERROR),
    )

    @pytest.fixture
    def job_id(self, database: Database, rows: Rows) -> str:
        job_id = a_job(database, rows)
        with database.write() as unit:
            for seq, (type_, level) in enumerate(self.LOGGED, 1):
                append_event(unit.session, job_id, seq, type_, level=level)
        return job_id

    @pytest.mark.parametrize(
        ("chosen", "seqs"),
        [
            (EventFilter(), [1, 2, 3, 4, 5, 6]),
            (EventFilter(newest_first=True), [6, 5, 4, 3, 2, 1]),
            (EventFilter(types=("job.*",)), [1, 6]),
            (EventFilter(types=("epoch.*",)), [2, 5]),
            (EventFilter(types=("epoch.finished", "job.failed")), [2, 5, 6]),
            (EventFilter(types=("trainer.warning", "job.*"), newest_first=True), [6, 3, 1]),
            (EventFilter(types=("epoch",)), []),
            (EventFilter(level=Level.WARNING), [3, 6]),
            (EventFilter(level=Level.ERROR), [6]),
            (EventFilter(types=("job.*",), level=Level.WARNING), [6]),
        ],
    )
    def test_events_are_chosen_by_type_and_level_in_pages_of_either_order(
        self, database: Database, job_id: str, chosen: EventFilter, seqs: list[int]
    ) -> None:
        paged: list[int] = []
        with database.read() as unit:
            while rows := events_page(
                unit.session, job_id, chosen, after=paged[-1] if paged else None, limit=2
            ):
                paged += [row.seq or 0 for row in rows]

        assert paged == seqs
