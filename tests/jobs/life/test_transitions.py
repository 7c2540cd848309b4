"""Claims, ends and requests against real databases."""

from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from app.artifacts.repository import checkpoints_of
from app.artifacts.tables import CondemnedObject
from app.core.database import Database
from app.jobs.end_reasons import EndReason
from app.jobs.life.claim import Demand, SlotOffer, claim_job, eligible_for
from app.jobs.life.transitions import AttemptEnd, Refused, apply_event
from app.jobs.locks import Fenced, lock_held
from app.jobs.repository import attempts_of
from app.jobs.spec.job_spec import SPEC_VERSION
from app.jobs.states import JobEvent, JobState, Phase, Request
from app.jobs.tables import Job
from tests.jobs.driving import CPU_SLOT, GPU_SLOT, LEASE, claim, end, request
from tests.worlds.rows import Rows, a_checkpoint, a_job, events_of, job_row


class TestClaim:
    def test_a_claim_starts_an_attempt_under_a_lease(self, database: Database, rows: Rows) -> None:
        job_id = a_job(database, rows)

        hold = claim(database)

        job = job_row(database, job_id)
        assert (hold.job_id, hold.attempt) == (job_id, 1)
        assert (job.state, job.phase, job.worker_id) == (
            JobState.RUNNING,
            Phase.PREPARING,
            CPU_SLOT.worker_id,
        )
        assert job.lease_expires_at is not None
        assert job.started_at is not None

    def test_a_claimed_job_is_not_claimed_again(self, database: Database, rows: Rows) -> None:
        a_job(database, rows)
        claim(database)

        with database.write() as unit:
            second = claim_job(unit.session, GPU_SLOT, lease=LEASE)

        assert second is None

    def test_the_job_that_was_rung_for_goes_first(self, database: Database, rows: Rows) -> None:
        a_job(database, rows, priority=9)
        rung = a_job(database, rows)

        hold = claim(database, rung_for=rung)

        assert hold.job_id == rung

    def test_priority_goes_before_age_without_a_bell(self, database: Database, rows: Rows) -> None:
        oldest = a_job(database, rows)
        urgent = a_job(database, rows, priority=1)

        claimed = [claim(database).job_id, claim(database, GPU_SLOT).job_id]

        assert claimed == [urgent, oldest]

    @pytest.mark.parametrize(
        ("columns", "offer"),
        [
            ({"queue": "night"}, CPU_SLOT),
            ({"gpus": 1}, CPU_SLOT),
            ({"gpus": 0}, GPU_SLOT),
            ({"trainer": "gray"}, CPU_SLOT),
            ({"trainer": "gray"}, replace(CPU_SLOT, plugins=("grey", "sepia"))),
            ({"state": JobState.PAUSED}, CPU_SLOT),
            ({"spec_version": SPEC_VERSION + 1}, CPU_SLOT),
        ],
        ids=[
            "other-queue",
            "needs-a-gpu",
            "wants-a-cpu",
            "needs-a-plugin",
            "needs-another-plugin",
            "paused",
            "of-a-later-release",
        ],
    )
    def test_a_job_that_is_not_for_the_slot_stays(
        self, database: Database, rows: Rows, columns: dict[str, object], offer: SlotOffer
    ) -> None:
        job_id = a_job(database, rows, **columns)

        with database.write() as unit:
            claimed = claim_job(unit.session, offer, lease=LEASE, rung_for=job_id)

        assert claimed is None

    def test_a_slot_with_plugins_claims_the_jobs_that_need_one_and_all_others(
        self, database: Database, rows: Rows
    ) -> None:
        slot = replace(CPU_SLOT, plugins=("gray", "sepia"))
        jobs = [a_job(database, rows, trainer="sepia"), a_job(database, rows)]

        claimed = [claim(database, slot).job_id, claim(database, slot).job_id]

        assert claimed == jobs

    @pytest.mark.parametrize("trainer", [None, "gray", "sepia"])
    @pytest.mark.parametrize("gpus", [None, 0, 1])
    @pytest.mark.parametrize("queue", ["default", "night"])
    def test_a_slot_suits_just_the_jobs_that_it_claims(
        self, database: Database, rows: Rows, queue: str, gpus: int | None, trainer: str | None
    ) -> None:
        job = job_row(database, a_job(database, rows, queue=queue, gpus=gpus, trainer=trainer))
        slots = [replace(each, plugins=("gray",)) for each in (CPU_SLOT, GPU_SLOT)]

        suited = [slot.suits(Demand.of(job)) for slot in slots]

        with database.read() as unit:
            eligible = [
                unit.session.scalars(select(Job.id).where(eligible_for(slot))).all()
                for slot in slots
            ]
        assert suited == [job.id in ids for ids in eligible]

    def test_a_job_in_back_off_waits(self, database: Database, rows: Rows) -> None:
        a_job(database, rows, max_restarts=5)
        hold = claim(database)
        with database.write() as unit:
            job = lock_held(unit.session, hold)
            late = AttemptEnd(EndReason.WORKER_LOST, restart_backoff=timedelta(hours=1))
            apply_event(unit.session, job, JobEvent.INTERRUPT, late)

        with database.write() as unit:
            claimed = claim_job(unit.session, CPU_SLOT, lease=LEASE)

        assert claimed is None


