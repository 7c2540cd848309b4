"""Requests of users over HTTP, in every state of a job, follow the table in tests/jobs."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from app.accounts.issue_key import issue_key
from app.accounts.tables import ApiKey
from app.core.database import database_now
from app.jobs.guards import JobFacts
from app.jobs.states import USER_EVENTS, JobEvent, JobState, Request
from app.jobs.tables import Attempt, Job
from tests.api.refusals import assert_refused
from tests.jobs.transition_table import ALL_FACTS, REFUSED, expected, name_of
from tests.worlds.rows import NO_JOB, a_checkpoint, a_job, events_of, some_rows
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

WITH_OR_WITHOUT_CHECKPOINT = {JobState.QUEUED, JobState.PAUSED}
SITUATIONS = [
    facts
    for facts in ALL_FACTS
    if facts.has_epoch and facts.restarts_left
    if facts.state in WITH_OR_WITHOUT_CHECKPOINT or not facts.has_checkpoint
]
"""Only the facts that the guards of users' events read are varied."""


def a_job_in(api: Api, facts: JobFacts) -> str:
    """Add a job in the situation of `facts`."""
    columns: dict[str, Any] = {"state": facts.state, "request": facts.request}
    if facts.state is JobState.RUNNING:
        columns |= {"attempt": 1, "lease_expires_at": database_now(timedelta(hours=1))}
    if facts.state.is_ended:
        columns["ended_at"] = database_now()
    if facts.in_trash:
        columns["trashed_at"] = database_now()
    job_id = a_job(api.database, api.rows, **columns)
    if facts.state is JobState.RUNNING:
        started = {"worker_id": "wrk_1", "started_at": database_now(), "resumed": "none"}
        with api.database.write() as unit:
            unit.session.execute(insert(Attempt).values(job_id=job_id, number=1, **started))
    if facts.has_checkpoint:
        a_checkpoint(api.database, job_id)
    return job_id


def ask(api: Api, event: JobEvent, job_id: str) -> Any:  # noqa: ANN401 -- the client's response
    if event is JobEvent.DELETE:
        return api.client.delete(f"/v1/jobs/{job_id}")
    return api.client.post(f"/v1/jobs/{job_id}/{event}")


def event_types(api: Api, job_id: str) -> list[str]:
    return [row.type for row in events_of(api.database, job_id)]


class TestEveryStateAndEvent:
    @pytest.mark.parametrize("facts", SITUATIONS, ids=name_of)
    @pytest.mark.parametrize("event", USER_EVENTS)
    def test_every_event_in_every_state_is_answered_as_the_table_says(
        self, shared_api: Api, event: JobEvent, facts: JobFacts
    ) -> None:
        job_id = a_job_in(shared_api, facts)

        answer = ask(shared_api, event, job_id)

        after = expected(event, facts)
        if after is REFUSED:
            waits = facts.state in WITH_OR_WITHOUT_CHECKPOINT
            lacks_checkpoint = event is JobEvent.STOP and waits
            slug = "nothing-to-keep" if lacks_checkpoint else "invalid-transition"
            assert_refused(answer, status=409, slug=slug)
            assert answer.json()["state"] == facts.state
            assert answer.json()["allowed"] == [
                other for other in USER_EVENTS if expected(other, facts) is not REFUSED
            ]
            assert event_types(shared_api, job_id) == []
        else:
            trash = event in {JobEvent.DELETE, JobEvent.RESTORE}
            assert answer.status_code == (200 if trash else 202)
            assert (answer.json()["state"], answer.json()["request"]) == after
            assert (answer.json()["trashed_at"] is not None) == (event is JobEvent.DELETE)


class TestScope:
    @pytest.mark.parametrize("event", USER_EVENTS)
    def test_the_jobs_of_others_are_not_found(self, api: Api, event: JobEvent) -> None:
        foreign = a_job(api.database, some_rows(api.database, name="foreign"))

        answer = ask(api, event, foreign)

        assert_refused(answer, status=404, slug="job-not-found")
        assert event_types(api, foreign) == []

    @pytest.mark.parametrize("event", USER_EVENTS)
    def test_a_key_that_only_reads_asks_for_nothing(self, api: Api, event: JobEvent) -> None:
        job_id = a_job_in(api, JobFacts(JobState.QUEUED))
        only_read(api)

        answer = ask(api, event, job_id)

        assert_refused(answer, status=403, slug="insufficient-scope")
        assert event_types(api, job_id) == []

    def test_the_jobs_of_others_are_not_cloned(self, api: Api) -> None:
        foreign = a_job(api.database, some_rows(api.database, name="foreign"))

        assert_refused(clone(api, foreign), status=404, slug="job-not-found")

    def test_a_key_that_only_reads_does_not_clone(self, api: Api) -> None:
        job_id = a_job_in(api, JobFacts(JobState.QUEUED))
        only_read(api)

        assert_refused(clone(api, job_id), status=403, slug="insufficient-scope")


