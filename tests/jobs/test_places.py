"""The places of all jobs of a page are those that each job has when it is asked alone."""

import random

import pytest
from sqlalchemy import insert, select, update

from app.accounts.tables import MemberRole, Membership, User
from app.core.database import Database, database_now
from app.jobs.places import Place, lanes_around, places_of
from app.jobs.repository import lane_of, queue_position
from app.jobs.states import JobState
from app.jobs.tables import Job
from app.quotas.lanes import limit_that_holds
from app.quotas.tables import Usage
from tests.counting import statements_to
from tests.worlds.rows import Rows, a_job, claim, some_rows


def several_owners(database: Database) -> list[Rows]:
    """Make three projects, of which the first has two users."""
    owners = [some_rows(database, name=name) for name in ("ants", "bees", "cats")]
    first = owners[0]
    with database.write() as unit:
        user = {"id": "usr_2", "name": "second", "is_admin": False, "created_at": database_now()}
        unit.session.execute(insert(User).values(**user))
        membership = {"user_id": "usr_2", "project_id": first.project_id, "role": MemberRole.MEMBER}
        unit.session.execute(insert(Membership).values(**membership))
    return [*owners, Rows("usr_2", first.project_id, first.dataset_id, first.version_id)]


def limit_running_jobs(database: Database, subject_id: str, most: int) -> None:
    with database.write() as unit:
        limited = update(Usage).where(Usage.subject_id == subject_id)
        unit.session.execute(limited.values(max_running_jobs=most))


class TestPlacesOf:
    def test_a_page_has_the_places_and_limits_that_each_job_has_alone(
        self, database: Database
    ) -> None:
        chance = random.Random(14)
        owners = several_owners(database)
        for _ in range(60):
            queue, priority = chance.choice(["default", "night"]), chance.choice([0, 0, 5])
            a_job(database, chance.choice(owners), queue=queue, priority=priority)
        limit_running_jobs(database, owners[1].project_id, 0)
        limit_running_jobs(database, owners[2].user_id, 0)
        for _ in range(8):
            claim(database)

        with database.read() as unit:
            waiting = unit.session.scalars(select(Job).where(Job.state == JobState.QUEUED)).all()
            alone = {
                job.id: Place(
                    queue_position(unit.session, job), limit_that_holds(unit.session, lane_of(job))
                )
                for job in waiting
            }
            together = places_of(unit.session, waiting, lanes_around(unit.session, waiting))

        assert together == alone
        assert {place.limit for place in together.values()} == {
            None,
            "project_running_limit",
            "user_running_limit",
        }

    def test_lanes_that_a_limit_holds_are_not_among_those_that_are_looked_at(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.jobs.places.MAX_POSITION", 2)
        held, others, own = several_owners(database)[:3]
        for priority in (9, 8, 7):
            a_job(database, held, priority=priority)
        a_job(database, others, priority=1)
        job_id = a_job(database, own)
        limit_running_jobs(database, held.project_id, 0)

        with database.read() as unit:
            waiting = unit.session.scalars(select(Job)).all()
            places = places_of(unit.session, waiting, lanes_around(unit.session, waiting))

        assert places[job_id] == Place(2, None)
        assert {place.position for place in places.values()} == {1, 2}

    def test_a_job_behind_the_lanes_that_are_looked_at_has_the_last_place(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.jobs.places.MAX_POSITION", 2)
        monkeypatch.setattr("app.jobs.repository.MAX_POSITION", 2)
        ids = [a_job(database, owner) for owner in several_owners(database)[:3]]

        with database.read() as unit:
            waiting = unit.session.scalars(select(Job)).all()
            alone = {job.id: queue_position(unit.session, job) for job in waiting}
            together = places_of(unit.session, waiting, lanes_around(unit.session, waiting))

        assert [alone[job_id] for job_id in ids] == [1, 2, 3]
        assert [together[job_id].position for job_id in ids] == [1, 2, 3]

    def test_any_number_of_jobs_takes_three_statements(
        self, database: Database, rows: Rows
    ) -> None:
        for priority in range(20):
            a_job(database, rows, priority=priority, queue=f"queue-{priority % 3}")
        with database.read() as unit:
            waiting = unit.session.scalars(select(Job)).all()

            with statements_to(database) as statements:
                places_of(unit.session, waiting, lanes_around(unit.session, waiting))

        assert statements == ["SELECT lanes", "SELECT jobs", "SELECT usage"]

    def test_no_waiting_job_takes_no_statement(self, database: Database) -> None:
        with database.read() as unit, statements_to(database) as statements:
            assert places_of(unit.session, [], {}) == {}

        assert statements == []
