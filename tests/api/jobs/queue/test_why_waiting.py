"""Why a job waits, and the changes that let it start: each suggested one is made, and works."""

from typing import Any

import pytest
from sqlalchemy import select, update

from app.accounts.keys import ALL_SCOPES
from app.accounts.tables import MemberRole
from app.core.database import database_now
from app.fleet.tables import Cordon
from app.jobs.end_reasons import EndReason
from app.jobs.life.transitions import AttemptEnd, apply_event
from app.jobs.locks import lock_job
from app.jobs.states import JobEvent, JobState
from app.jobs.tables import Job
from app.quotas.tables import Lane, Usage
from tests.api.jobs.queue.waiting_jobs import LEASE, a_stranger, emptied, takes
from tests.counting import statements_to
from tests.jobs.slots import a_slot
from tests.worlds.accounts import a_key, a_person
from tests.worlds.rows import Rows, a_job, job_row
from tests.worlds.server import Api

pytestmark = pytest.mark.mostly_sqlite


@pytest.fixture
def api(shared_api: Api) -> Api:
    return emptied(shared_api)


@pytest.fixture
def me(api: Api) -> Rows:
    return api.rows


def explained(api: Api, job_id: str, key: str | None = None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key or api.key}"}
    answer = api.client.get(f"/v1/jobs/{job_id}/waiting", headers=headers)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def changes(api: Api, job_id: str) -> list[tuple[str, dict[str, Any] | None, str]]:
    return [
        (each["kind"], each["patch"], each["starts"]) for each in explained(api, job_id)["changes"]
    ]


def made(api: Api, change: dict[str, Any]) -> str | None:
    """Make a change as it is suggested; return the id of a clone."""
    body = {} if change["patch"] is None else {"json": change["patch"]}
    answer = api.client.request(change["method"], change["href"], **body)
    assert answer.status_code in {200, 201, 202}, answer.text
    return str(answer.json()["id"]) if change["kind"] == "clone" else None


def end_cancelled(api: Api, job_id: str) -> None:
    """End a job whose cancel is requested, as its worker does."""
    with api.database.write() as unit:
        job = lock_job(unit.session, Job.id == job_id, Job.state == JobState.RUNNING)
        if job is not None:
            apply_event(unit.session, job, JobEvent.LEAVE, AttemptEnd(EndReason.CANCELLED))


def limit_running(api: Api, subject_id: str, running: int) -> None:
    with api.database.write() as unit:
        statement = update(Usage).where(Usage.subject_id == subject_id)
        unit.session.execute(statement.values(max_running_jobs=running))


def only(api: Api, job_id: str, kind: str) -> dict[str, Any]:
    (change,) = [each for each in explained(api, job_id)["changes"] if each["kind"] == kind]
    return dict(change)


class TestReasons:
    def test_each_requirement_is_judged_against_each_slot(self, api: Api, me: Rows) -> None:
        a_slot(api.database, "0", gpus=1, queues=("night",))
        job_id = a_job(api.database, me, gpus=1, trainer="gray")

        found = explained(api, job_id)

        assert found["waits_for"] == "no_matching_worker"
        assert found["requires"] == {"queue": "default", "gpus": 1, "trainer": "gray"}
        (slot,) = found["slots"]
        judged = ("suits", "serves_queue", "has_gpus", "has_trainer", "cordoned", "busy")
        assert [slot[name] for name in judged] == [False, False, True, False, False, False]
        assert slot["name"] == "here/0"

    def test_a_job_that_does_not_wait_has_no_reason(self, api: Api, me: Rows) -> None:
        job_id = a_job(api.database, me, state=JobState.PAUSED)

        found = explained(api, job_id)

        assert (found["waits_for"], found["changes"], found["slots"]) == (None, [], None)
        assert "paused" in found["reason"]

    def test_what_a_slot_runs_for_another_project_is_not_shown(self, api: Api, me: Rows) -> None:
        other = a_stranger(api)
        theirs, worker_id = a_job(api.database, other, name="secret"), a_slot(api.database)
        assert takes(api, worker_id) == theirs
        job_id = a_job(api.database, me)

        found = explained(api, job_id)

        assert (found["slots"][0]["busy"], found["slots"][0]["job"]) == (True, None)
        assert theirs not in str(found)
        assert "secret" not in str(found)

    def test_slots_are_shown_with_the_scope_for_workers_only(self, api: Api, me: Rows) -> None:
        a_slot(api.database)
        job_id = a_job(api.database, me)
        _, key = a_key(api.database, me.user_id, scopes=["jobs:read"])

        found = explained(api, job_id, key)

        assert found["slots"] is None
        assert "here/cpu" not in str(found)

    def test_the_status_says_that_the_slots_are_cordoned(self, api: Api, me: Rows) -> None:
        a_slot(api.database, cordon=Cordon.DRAINING)
        job_id = a_job(api.database, me)

        status = api.client.get(f"/v1/jobs/{job_id}").json()

        assert status["waiting_reason"] == "cordoned"

    def test_a_back_off_that_is_over_is_no_reason(self, api: Api, me: Rows) -> None:
        a_slot(api.database)
        job_id = a_job(api.database, me, not_before_at=database_now(-LEASE))

        status = api.client.get(f"/v1/jobs/{job_id}").json()

        assert status["waiting_reason"] == "waiting_for_worker"
        assert explained(api, job_id)["waits_for"] == "slot"

    def test_a_job_of_another_project_is_not_found(self, api: Api) -> None:
        job_id = a_job(api.database, a_stranger(api))

        assert api.client.get(f"/v1/jobs/{job_id}/waiting").status_code == 404