class TestTrash:
    def test_a_job_in_the_trash_is_read_and_listed_only_there(self, api: Api) -> None:
        kept, trashed = api.submit()["id"], a_job_in(api, JobFacts(JobState.FAILED))

        ask(api, JobEvent.DELETE, trashed)

        assert listed(api) == [kept]
        assert listed(api, trashed="true") == [trashed]
        status = api.client.get(f"/v1/jobs/{trashed}").json()
        assert datetime.fromisoformat(status["kept_until"]) == (
            datetime.fromisoformat(status["trashed_at"]) + timedelta(days=7)
        )
        assert api.client.get(f"/v1/jobs/{kept}").json()["kept_until"] is None
        assert api.client.get(f"/v1/jobs/{trashed}/events").status_code == 200

    def test_a_restored_job_is_listed_again(self, api: Api) -> None:
        job_id = a_job_in(api, JobFacts(JobState.FAILED, in_trash=True))

        ask(api, JobEvent.RESTORE, job_id)

        assert listed(api) == [job_id]
        assert listed(api, trashed="true") == []

    def test_a_job_cannot_be_restored_after_its_grace(self, api: Api) -> None:
        job_id = a_job_in(api, JobFacts(JobState.FAILED))
        beyond = timedelta(days=-api.context.settings.trash_days, seconds=-1)
        set_job(api, job_id, trashed_at=database_now(beyond))

        answer = ask(api, JobEvent.RESTORE, job_id)

        assert_refused(answer, status=409, slug="grace-is-over")
        assert api.client.get(f"/v1/jobs/{job_id}").json()["trashed_at"] is not None

    def test_a_job_can_be_restored_until_its_grace_ends(self, api: Api) -> None:
        job_id = a_job_in(api, JobFacts(JobState.FAILED))
        within = timedelta(days=-api.context.settings.trash_days, minutes=1)
        set_job(api, job_id, trashed_at=database_now(within))

        assert ask(api, JobEvent.RESTORE, job_id).status_code == 200

    def test_a_job_in_the_trash_is_neither_changed_nor_cloned_nor_a_model(self, api: Api) -> None:
        job_id = a_job_in(api, JobFacts(JobState.SUCCEEDED, in_trash=True))

        answers = [
            api.client.patch(f"/v1/jobs/{job_id}", json={"name": "new"}),
            clone(api, job_id),
            api.client.post("/v1/jobs", json=api.spec(model=job_id)),
        ]

        for answer in answers:
            assert_refused(answer, status=409, slug="job-in-trash")


