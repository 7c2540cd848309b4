"""Requests of users that race with a worker or the reconciler end as one of the two orders."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import permutations

import pytest

from app.core.database import Database, database_now
from app.core.ids import new_id
from app.jobs.end_reasons import EndReason
from app.jobs.guards import JobFacts, transition_for
from app.jobs.life.claim import SlotOffer, claim_job
from app.jobs.life.doorbell import Doorbell
from app.jobs.life.reconciler import Reconciler, RequeueExpired
from app.jobs.life.transitions import Applied, AttemptEnd, apply_event
from app.jobs.locks import Fenced, Hold, lock_held
from app.jobs.states import USER_EVENTS, JobEvent, JobState, Request
from app.settings.timing import Timing
from tests.databases import POOL_SIZE
from tests.jobs.driving import request
from tests.jobs.invariants import Seen, sound_job
from tests.jobs.transition_table import REFUSED, expected
from tests.worlds.rows import Rows, a_checkpoint, a_job, some_rows

pytestmark = pytest.mark.integration

ROUNDS = 6
LEASE = timedelta(hours=1)
EXPIRED = timedelta(seconds=-5)
TIMING = Timing(restart_backoff_seconds=0.001)
RACING = tuple(event for event in USER_EVENTS if event is not JobEvent.RESTORE)
REASONS = {
    JobEvent.FINISH: EndReason.SUCCEEDED,
    JobEvent.FAIL: EndReason.DIVERGED,
    JobEvent.INTERRUPT: EndReason.WORKER_LOST,
    JobEvent.DRAIN: EndReason.WORKER_DRAINED,
}
BEFORE_A_CLAIM = {
    JobEvent.RESUME: JobState.PAUSED,
    JobEvent.RETRY: JobState.FAILED,
    JobEvent.DELETE: JobState.FAILED,
}
"""States from which a request could make a claim possible; other requests start from QUEUED."""

Action = Callable[[], bool]


@dataclass(frozen=True)
class Race:
    """One database, opened twice: as by the worker process and as by the server process."""

    worker: Database
    server: Database
    rows: Rows
    reconciler: Reconciler
    pool: ThreadPoolExecutor


@dataclass(frozen=True)
class Racer:
    """A job in its own queue, the slot that claims it, and the facts of its state."""

    race: Race
    job_id: str
    slot: SlotOffer
    facts: JobFacts

    @property
    def hold(self) -> Hold:
        return Hold(self.job_id, 1)

    def asks(self, event: JobEvent) -> Action:
        return lambda: isinstance(request(self.race.server, self.job_id, event), Applied)

    def ends(self, event: JobEvent) -> Action:
        def end() -> bool:
            try:
                with self.race.worker.write() as unit:
                    job = lock_held(unit.session, self.hold)
                    outcome = apply_event(unit.session, job, event, AttemptEnd(REASONS[event]))
            except Fenced:
                return False
            return isinstance(outcome, Applied)

        return end

    def claims(self, *, rung: bool) -> Action:
        def claim() -> bool:
            with self.race.worker.write() as unit:
                bell = self.job_id if rung else None
                return claim_job(unit.session, self.slot, lease=LEASE, rung_for=bell) is not None

        return claim

    def expires(self) -> None:
        self.race.reconciler._do(RequeueExpired(self.job_id, 1))


@pytest.fixture(scope="module")
def race(module_database_url: str) -> Iterator[Race]:
    worker, server = (Database(module_database_url, pool_size=POOL_SIZE) for _ in range(2))
    reconciler = Reconciler(server, Doorbell("redis://127.0.0.1:1/0"), TIMING)
    with ThreadPoolExecutor(3) as pool:
        yield Race(worker, server, some_rows(server), reconciler, pool)
    worker.dispose()
    server.dispose()


def a_racer(race: Race, facts: JobFacts, *, lease: timedelta = LEASE) -> Racer:
    queue = new_id("queue")
    slot = SlotOffer("wrk_1", (queue,), gpus=0)
    columns: dict[str, object] = {"queue": queue}
    if facts.state is not JobState.RUNNING:
        columns |= {"state": facts.state}
    if facts.state.is_ended:
        columns |= {"ended_at": database_now()}
    job_id = a_job(race.server, race.rows, **columns)
    if facts.state is JobState.RUNNING:
        with race.worker.write() as unit:
            assert claim_job(unit.session, slot, lease=lease)
    if facts.request is Request.PAUSE:
        request(race.server, job_id, JobEvent.PAUSE)
    if facts.has_checkpoint:
        a_checkpoint(race.server, job_id)
    return Racer(race, job_id, slot, facts)


def at_once(race: Race, actions: Sequence[Callable[[], object]]) -> list[object]:
    together = threading.Barrier(len(actions))

    def run(action: Callable[[], object]) -> object:
        together.wait(timeout=30)
        return action()

    return list(race.pool.map(run, actions))


def in_order(events: Sequence[JobEvent], before: JobFacts, log: tuple[str, ...]) -> Seen:
    """Return the state after these events, in this order, by the handwritten transition table.

    The job of these tests always has restarts left, and no second attempt.
    """
    facts = before
    for event in events:
        after = expected(event, facts)
        row = transition_for(event, facts)
        if after is REFUSED or row is None or row.logged_as is None:
            continue
        log = (*log, row.logged_as)
        state, asked = after
        in_trash = facts.in_trash or event is JobEvent.DELETE
        facts = replace(facts, state=state, request=asked, in_trash=in_trash)
    return Seen(facts.state, facts.request, facts.in_trash, log)


def possible(racer: Racer, before: Seen, events: Sequence[JobEvent]) -> set[Seen]:
    return {in_order(order, racer.facts, before.events) for order in permutations(events)}


def start_of(asked: JobEvent, *, number: int) -> JobFacts:
    """Return a running job with a checkpoint if `number` is even; a pause is pending for RESUME."""
    pauses = Request.PAUSE if asked is JobEvent.RESUME else None
    return JobFacts(JobState.RUNNING, pauses, has_checkpoint=number % 2 == 0)


class TestWhatIsAsked:
    @pytest.mark.parametrize("asked", RACING)
    def test_a_request_while_a_slot_claims_ends_in_one_of_both_orders(
        self, race: Race, asked: JobEvent
    ) -> None:
        state = BEFORE_A_CLAIM.get(asked, JobState.QUEUED)
        for number in range(ROUNDS):
            racer = a_racer(race, JobFacts(state, has_checkpoint=number % 2 == 0))
            before = sound_job(race.server, racer.job_id)

            at_once(race, [racer.asks(asked), racer.claims(rung=True)])

            seen = sound_job(race.server, racer.job_id)
            assert seen in possible(racer, before, (asked, JobEvent.CLAIM))

    @pytest.mark.parametrize("asked", RACING)
    def test_a_request_while_a_slot_looks_for_a_job_ends_in_one_of_both_orders(
        self, race: Race, asked: JobEvent
    ) -> None:
        """The slot may skip a job that another transaction is writing: another bell follows."""
        state = BEFORE_A_CLAIM.get(asked, JobState.QUEUED)
        for number in range(ROUNDS):
            racer = a_racer(race, JobFacts(state, has_checkpoint=number % 2 == 0))
            before = sound_job(race.server, racer.job_id)

            _, claimed = at_once(race, [racer.asks(asked), racer.claims(rung=False)])

            events = (asked, JobEvent.CLAIM) if claimed else (asked,)
            seen = sound_job(race.server, racer.job_id)
            assert seen in possible(racer, before, events)

    @pytest.mark.parametrize("ends", REASONS)
    @pytest.mark.parametrize("asked", RACING)
    def test_a_request_while_the_attempt_ends_ends_in_one_of_both_orders(
        self, race: Race, asked: JobEvent, ends: JobEvent
    ) -> None:
        for number in range(ROUNDS):
            racer = a_racer(race, start_of(asked, number=number))
            before = sound_job(race.server, racer.job_id)

            _, ended = at_once(race, [racer.asks(asked), racer.ends(ends)])

            seen = sound_job(race.server, racer.job_id)
            assert ended
            assert seen in possible(racer, before, (asked, ends))

    @pytest.mark.parametrize("asked", RACING)
    def test_a_request_while_the_lease_runs_out_and_a_worker_is_late_ends_in_some_order(
        self, race: Race, asked: JobEvent
    ) -> None:
        for number in range(ROUNDS):
            racer = a_racer(race, start_of(asked, number=number), lease=EXPIRED)
            before = sound_job(race.server, racer.job_id)
            late = racer.ends(JobEvent.FINISH)

            at_once(race, [racer.asks(asked), racer.expires, late])

            seen = sound_job(race.server, racer.job_id)
            events = (asked, JobEvent.INTERRUPT, JobEvent.FINISH)
            assert seen in possible(racer, before, events)