class TestFence:
    def test_a_hold_of_an_earlier_attempt_is_fenced(self, database: Database, rows: Rows) -> None:
        a_job(database, rows)
        stale = claim(database)
        end(database, stale, JobEvent.INTERRUPT, EndReason.WORKER_LOST)
        claim(database)

        with pytest.raises(Fenced), database.write() as unit:
            lock_held(unit.session, stale)

    def test_a_hold_is_fenced_once_the_job_ended(self, database: Database, rows: Rows) -> None:
        a_job(database, rows)
        hold = claim(database)
        end(database, hold, JobEvent.FINISH, EndReason.SUCCEEDED)

        with pytest.raises(Fenced), database.write() as unit:
            lock_held(unit.session, hold)


class TestEnds:
    def test_an_interrupted_attempt_requeues_and_is_counted(
        self, database: Database, rows: Rows
    ) -> None:
        job_id = a_job(database, rows)
        hold = claim(database)

        applied = end(database, hold, JobEvent.INTERRUPT, EndReason.WORKER_LOST)

        job = job_row(database, job_id)
        assert applied.rings
        assert (job.state, job.restarts, job.phase, job.lease_expires_at) == (
            JobState.QUEUED,
            1,
            None,
            None,
        )

    def test_a_drained_attempt_requeues_uncounted(self, database: Database, rows: Rows) -> None:
        job_id = a_job(database, rows)

        end(database, claim(database), JobEvent.DRAIN, EndReason.WORKER_DRAINED)

        assert job_row(database, job_id).restarts == 0

    def test_a_crash_loop_ends_with_its_attempts_kept(self, database: Database, rows: Rows) -> None:
        job_id = a_job(database, rows, max_restarts=2)

        for _ in range(3):
            end(database, claim(database), JobEvent.INTERRUPT, EndReason.WORKER_LOST)

        job = job_row(database, job_id)
        with database.read() as unit:
            reasons = [row.end_reason for row in attempts_of(unit.session, job_id)]
        assert (job.state, job.end_reason) == (JobState.FAILED, EndReason.RESTARTS_EXHAUSTED)
        assert reasons == [EndReason.WORKER_LOST] * 3

    def test_a_stopped_job_whose_attempts_break_off_for_ever_backs_off_no_longer_than_that(
        self, database: Database, rows: Rows
    ) -> None:
        job_id = a_job(database, rows, request=Request.STOP, restarts=5000)
        a_checkpoint(database, job_id)
        late = AttemptEnd(EndReason.WORKER_LOST, restart_backoff=timedelta(seconds=5))

        hold = claim(database)
        with database.write() as unit:
            apply_event(unit.session, lock_held(unit.session, hold), JobEvent.INTERRUPT, late)

        job = job_row(database, job_id)
        assert (job.state, job.request) == (JobState.QUEUED, Request.STOP)
        assert job.not_before_at is not None

    def test_a_failure_names_its_reason_message_and_hint(
        self, database: Database, rows: Rows
    ) -> None:
        job_id = a_job(database, rows)

        end(database, claim(database), JobEvent.FAIL, EndReason.OUT_OF_MEMORY)

        job = job_row(database, job_id)
        assert (job.state, job.end_reason) == (JobState.FAILED, EndReason.OUT_OF_MEMORY)
        assert job.error_hint == EndReason.OUT_OF_MEMORY.hint
        assert job.ended_at is not None

    def test_running_time_adds_up_over_attempts(self, database: Database, rows: Rows) -> None:
        job_id = a_job(database, rows)

        end(database, claim(database), JobEvent.DRAIN, EndReason.WORKER_DRAINED)
        first = job_row(database, job_id).ran_seconds
        end(database, claim(database), JobEvent.FINISH, EndReason.SUCCEEDED)

        assert 0 <= first <= job_row(database, job_id).ran_seconds < LEASE.total_seconds()


