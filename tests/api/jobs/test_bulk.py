"""One action on many jobs: each by its own transition, and refused by itself."""

from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from app.accounts.tables import MemberRole
from app.core.database import database_now
from app.core.free_space import DiskReserve
from app.jobs.commands import bulk
from app.jobs.commands.control import apply_user_event
from app.jobs.states import JobState
from app.jobs.tables import Job
from tests.api.refusals import assert_refused
from tests.worlds.accounts import a_key, a_person
from tests.worlds.rows import NO_JOB, a_job, some_rows
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

URN = "urn:trainyard:problem:"


def act(api: Api, do: str, *jobs: str, **more: object) -> Any:  # noqa: ANN401 -- the client's response
    return api.client.post("/v1/jobs/bulk", json={"do": do, "jobs": jobs, **more})


def jobs_in(api: Api, *states: JobState, **columns: object) -> list[str]:
    return [a_job(api.database, api.rows, state=state, **columns) for state in states]


def refused(answer: Any) -> list[tuple[str, str]]:  # noqa: ANN401
    """Return the refused jobs and the slugs of their problems."""
    body = answer.json()
    return [(it["job"], it["problem"]["type"].removeprefix(URN)) for it in body["refused"]]


class TestBulk:
    @pytest.mark.parametrize(
        ("do", "before", "after"),
        [
            ("cancel", JobState.QUEUED, "cancelled"),
            ("pause", JobState.QUEUED, "paused"),
            ("resume", JobState.PAUSED, "queued"),
            ("retry", JobState.FAILED, "queued"),
            ("delete", JobState.FAILED, "failed"),
        ],
    )
    def test_each_action_does_what_its_own_route_does(
        self, shared_api: Api, do: str, before: JobState, after: str
    ) -> None:
        jobs = jobs_in(shared_api, before, before)

        answer = act(shared_api, do, *jobs)

        rows = answer.json()["done"]
        assert answer.status_code == 200
        assert [(row["id"], row["state"]) for row in rows] == [(it, after) for it in jobs]
        assert [row["trashed_at"] is not None for row in rows] == [do == "delete"] * 2
        assert answer.json()["refused"] == []

    def test_a_job_is_restored_from_the_trash(self, shared_api: Api) -> None:
        [job_id] = jobs_in(shared_api, JobState.FAILED, trashed_at=database_now())

        rows = act(shared_api, "restore", job_id).json()["done"]

        assert [row["trashed_at"] for row in rows] == [None]

    def test_refused_jobs_are_left_and_the_others_changed_in_order(self, shared_api: Api) -> None:
        ended, first, second = jobs_in(
            shared_api, JobState.SUCCEEDED, JobState.QUEUED, JobState.QUEUED
        )
        foreign = a_job(shared_api.database, some_rows(shared_api.database, name="foreign"))

        answer = act(shared_api, "cancel", first, ended, NO_JOB, foreign, "job_x", second)

        assert [row["id"] for row in answer.json()["done"]] == [first, second]
        assert refused(answer) == [
            (ended, "invalid-transition"),
            (NO_JOB, "job-not-found"),
            (foreign, "job-not-found"),
            ("job_x", "job-not-found"),
        ]
        assert answer.json()["refused"][0]["problem"]["allowed"] == ["delete"]
        with shared_api.database.read() as unit:
            state = unit.session.scalars(select(Job.state).where(Job.id == foreign)).one()
        assert state is JobState.QUEUED

    def test_priority_and_tags_of_several_jobs_are_changed(self, shared_api: Api) -> None:
        jobs = jobs_in(shared_api, JobState.QUEUED, JobState.SUCCEEDED)

        rows = act(
            shared_api, "change", *jobs, change={"priority": 3, "tags": {"line": "4"}}
        ).json()["done"]

        assert [(row["priority"], row["tags"]) for row in rows] == [(3, {"line": "4"})] * 2

    def test_an_omitted_field_keeps_its_value(self, shared_api: Api) -> None:
        job_id = shared_api.submit(tags={"line": "4"})["id"]

        rows = act(shared_api, "change", job_id, change={"priority": 1}).json()["done"]

        assert [(row["priority"], row["tags"]) for row in rows] == [(1, {"line": "4"})]

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"do": "explode", "jobs": ["a"]}, "/do"),
            ({"do": "cancel", "jobs": []}, "/jobs"),
            ({"do": "cancel", "jobs": ["a", "b", "a"]}, "/jobs"),
            ({"do": "cancel", "jobs": [f"job_{number}" for number in range(201)]}, "/jobs"),
            ({"do": "cancel", "jobs": [7]}, "/jobs/0"),
            ({"do": "cancel"}, "/jobs"),
            ({"do": "cancel", "jobs": ["a"], "change": {"priority": 1}}, ""),
            ({"do": "change", "jobs": ["a"]}, ""),
            ({"do": "change", "jobs": ["a"], "change": {}}, ""),
            ({"do": "change", "jobs": ["a"], "change": {"priority": 101}}, "/change/priority"),
            ({"do": "change", "jobs": ["a"], "change": {"name": "x"}}, "/change/name"),
        ],
    )
    def test_a_malformed_request_changes_nothing(
        self, shared_api: Api, body: dict[str, object], pointer: str
    ) -> None:
        answer = shared_api.client.post("/v1/jobs/bulk", json=body)

        assert_refused(answer, status=422, slug="validation-error", pointer=pointer)

    def test_roles_are_judged_in_each_jobs_project(self, shared_api: Api) -> None:
        other = some_rows(shared_api.database, name="other")
        person = a_person(
            shared_api.database,
            {shared_api.rows.project_id: MemberRole.MEMBER, other.project_id: MemberRole.VIEWER},
        )
        _, key = a_key(shared_api.database, person.user_id)
        [own] = jobs_in(shared_api, JobState.QUEUED)
        read_only = a_job(shared_api.database, other)

        answer = shared_api.client.post(
            "/v1/jobs/bulk",
            json={"do": "cancel", "jobs": [own, read_only]},
            headers={"Authorization": f"Bearer {key}"},
        )

        assert [row["id"] for row in answer.json()["done"]] == [own]
        assert refused(answer) == [(read_only, "insufficient-role")]

    def test_what_queues_jobs_is_refused_while_a_disk_has_only_its_reserve(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        [paused] = jobs_in(api, JobState.PAUSED)
        [queued] = jobs_in(api, JobState.QUEUED)
        monkeypatch.setattr(api.context.disk, "_reserve_bytes", 2**62)
        monkeypatch.setattr(api.context.disk, "_looked_at", None)
        monkeypatch.setattr("app.core.free_space.MAX_RESERVED_SHARE", 1)

        answers = [act(api, "resume", paused), act(api, "cancel", queued)]

        assert DiskReserve.is_reached(api.context.disk)
        assert [answer.status_code for answer in answers] == [507, 200]

    def test_jobs_after_an_outage_are_refused_without_a_try(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        jobs, tried = jobs_in(api, *[JobState.QUEUED] * 3), []

        def fail_second(*args: Any) -> object:  # noqa: ANN401 -- those of the function
            tried.append(args[2])
            if len(tried) == 2:
                raise OperationalError("", {}, Exception())
            return apply_user_event(*args)

        monkeypatch.setattr("app.jobs.commands.bulk.apply_user_event", fail_second)

        answer = act(api, "cancel", *jobs)

        assert tried == jobs[:2]
        assert [row["id"] for row in answer.json()["done"]] == jobs[:1]
        assert refused(answer) == [(it, "database-unavailable") for it in jobs[1:]]

    def test_jobs_are_not_begun_after_the_time_of_a_request(
        self, shared_api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        jobs = jobs_in(shared_api, JobState.QUEUED)
        monkeypatch.setattr(bulk, "MOST_SECONDS", -1.0)

        assert refused(act(shared_api, "cancel", *jobs)) == [(jobs[0], "not-tried")]

    def test_jobs_that_wait_again_have_their_places(self, shared_api: Api) -> None:
        with shared_api.database.write() as unit:
            ended = update(Job).where(Job.state == JobState.QUEUED)
            unit.session.execute(ended.values(state=JobState.CANCELLED))
        jobs = jobs_in(shared_api, JobState.PAUSED, JobState.PAUSED)

        rows = act(shared_api, "resume", *jobs).json()["done"]

        assert [row["queue_position"] for row in rows] == [1, 2]