class TestClone:
    def test_a_clone_without_changes_has_the_same_spec(self, api: Api) -> None:
        parent = api.submit(name="first", tags={"line": "4"})

        answer = clone(api, parent["id"])

        job = answer.json()
        assert answer.status_code == 201
        assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
        assert (job["parent"], job["state"]) == (parent["id"], "queued")
        assert (job["spec"], job["resolved"]) == (parent["spec"], parent["resolved"])
        assert parent["parent"] is None

    def test_changes_are_merged_into_the_spec_and_null_takes_out(self, api: Api) -> None:
        train = {"epochs": 2, "imgsz": 64, "optimizer": "SGD", "lr0": 0.01}
        parent = api.submit(name="first", train=train, tags={"line": "4", "shift": "late"})

        job = clone(
            api, parent["id"], train={"epochs": 3, "lr0": None}, tags={"line": None}, name=None
        ).json()

        assert job["spec"] == api.spec(
            train={"epochs": 3, "imgsz": 64, "optimizer": "SGD"}, tags={"shift": "late"}
        )

    def test_a_clone_takes_the_spec_as_sent_not_as_changed_since(self, api: Api) -> None:
        parent = api.submit(name="first")
        api.client.patch(f"/v1/jobs/{parent['id']}", json={"name": "renamed"})

        assert clone(api, parent["id"]).json()["name"] == "first"

    @pytest.mark.parametrize("state", JobState)
    def test_a_job_in_any_state_has_a_spec_to_start_from(self, api: Api, state: JobState) -> None:
        parent = a_job_in(api, JobFacts(state))

        assert clone(api, parent, dataset=api.rows.dataset_id).status_code == 201

    @pytest.mark.parametrize(
        ("changes", "slug", "pointer"),
        [
            ({"train": {"epochs": 0}}, "validation-error", "/train/epochs"),
            ({"train": {"epoch": 3}}, "validation-error", "/train/epoch"),
            ({"dataset": None}, "validation-error", "/dataset"),
            ({"model": "yolo99z.yaml"}, "unknown-model", "/model"),
            ({"model": "yolo26n-seg.yaml"}, "task-mismatch", "/dataset"),
            ({"project": "elsewhere"}, "unknown-project", "/project"),
        ],
    )
    def test_the_merged_spec_is_checked_as_any_other(
        self, api: Api, changes: dict[str, object], slug: str, pointer: str
    ) -> None:
        parent = api.submit()["id"]

        answer = clone(api, parent, **changes)

        assert_refused(answer, status=422, slug=slug, pointer=pointer)
        assert listed(api) == [parent]

    def test_the_same_key_and_changes_answer_with_the_same_job(self, api: Api) -> None:
        parent, headers = api.submit()["id"], {"Idempotency-Key": "a"}
        path = f"/v1/jobs/{parent}/clone"

        first = api.client.post(path, json={"priority": 1}, headers=headers)
        second = api.client.post(path, json={"priority": 1}, headers=headers)

        assert (first.status_code, second.status_code) == (201, 200)
        assert second.json()["id"] == first.json()["id"]
        assert second.headers["Idempotency-Replayed"] == "true"

    @pytest.mark.parametrize("other", ["changes", "parent", "submit"])
    def test_a_clone_with_a_key_of_another_request_is_refused(self, api: Api, other: str) -> None:
        parent, headers = api.submit()["id"], {"Idempotency-Key": "a"}
        api.client.post(f"/v1/jobs/{parent}/clone", json={"priority": 1}, headers=headers)
        path, body = {
            "changes": (f"/v1/jobs/{parent}/clone", {"priority": 2}),
            "parent": (f"/v1/jobs/{api.submit()['id']}/clone", {"priority": 1}),
            "submit": ("/v1/jobs", api.spec(priority=1)),
        }[other]

        answer = api.client.post(path, json=body, headers=headers)

        assert_refused(answer, status=422, slug="idempotency-key-reuse")

    def test_a_replay_outlives_the_parent(self, api: Api) -> None:
        parent, headers = a_job_in(api, JobFacts(JobState.FAILED)), {"Idempotency-Key": "a"}
        path, changes = f"/v1/jobs/{parent}/clone", {"dataset": api.rows.dataset_id}
        first = api.client.post(path, json=changes, headers=headers).json()
        ask(api, JobEvent.DELETE, parent)

        second = api.client.post(path, json=changes, headers=headers)

        assert (second.status_code, second.json()["id"]) == (200, first["id"])

    def test_a_job_that_does_not_exist_has_none(self, api: Api) -> None:
        assert_refused(clone(api, NO_JOB), status=404, slug="job-not-found")


class TestEventsOfAJobThatIsChanged:
    def test_events_of_a_changed_job_are_numbered_without_a_gap(self, api: Api) -> None:
        job_id = api.submit()["id"]
        path = f"/v1/jobs/{job_id}"

        changed = [api.client.patch(path, json={"name": name}) for name in ("a", "b")]
        paused = ask(api, JobEvent.PAUSE, job_id)

        rows = events_of(api.database, job_id)
        assert [each.status_code for each in (*changed, paused)] == [200, 200, 202]
        assert [(row.seq, row.type) for row in rows] == [
            (1, "job.submitted"),
            (2, "job.changed"),
            (3, "job.changed"),
            (4, "job.paused"),
        ]


class TestRequests:
    def test_a_stronger_request_replaces_a_weaker_and_never_the_other_way_round(
        self, api: Api
    ) -> None:
        job_id = a_job_in(api, JobFacts(JobState.RUNNING))
        asked = (JobEvent.PAUSE, JobEvent.STOP, JobEvent.PAUSE, JobEvent.CANCEL, JobEvent.STOP)

        statuses = [ask(api, event, job_id).status_code for event in asked]

        with api.database.read() as unit:
            request = unit.session.scalars(select(Job.request).where(Job.id == job_id)).one()
        assert statuses == [202, 202, 409, 202, 409]
        assert request is Request.CANCEL
        assert event_types(api, job_id) == [
            "job.pause_requested",
            "job.stop_requested",
            "job.cancel_requested",
        ]


def clone(api: Api, job_id: str, **changes: object) -> Any:  # noqa: ANN401 -- the client's response
    return api.client.post(f"/v1/jobs/{job_id}/clone", json=changes)


def listed(api: Api, **query: str) -> list[str]:
    return [job["id"] for job in api.client.get("/v1/jobs", params=query).json()["data"]]


def only_read(api: Api) -> None:
    """Continue with a new key that may only read: the scopes of the first one are cached."""
    key = issue_key(api.database, label="reads")
    with api.database.write() as unit:
        unit.session.execute(update(ApiKey).values(scopes=["jobs:read"]))
    api.client.headers["Authorization"] = f"Bearer {key}"


def set_job(api: Api, job_id: str, **values: object) -> None:
    with api.database.write() as unit:
        unit.session.execute(update(Job).where(Job.id == job_id).values(**values))