class TestKeptCheckpoints:
    """Epochs 1 to 4; epochs 1, 2 and 3 have a training state."""

    @pytest.mark.parametrize(
        ("event", "reason", "weights", "states"),
        [
            (JobEvent.FINISH, EndReason.SUCCEEDED, [4, 3], [3]),
            (JobEvent.FAIL, EndReason.BAD_DATA, [4, 3], [3]),
            (JobEvent.DRAIN, EndReason.WORKER_DRAINED, [4, 3, 2, 1], [3, 2, 1]),
        ],
    )
    def test_an_end_leaves_the_checkpoints_that_a_job_may_continue_from(
        self,
        database: Database,
        rows: Rows,
        event: JobEvent,
        reason: EndReason,
        weights: list[int],
        states: list[int],
    ) -> None:
        job_id = a_job(database, rows)
        hold = claim(database)
        for epoch in (1, 2, 3, 4):
            a_checkpoint(database, job_id, epoch=epoch)
        for epoch in (1, 2, 3):
            a_checkpoint(database, job_id, epoch=epoch, name="state.pt", sha256=f"{epoch:064}")

        end(database, hold, event, reason)

        with database.read() as unit:
            checkpoints = checkpoints_of(unit.session, job_id)
            condemned = set(unit.session.scalars(select(CondemnedObject.sha256)))
        assert [row.epoch for row in checkpoints if row.name == "last.pt"] == weights
        assert [row.epoch for row in checkpoints if row.name == "state.pt"] == states
        assert condemned == {f"{epoch:064}" for epoch in {1, 2, 3} - set(states)}


class TestRequests:
    def test_cancelling_a_waiting_job_ends_it(self, database: Database, rows: Rows) -> None:
        job_id = a_job(database, rows)

        request(database, job_id, JobEvent.CANCEL)

        assert job_row(database, job_id).state is JobState.CANCELLED

    def test_cancelling_a_running_job_asks_its_worker(self, database: Database, rows: Rows) -> None:
        job_id = a_job(database, rows)
        claim(database)

        request(database, job_id, JobEvent.CANCEL)

        job = job_row(database, job_id)
        assert (job.state, job.request) == (JobState.RUNNING, Request.CANCEL)

    def test_cancelling_twice_logs_once(self, database: Database, rows: Rows) -> None:
        job_id = a_job(database, rows)
        claim(database)

        request(database, job_id, JobEvent.CANCEL)
        request(database, job_id, JobEvent.CANCEL)

        types = [row.type for row in events_of(database, job_id)]
        assert types.count("job.cancel_requested") == 1

    def test_an_ended_job_refuses_requests(self, database: Database, rows: Rows) -> None:
        job_id = a_job(database, rows)
        end(database, claim(database), JobEvent.FINISH, EndReason.SUCCEEDED)

        refused = request(database, job_id, JobEvent.CANCEL)

        assert isinstance(refused, Refused)

    def test_a_stop_without_a_checkpoint_has_nothing_to_keep(
        self, database: Database, rows: Rows
    ) -> None:
        job_id = a_job(database, rows)

        assert isinstance(request(database, job_id, JobEvent.STOP), Refused)

    def test_a_stop_of_a_waiting_job_with_a_checkpoint_is_kept_for_its_next_attempt(
        self, database: Database, rows: Rows
    ) -> None:
        job_id = a_job(database, rows)
        a_checkpoint(database, job_id)

        request(database, job_id, JobEvent.STOP)

        job = job_row(database, job_id)
        assert (job.state, job.request) == (JobState.QUEUED, Request.STOP)


class TestEventLog:
    def test_events_are_numbered_without_gaps(self, database: Database, rows: Rows) -> None:
        job_id = a_job(database, rows)
        hold = claim(database)
        request(database, job_id, JobEvent.CANCEL)
        end(database, hold, JobEvent.LEAVE, EndReason.CANCELLED)

        events = events_of(database, job_id)

        # The use case that submits a job writes number 1.
        assert [row.seq for row in events] == [n for n, _ in zip(count(2), events, strict=False)]
        assert events[-1].seq == job_row(database, job_id).last_seq


class TestInvariants:
    @pytest.mark.parametrize(
        "values",
        [
            {"state": JobState.RUNNING},
            {"phase": Phase.TRAINING},
            {"request": Request.CANCEL},
        ],
        ids=["running-without-lease", "phase-while-queued", "request-while-queued"],
    )
    def test_the_database_refuses_what_cannot_be(
        self, database: Database, rows: Rows, values: dict[str, object]
    ) -> None:
        job_id = a_job(database, rows)

        with pytest.raises(IntegrityError), database.write() as unit:
            unit.session.execute(update(Job).where(Job.id == job_id).values(**values))
