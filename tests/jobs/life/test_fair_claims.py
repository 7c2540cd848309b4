"""Claims go round between projects, and what a queue shows is what happens."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, insert, select, text, update

from app.accounts.tables import MemberRole, Membership, User
from app.core.database import Database, database_now
from app.core.ids import new_id
from app.jobs.life.claim import SlotOffer, best_job, claim_job
from app.jobs.repository import queue_position
from app.jobs.states import JobState
from app.jobs.tables import Job
from app.quotas.tables import Lane, Usage
from tests.worlds.rows import OFFER, Rows, a_job, claim, job_row, some_rows

LEASE = timedelta(seconds=90)
ROOT = Path(__file__).parents[3]
PROCESSES, PROJECTS, EACH = 6, 3, 10

CLAIM_SIX = """
import os, sys
from datetime import timedelta
from app.core.database import Database
from app.jobs.life.claim import SlotOffer, claim_job

url, processes = sys.argv[1], int(sys.argv[2])
for number in range(processes):
    if os.fork() == 0:
        database = Database(url, pool_size=2)
        with database.write() as unit:
            job = claim_job(
                unit.session, SlotOffer(f"w{number}", ("default",), 0), lease=timedelta(hours=1)
            )
        os.write(1, ((job.project_id if job else "none") + "\\n").encode())
        os._exit(0)
