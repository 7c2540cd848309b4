"""Any sequence of claims, ends and requests on real rows follows the handwritten table."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.core.database import Database
from app.jobs.end_reasons import EndReason
from app.jobs.guards import JobFacts
from app.jobs.life.claim import SlotOffer, claim_job
from app.jobs.life.recorded import recorded_of
from app.jobs.life.recording import EpochReport, record_epoch
from app.jobs.life.transitions import Applied, AttemptEnd, HalvedBatch, apply_event
from app.jobs.locks import Fenced, Hold, lock_held
from app.jobs.states import USER_EVENTS, JobEvent, JobState
from tests.databases import POOL_SIZE
from tests.jobs.driving import request
from tests.jobs.invariants import sound_job
from tests.jobs.transition_table import REFUSED, expected
from tests.worlds.rows import Rows, a_checkpoint, a_job, job_row, some_rows

pytestmark = pytest.mark.integration

LEASE = timedelta(hours=1)
MAX_RESTARTS = 2
BOUNDS = settings(
    max_examples=12,
    stateful_step_count=30,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
ENDS = {
    JobEvent.LEAVE: (EndReason.PAUSED, EndReason.CANCELLED),
    JobEvent.FINISH: (EndReason.SUCCEEDED,),
    JobEvent.FAIL: (EndReason.DIVERGED, EndReason.BAD_DATA, EndReason.DISK_FULL),
    JobEvent.INTERRUPT: (EndReason.WORKER_LOST, EndReason.TRAINER_KILLED, EndReason.LEASE_LOST),
    JobEvent.DRAIN: (EndReason.WORKER_DRAINED,),
    JobEvent.HALVE_BATCH: (EndReason.OUT_OF_MEMORY,),
    JobEvent.TIMEOUT: (EndReason.TIMEOUT,),
}
END = st.sampled_from([(event, reason) for event, reasons in ENDS.items() for reason in reasons])
ASKED = st.sampled_from((*USER_EVENTS, JobEvent.RETRY, JobEvent.RETRY, JobEvent.RESUME))
"""Events that lead back to the queue are more frequent: few events apply in other states."""
QUEUES = (f"queue-{number}" for number in count())


class JobLife(RuleBasedStateMachine):
    """One job: its events, and its expected state by the table."""

    database: Database
    rows: Rows

    @initialize()
    def submit(self) -> None:
        self.submit_another()

    @precondition(lambda self: self.facts.state is JobState.SUCCEEDED)
    @rule()
    def submit_another(self) -> None:
        self.slot = SlotOffer("wrk_1", (next(QUEUES),), gpus=0)
        self.job_id = a_job(
            self.database, self.rows, queue=self.slot.queues[0], max_restarts=MAX_RESTARTS
        )
        self.facts = JobFacts(JobState.QUEUED)
        self.restarts = self.attempt = self.epochs = 0

    @rule(rung=st.booleans())
    def claim(self, *, rung: bool) -> None:
        with self.database.write() as unit:
            bell = self.job_id if rung else None
            job = claim_job(unit.session, self.slot, lease=LEASE, rung_for=bell)

        assert (job is not None) == self._follows(JobEvent.CLAIM)
        self.attempt += job is not None

    @precondition(lambda self: self.facts.state is JobState.RUNNING)
    @rule(end=END)
    def end_attempt(self, end: tuple[JobEvent, EndReason]) -> None:
        event, reason = end
        ended = AttemptEnd(reason, halved=HalvedBatch(16, 8))

        applied = self._writes_as(self.attempt, event, ended)

        assert applied == self._follows(event)
        if applied and event is JobEvent.INTERRUPT and reason.counted:
            self._count(self.restarts + (self.facts.state is JobState.QUEUED))

    @precondition(lambda self: self.facts.state is JobState.QUEUED)
    @rule(then=st.sampled_from([JobEvent.FAIL, JobEvent.INTERRUPT]))
    def crash(self, then: JobEvent) -> None:
        """End two attempts in a row by crashes that count, which random sequences seldom do."""
        self.claim(rung=True)
        self.end_attempt((JobEvent.INTERRUPT, EndReason.WORKER_LOST))
        if self.facts.state is JobState.QUEUED:
            self.claim(rung=True)
            self.end_attempt((then, ENDS[then][0]))

    @rule(end=END, back=st.integers(0, 2))
    def end_an_attempt_that_is_over(self, end: tuple[JobEvent, EndReason], back: int) -> None:
        event, reason = end
        runs = self.facts.state is JobState.RUNNING

        assert not self._writes_as(self.attempt - back - runs, event, AttemptEnd(reason))

    @precondition(lambda self: self.facts.state is JobState.RUNNING)
    @rule(saved=st.booleans())
    def finish_epoch(self, *, saved: bool) -> None:
        self.epochs += 1
        report = EpochReport(
            epoch=self.epochs, epochs=1000, metrics={}, lr={}, duration_seconds=1.0
        )
        hold = Hold(self.job_id, self.attempt)
        with self.database.write() as unit:
            record_epoch(unit.session, hold, report, recorded_of(unit.session, hold))
        if saved:
            a_checkpoint(self.database, self.job_id, epoch=self.epochs)

        has_checkpoint = self.facts.has_checkpoint or saved
        self.facts = replace(self.facts, has_epoch=True, has_checkpoint=has_checkpoint)
        self._count(0)

    @rule(event=ASKED)
    def ask(self, event: JobEvent) -> None:
        outcome = request(self.database, self.job_id, event)

        accepted = self._follows(event)
        assert isinstance(outcome, Applied) == accepted
        if accepted and event is JobEvent.RETRY:
            self._count(0)
        if accepted and event in {JobEvent.DELETE, JobEvent.RESTORE}:
            self.facts = replace(self.facts, in_trash=event is JobEvent.DELETE)

    @invariant()
    def stands_as_the_table_says(self) -> None:
        seen = sound_job(self.database, self.job_id)
        job = job_row(self.database, self.job_id)

        facts = self.facts
        assert (seen.state, seen.request, seen.in_trash) == (
            facts.state,
            facts.request,
            facts.in_trash,
        )
        assert (job.attempt, job.restarts) == (self.attempt, self.restarts)
        failed = facts.state is JobState.FAILED
        assert (job.error_hint is not None) == failed
        assert (job.end_reason is not None) == facts.state.is_ended

    def _follows(self, event: JobEvent) -> bool:
        """Apply the event to the expected state, and return whether the table allows it."""
        after = expected(event, self.facts)
        if after is REFUSED:
            return False
        state, asked = after
        self.facts = replace(self.facts, state=state, request=asked)
        return True

    def _writes_as(self, attempt: int, event: JobEvent, end: AttemptEnd) -> bool:
        try:
            with self.database.write() as unit:
                job = lock_held(unit.session, Hold(self.job_id, attempt))
                return isinstance(apply_event(unit.session, job, event, end), Applied)
        except Fenced:
            return False

    def _count(self, restarts: int) -> None:
        self.restarts = restarts
        self.facts = replace(self.facts, restarts_left=restarts < MAX_RESTARTS)


@pytest.fixture(scope="module")
def machine(module_database_url: str) -> Iterator[type[JobLife]]:
    opened = Database(module_database_url, pool_size=POOL_SIZE)

    class JobLifeHere(JobLife):
        database = opened
        rows = some_rows(opened)

    yield JobLifeHere
    opened.dispose()


class TestLife:
    @pytest.mark.mostly_sqlite
    def test_the_life_of_a_job_is_what_the_table_says(self, machine: type[JobLife]) -> None:
        run_state_machine_as_test(machine, settings=BOUNDS)