class TestChanges:
    def test_a_job_that_starts_anyway_needs_no_change(self, api: Api, me: Rows) -> None:
        a_slot(api.database)
        job_id = a_job(api.database, me)

        assert changes(api, job_id) == []

    def test_another_queue_with_a_free_slot_starts_a_clone(self, api: Api) -> None:
        busy, free = a_slot(api.database), a_slot(api.database, "1", queues=("night",))
        api.submit()
        assert takes(api, busy)
        job_id = api.submit()["id"]

        change = only(api, job_id, "clone")
        clone = made(api, change)

        assert (change["patch"], change["starts"]) == ({"resources": {"queue": "night"}}, "now")
        assert (takes(api, free, queues=("night",)), change["slot"]) == (clone, "here/1")

    def test_the_cpu_starts_a_clone_of_a_job_that_asks_for_a_gpu(self, api: Api) -> None:
        worker_id = a_slot(api.database)
        job_id = api.submit(resources={"gpus": 1})["id"]

        change = only(api, job_id, "clone")
        clone = made(api, change)

        assert change["patch"] == {"resources": {"gpus": 0}}
        assert takes(api, worker_id) == clone

    def test_an_uncordoned_slot_starts_the_job(self, api: Api, me: Rows) -> None:
        worker_id = a_slot(api.database, cordon=Cordon.CORDONED)
        job_id = a_job(api.database, me)

        change = only(api, job_id, "uncordon")
        made(api, change)

        assert (change["target"], change["starts"]) == (worker_id, "now")
        assert takes(api, worker_id) == job_id

    def test_a_higher_priority_is_the_lowest_that_helps(self, api: Api, me: Rows) -> None:
        worker_id = a_slot(api.database)
        for priority in (0, 3, 3):
            a_job(api.database, me, priority=priority)
        job_id = a_job(api.database, me)

        change = only(api, job_id, "change")
        made(api, change)

        assert change["patch"] == {"priority": 4}
        assert takes(api, worker_id) == job_id

    def test_cancelling_the_own_job_before_it_starts_the_job(self, api: Api, me: Rows) -> None:
        worker_id = a_slot(api.database)
        before = a_job(api.database, me, priority=100)
        job_id = a_job(api.database, me, priority=100)

        change = only(api, job_id, "cancel")
        made(api, change)

        assert (change["target"], change["starts"]) == (before, "now")
        assert takes(api, worker_id) == job_id

    def test_cancelling_the_running_job_of_a_limit_starts_the_job(self, api: Api, me: Rows) -> None:
        first, second = a_slot(api.database, "0"), a_slot(api.database, "1")
        running = a_job(api.database, me)
        assert takes(api, first) == running
        limit_running(api, me.project_id, 1)
        job_id = a_job(api.database, me)
        assert takes(api, second) is None

        change = only(api, job_id, "cancel")
        made(api, change)
        end_cancelled(api, running)

        assert (change["target"], change["starts"]) == (running, "now")
        assert takes(api, second) == job_id

    def test_a_job_of_another_user_is_not_suggested_for_cancelling(
        self, api: Api, me: Rows
    ) -> None:
        worker_id = a_slot(api.database)
        person = a_person(api.database, {me.project_id: MemberRole.MEMBER})
        theirs = Rows(person.user_id, me.project_id, me.dataset_id, me.version_id)
        assert takes(api, worker_id) is None
        a_job(api.database, theirs)
        assert takes(api, worker_id)
        job_id = a_job(api.database, me)

        assert changes(api, job_id) == []

    def test_a_back_off_cannot_be_shortened(self, api: Api, me: Rows) -> None:
        a_slot(api.database)
        job_id = a_job(api.database, me, not_before_at=database_now(LEASE))

        assert changes(api, job_id) == []

    def test_a_busy_slot_starts_it_at_the_next_claim(self, api: Api, me: Rows) -> None:
        worker_id = a_slot(api.database)
        other = a_stranger(api)
        theirs = a_job(api.database, other)
        assert takes(api, worker_id) == theirs
        a_job(api.database, other, priority=1)
        job_id = a_job(api.database, me)

        change = only(api, job_id, "change")
        made(api, change)

        assert (change["patch"], change["starts"]) == ({"priority": 2}, "at_next_claim")
        assert takes(api, worker_id) == job_id

    def test_a_change_that_is_tried_leaves_nothing_behind(self, api: Api, me: Rows) -> None:
        worker_id = a_slot(api.database)
        running = a_job(api.database, me)
        assert takes(api, worker_id) == running
        a_slot(api.database, "1", cordon=Cordon.CORDONED)
        waiting = [a_job(api.database, me) for _ in range(2)]
        before = [everything(api, each) for each in (running, *waiting)]
        lanes = lanes_of(api)

        assert explained(api, waiting[1])["changes"]

        assert [everything(api, each) for each in (running, *waiting)] == before
        assert lanes_of(api) == lanes

    @pytest.mark.parametrize(
        ("role", "scopes"),
        [
            (MemberRole.VIEWER, ALL_SCOPES),
            (MemberRole.MEMBER, ("jobs:read", "workers:read", "workers:write")),
        ],
        ids=["viewer", "reading-key"],
    )
    def test_only_changes_that_the_caller_may_make_are_suggested(
        self, api: Api, me: Rows, role: MemberRole, scopes: tuple[str, ...]
    ) -> None:
        a_slot(api.database, "0", cordon=Cordon.CORDONED)
        a_slot(api.database, "1", queues=("night",))
        job_id = a_job(api.database, me)
        person = a_person(api.database, {me.project_id: role})
        _, key = a_key(api.database, person.user_id, scopes=scopes)

        assert explained(api, job_id)["changes"]
        assert explained(api, job_id, key)["changes"] == []

    def test_whoever_may_change_nothing_does_not_wait_for_a_writer(
        self, api: Api, me: Rows
    ) -> None:
        job_id = a_job(api.database, me)
        person = a_person(api.database, {me.project_id: MemberRole.VIEWER})
        _, key = a_key(api.database, person.user_id)

        with api.database.write():
            assert explained(api, job_id, key)["changes"] == []

    def test_a_member_is_not_offered_a_priority_above_their_ceiling(
        self, api: Api, me: Rows
    ) -> None:
        a_slot(api.database)
        a_job(api.database, a_stranger(api), priority=100)
        job_id = a_job(api.database, me, priority=99)

        assert changes(api, job_id) == []

    def test_the_statements_are_few(self, api: Api, me: Rows) -> None:
        a_slot(api.database)
        for _ in range(3):
            a_job(api.database, me)
        job_id = a_job(api.database, me)

        with statements_to(api.database) as statements:
            explained(api, job_id)

        assert len(statements) <= 60


def everything(api: Api, job_id: str) -> dict[str, Any]:
    row = job_row(api.database, job_id)
    return {column.key: getattr(row, column.key) for column in Job.__table__.columns}


def lanes_of(api: Api) -> list[tuple[Any, ...]]:
    with api.database.read() as unit:
        lanes = select(Lane.queue, Lane.rank, Lane.owner_id, Lane.waiting, Lane.turn)
        return sorted(map(tuple, unit.session.execute(lanes.where(Lane.waiting > 0))))