raise SystemExit(any([os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(processes)]))
"""


def limit(database: Database, subject_id: str, running: int) -> None:
    with database.write() as unit:
        statement = update(Usage).where(Usage.subject_id == subject_id)
        unit.session.execute(statement.values(max_running_jobs=running))


def a_colleague(database: Database, rows: Rows) -> Rows:
    """Return the rows with another member of the project as their user."""
    user_id = new_id("usr")
    with database.write() as unit:
        unit.session.execute(
            insert(User).values(id=user_id, name=user_id, is_admin=False, created_at=database_now())
        )
        unit.session.execute(
            insert(Membership).values(
                user_id=user_id, project_id=rows.project_id, role=MemberRole.MEMBER
            )
        )
    return Rows(user_id, rows.project_id, rows.dataset_id, rows.version_id)


def claimed_in_order(database: Database, offer: SlotOffer = OFFER) -> list[str]:
    """Claim until nothing is left; return the ids of the jobs in order."""
    order: list[str] = []
    while True:
        with database.write() as unit:
            job = claim_job(unit.session, offer, lease=LEASE)
        if job is None:
            return order
        order.append(job.id)


def positions(database: Database, jobs: list[str]) -> dict[str, int]:
    with database.read() as unit:
        rows = unit.session.scalars(select(Job).where(Job.id.in_(jobs))).all()
        return {job.id: queue_position(unit.session, job) for job in rows}


class TestProjects:
    def test_claims_of_equal_priority_go_round_between_projects(self, database: Database) -> None:
        one, other = some_rows(database), some_rows(database, name="other")
        many = [a_job(database, one) for _ in range(4)]
        few = [a_job(database, other) for _ in range(2)]

        order = claimed_in_order(database)

        assert order == [many[0], few[0], many[1], few[1], many[2], many[3]]

    def test_a_project_that_comes_later_is_next(self, database: Database) -> None:
        one, other = some_rows(database), some_rows(database, name="other")
        first, *rest = [a_job(database, one) for _ in range(3)]
        assert claim(database).job_id == first
        late = a_job(database, other)

        assert claimed_in_order(database) == [late, *rest]

    def test_a_project_that_submits_one_job_after_the_other_takes_turns(
        self, database: Database
    ) -> None:
        one, other = some_rows(database), some_rows(database, name="other")
        for _ in range(4):
            a_job(database, one)
        claimed: list[str] = []

        for _ in range(4):
            if not claimed or claimed[-1] == other.project_id:
                a_job(database, other)
            claimed.append(job_row(database, claim(database).job_id).project_id)

        assert Counter(claimed) == {one.project_id: 2, other.project_id: 2}

    def test_cancelled_jobs_cost_a_project_no_turn(self, database: Database) -> None:
        one, other = some_rows(database), some_rows(database, name="other")
        *mistakes, meant = [a_job(database, one) for _ in range(5)]
        others = [a_job(database, other) for _ in range(3)]
        with database.write() as unit:
            ended = {"state": JobState.CANCELLED, "ended_at": database_now()}
            unit.session.execute(update(Job).where(Job.id.in_(mistakes)).values(**ended))

        assert claimed_in_order(database).index(meant) <= 1, others

    def test_a_higher_priority_comes_before_the_turn_of_a_project(self, database: Database) -> None:
        one, other = some_rows(database), some_rows(database, name="other")
        a_job(database, other)
        urgent = [a_job(database, one, priority=5) for _ in range(3)]

        assert claimed_in_order(database)[:3] == urgent

    def test_a_slot_of_several_queues_takes_turns_between_them(self, database: Database) -> None:
        rows = some_rows(database)
        busy = [a_job(database, rows) for _ in range(9)]
        assert [claim(database).job_id for _ in range(6)] == busy[:6]
        quiet = [a_job(database, rows, queue="quiet") for _ in range(3)]

        order = claimed_in_order(database, SlotOffer(OFFER.worker_id, ("default", "quiet"), 0))

        assert [job in quiet for job in order] == [True, False, True, False, True, False]

    def test_users_of_a_project_take_turns_in_it(self, database: Database) -> None:
        one = some_rows(database)
        many = [a_job(database, one) for _ in range(3)]
        theirs = a_job(database, a_colleague(database, one))

        assert claimed_in_order(database) == [many[0], theirs, many[1], many[2]]

    def test_a_project_gets_no_more_turns_by_having_more_users(self, database: Database) -> None:
        one, other = some_rows(database), some_rows(database, name="other")
        for member in (one, a_colleague(database, one), a_colleague(database, one)):
            a_job(database, member)
            a_job(database, member)
        for _ in range(3):
            a_job(database, other)

        projects = [job_row(database, each).project_id for each in claimed_in_order(database)[:6]]

        assert projects == [one.project_id, other.project_id] * 3

    @pytest.mark.mostly_sqlite
    def test_processes_that_claim_at_once_serve_every_project_alike(
        self, database: Database, database_url: str
    ) -> None:
        for number in range(PROJECTS):
            rows = some_rows(database, name=f"project {number}")
            for _ in range(EACH):
                a_job(database, rows)

        finished = subprocess.run(
            [sys.executable, "-c", CLAIM_SIX, database_url, str(PROCESSES)],
            cwd=ROOT,
            capture_output=True,
            timeout=120,
            check=False,
        )

        assert finished.returncode == 0, finished.stderr.decode()
        served = Counter(finished.stdout.decode().split())
        assert sorted(served.values()) == [PROCESSES // PROJECTS] * PROJECTS


class TestLimits:
    def test_jobs_of_a_project_at_its_limit_wait(self, database: Database) -> None:
        one, other = some_rows(database), some_rows(database, name="other")
        first = a_job(database, one)
        a_job(database, one)
        theirs = [a_job(database, other) for _ in range(2)]
        limit(database, one.project_id, 1)

        assert claimed_in_order(database) == [first, *theirs]

    def test_the_jobs_of_other_users_go_on_when_one_is_at_their_limit(
        self, database: Database
    ) -> None:
        one = some_rows(database)
        colleague = a_colleague(database, one)
        first = a_job(database, one)
        a_job(database, one)
        theirs = [a_job(database, colleague) for _ in range(2)]
        limit(database, one.user_id, 1)

        assert claimed_in_order(database) == [first, *theirs]

    def test_a_bell_starts_no_job_above_the_limit(self, database: Database) -> None:
        one = some_rows(database)
        a_job(database, one)
        second = a_job(database, one)
        limit(database, one.project_id, 1)
        claim(database)

        with database.write() as unit:
            claimed = claim_job(unit.session, OFFER, lease=LEASE, rung_for=second)

        assert claimed is None

    def test_an_ended_job_makes_room_for_the_next(self, database: Database) -> None:
        one = some_rows(database)
        a_job(database, one)
        second = a_job(database, one)
        limit(database, one.project_id, 1)
        hold = claim(database)
        with database.write() as unit:
            ended = {"state": JobState.CANCELLED, "lease_expires_at": None, "phase": None}
            unit.session.execute(update(Job).where(Job.id == hold.job_id).values(**ended))

        assert claimed_in_order(database) == [second]

    def test_no_slot_is_rung_for_a_job_that_a_limit_holds(self, database: Database) -> None:
        a_job(database, rows := some_rows(database))
        limit(database, rows.project_id, 0)

        with database.read() as unit:
            assert best_job(unit.session, OFFER) is None

    @pytest.mark.mostly_sqlite
    def test_processes_that_claim_at_once_keep_to_the_limit(
        self, database: Database, database_url: str
    ) -> None:
        rows = some_rows(database)
        for _ in range(PROCESSES):
            a_job(database, rows)
        limit(database, rows.project_id, 2)

        finished = subprocess.run(
            [sys.executable, "-c", CLAIM_SIX, database_url, str(PROCESSES)],
            cwd=ROOT,
            capture_output=True,
            timeout=120,
            check=False,
        )

        assert finished.returncode == 0, finished.stderr.decode()
        served = Counter(finished.stdout.decode().split())
        assert served == {rows.project_id: 2, "none": PROCESSES - 2}


class TestPositions:
    def test_a_position_is_the_number_of_the_claim_that_takes_the_job(
        self, database: Database
    ) -> None:
        one, other = some_rows(database), some_rows(database, name="other")
        colleague = a_colleague(database, one)
        owners = (one, one, one, other, colleague, other, one, colleague, other, one)
        jobs = [a_job(database, rows, priority=n % 2) for n, rows in enumerate(owners)]
        shown = positions(database, jobs)

        order = claimed_in_order(database)

        assert shown == {job: number for number, job in enumerate(order, 1)}

    def test_jobs_that_a_limit_holds_are_not_counted(self, database: Database) -> None:
        one, other = some_rows(database), some_rows(database, name="other")
        a_job(database, one)
        theirs = a_job(database, other)
        limit(database, one.project_id, 0)

        assert positions(database, [theirs]) == {theirs: 1}


@pytest.fixture(scope="module")
def emptied(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Database, tuple[Rows, ...]]]:
    """Yield a database with three users in two projects."""
    path = tmp_path_factory.mktemp("fair") / "trainyard.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = Database(f"sqlite:///{path}")
    # The tests of this fixture are about order, not about power cuts.
    event.listen(database.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
    one, other = some_rows(database), some_rows(database, name="other")
    yield database, (one, other, a_colleague(database, one))
    database.dispose()


class TestAnyQueue:
    @settings(max_examples=15)
    @given(
        submitted=st.lists(
            st.tuples(st.integers(0, 2), st.integers(0, 1), st.booleans()), max_size=12
        )
    )
    def test_positions_foretell_the_claims_of_any_queue(
        self,
        emptied: tuple[Database, tuple[Rows, ...]],
        submitted: list[tuple[int, int, bool]],
    ) -> None:
        database, owners = emptied
        with database.write() as unit:
            unit.session.execute(text("DELETE FROM jobs"))
            unit.session.execute(text("DELETE FROM lanes"))
        jobs = []
        for owner, priority, claims_one in submitted:
            jobs.append(a_job(database, owners[owner], priority=priority))
            if claims_one:
                claim(database)
        with database.read() as unit:
            waiting = unit.session.scalars(select(Job.id).where(Job.state == JobState.QUEUED))
            shown = positions(database, list(waiting))

        order = claimed_in_order(database)

        assert shown == {job: number for number, job in enumerate(order, 1)}
        with database.read() as unit:
            assert not unit.session.scalars(select(Lane).where(Lane.waiting != 0)).all()
