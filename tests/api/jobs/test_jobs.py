"""The jobs API for its users."""

from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import update

from app.core.database import database_now
from app.jobs.end_reasons import EndReason
from app.jobs.life.transitions import AttemptEnd, apply_event
from app.jobs.locks import lock_held
from app.jobs.states import JobEvent, JobState
from app.jobs.tables import Job
from tests.api.asked import sql_on
from tests.api.jobs.running_job import claimed
from tests.api.refusals import assert_refused
from tests.jobs.slots import a_slot
from tests.worlds.rows import a_dataset, a_job, job_row, some_rows
from tests.worlds.server import Api

pytestmark = pytest.mark.mostly_sqlite


def set_job(api: Api, job_id: str, **values: object) -> None:
    with api.database.write() as unit:
        unit.session.execute(update(Job).where(Job.id == job_id).values(**values))


class TestSubmit:
    def test_a_job_exists_and_waits_once_it_is_answered(self, api: Api) -> None:
        answer = api.client.post("/v1/jobs", json=api.spec(name="first", tags={"line": "4"}))

        status = answer.json()
        assert answer.status_code == 201
        assert answer.headers["Location"] == f"/v1/jobs/{status['id']}"
        assert api.client.get(answer.headers["Location"]).json() == status
        assert (status["state"], status["queue_position"]) == ("queued", 1)
        assert (status["name"], status["tags"]) == ("first", {"line": "4"})

    def test_the_spec_is_kept_as_sent_and_shown_resolved(self, api: Api) -> None:
        sent = api.spec()

        status = api.submit(**sent)

        assert status["spec"] == sent
        assert status["resolved"]["dataset"] == api.rows.version_id
        assert status["resolved"]["task"] == "detect"
        assert status["resolved"]["train"]["epochs"] == 2
        assert len(status["resolved"]["train"]) > len(sent["train"])

    def test_a_job_without_a_worker_names_the_reason_why_it_waits(self, api: Api) -> None:
        assert api.submit(resources={"gpus": 1})["waiting_reason"] == "no_matching_worker"

    def test_submitting_is_logged_as_the_first_event(self, api: Api) -> None:
        job = api.submit()

        events = api.client.get(f"/v1/jobs/{job['id']}/events").json()["data"]

        assert [(each["seq"], each["type"]) for each in events] == [(1, "job.submitted")]

    @pytest.mark.parametrize(
        ("changes", "status", "slug", "pointer"),
        [
            ({"dataset": "ds_" + "0" * 26}, 422, "unknown-dataset", "/dataset"),
            ({"model": "yolo26n.pt"}, 422, "model-not-here", "/model"),
            ({"model": "yolo99z.yaml"}, 422, "unknown-model", "/model"),
            ({"model": "job_" + "0" * 26}, 422, "validation-error", "/model"),
            ({"model": "yolo26n-seg.yaml"}, 422, "task-mismatch", "/dataset"),
            ({"task": "pose"}, 422, "task-mismatch", "/model"),
            ({"project": "elsewhere"}, 422, "unknown-project", "/project"),
        ],
    )
    def test_a_reference_that_does_not_fit_is_refused_by_its_field(
        self, api: Api, changes: dict[str, str], status: int, slug: str, pointer: str
    ) -> None:
        answer = api.client.post("/v1/jobs", json=api.spec(**changes))

        problem = answer.json()
        assert answer.status_code == status
        assert problem["errors"][0]["pointer"] == pointer
        assert problem["type"] == f"urn:trainyard:problem:{slug}"

    def test_a_split_that_the_dataset_has_not_is_refused(self, api: Api) -> None:
        answer = api.client.post("/v1/jobs", json=api.spec(train={"split": "test"}))

        assert_refused(answer, status=422, slug="validation-error", pointer="/train/split")
        assert api.submit(train={"split": "val"})["resolved"]["train"]["split"] == "val"

    def test_a_detect_job_may_use_outlines(self, api: Api) -> None:
        with api.database.write() as unit:
            outlines, _ = a_dataset(
                unit.session, api.rows.project_id, api.rows.user_id, name="o", task="segment"
            )

        assert api.submit(dataset=outlines)["task"] == "detect"

    def test_a_job_without_weights_is_no_model_yet(self, api: Api) -> None:
        answer = api.client.post("/v1/jobs", json=api.spec(model=api.submit()["id"]))

        assert answer.status_code == 409
        assert answer.json()["type"] == "urn:trainyard:problem:no-weights-yet"

    def test_an_argument_of_another_task_is_refused_when_the_task_comes_from_the_model(
        self, api: Api
    ) -> None:
        answer = api.client.post("/v1/jobs", json=api.spec(train={"pose": 11.0}))

        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/train/pose"


class TestIdempotency:
    def test_the_same_key_and_body_answer_with_the_same_job(self, api: Api) -> None:
        headers = {"Idempotency-Key": "a"}

        first = api.client.post("/v1/jobs", json=api.spec(), headers=headers)
        second = api.client.post("/v1/jobs", json=api.spec(), headers=headers)

        assert (first.status_code, second.status_code) == (201, 200)
        assert second.json()["id"] == first.json()["id"]
        assert second.headers["Idempotency-Replayed"] == "true"

    def test_the_same_key_with_another_body_is_refused(self, api: Api) -> None:
        headers = {"Idempotency-Key": "a"}
        api.client.post("/v1/jobs", json=api.spec(), headers=headers)

        answer = api.client.post("/v1/jobs", json=api.spec(priority=1), headers=headers)

        assert answer.status_code == 422
        assert answer.json()["type"] == "urn:trainyard:problem:idempotency-key-reuse"

    def test_a_refused_request_uses_no_key(self, api: Api) -> None:
        headers = {"Idempotency-Key": "a"}
        api.client.post("/v1/jobs", json=api.spec(project="elsewhere"), headers=headers)

        answer = api.client.post("/v1/jobs", json=api.spec(), headers=headers)

        assert answer.status_code == 201


class TestList:
    def test_pages_hold_every_job_once_newest_first(self, api: Api) -> None:
        made = [api.submit()["id"] for _ in range(5)]

        seen, cursor = [], None
        while True:
            query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
            page = api.client.get("/v1/jobs", params=query).json()
            seen += [job["id"] for job in page["data"]]
            cursor = page["next"]
            assert page["has_more"] == (cursor is not None)
            if cursor is None:
                break

        assert seen == sorted(made, reverse=True)

    @pytest.mark.parametrize("sort", ["created", "-created", "name", "-name", "ended", "-ended"])
    def test_every_order_pages_without_loss(self, api: Api, sort: str) -> None:
        for name in ("b", "a", "b", None, "c"):
            job_id = api.submit(**({"name": name} if name else {}))["id"]
            api.client.post(f"/v1/jobs/{job_id}/cancel")

        whole = api.client.get("/v1/jobs", params={"sort": sort}).json()["data"]
        paged: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            query = {"sort": sort, "limit": "1"} | ({"cursor": cursor} if cursor else {})
            page = api.client.get("/v1/jobs", params=query).json()
            paged += page["data"]
            cursor = page["next"]

        key = {"created": "id", "name": "name", "ended": "ended_at"}[sort.lstrip("-")]
        values = [job[key] or "" for job in whole]
        assert len(whole) == 5
        assert [job["id"] for job in paged] == [job["id"] for job in whole]
        assert all((a >= b) if sort.startswith("-") else (a <= b) for a, b in pairwise(values))

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"state": "cancelled"}, {"night"}),
            ({"state": ["queued", "cancelled"]}, {"night", "nadir", "day"}),
            ({"name": "n"}, {"night", "nadir"}),
            ({"name": "N"}, set()),
            ({"name": "%"}, set()),
            ({"tag": "line:4"}, {"day"}),
            ({"tag": ["line:4", "shift:late"]}, set()),
            ({"model": "yolo26n.yaml"}, {"night", "nadir", "day"}),
            ({"task": "pose"}, set()),
            ({"project": "default"}, {"night", "nadir", "day"}),
        ],
    )
    def test_a_list_is_narrowed(self, api: Api, query: dict[str, str], expected: set[str]) -> None:
        night = api.submit(name="night", tags={"shift": "late"})
        api.submit(name="nadir")
        api.submit(name="day", tags={"line": "4"})
        api.client.post(f"/v1/jobs/{night['id']}/cancel")

        page = api.client.get("/v1/jobs", params=query).json()

        assert {job["name"] for job in page["data"]} == expected

    def test_jobs_of_other_projects_are_invisible(self, api: Api) -> None:
        foreign = a_job(api.database, some_rows(api.database, name="foreign"))

        assert api.client.get("/v1/jobs").json()["data"] == []
        assert api.client.get(f"/v1/jobs/{foreign}").status_code == 404
        assert api.client.post(f"/v1/jobs/{foreign}/cancel").status_code == 404
        assert api.client.patch(f"/v1/jobs/{foreign}", json={"name": "mine"}).status_code == 404

    def test_a_submit_costs_few_statements(self, api: Api) -> None:
        a_slot(api.database)
        api.submit()
        job = api.spec(train={"epochs": 3, "imgsz": 64})

        with sql_on(api.database) as asked:
            api.client.post("/v1/jobs", json=job).raise_for_status()

        # Dataset, slots, jobs alike, quotas before and after, limits, place in the lane, lanes; the
        # job, its plan, its event and an audit entry.
        assert (asked.reads, asked.writes) == (8, 4)

    def test_a_page_costs_the_same_number_of_queries_whatever_its_length(self, api: Api) -> None:
        counts = []
        for jobs in (1, 10):
            for _ in range(jobs):
                api.submit(tags={"line": "4"})
            with sql_on(api.database) as asked:
                api.client.get("/v1/jobs")
            counts.append((asked.reads, asked.writes))

        assert counts == [(7, 0), (7, 0)]


class TestRead:
    def test_an_unchanged_job_answers_304(self, api: Api) -> None:
        job_id = api.submit()["id"]
        api.client.post(f"/v1/jobs/{job_id}/cancel")
        tag = api.client.get(f"/v1/jobs/{job_id}").headers["ETag"]

        answer = api.client.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": tag})

        assert (answer.status_code, answer.content) == (304, b"")

    def test_a_failed_job_says_why_and_what_to_do(self, api: Api) -> None:
        job_id = api.submit()["id"]
        set_job(
            api,
            job_id,
            state=JobState.FAILED,
            end_reason=EndReason.DIVERGED,
            error_message="the loss became NaN",
            error_hint="lower lr0",
            ended_at=database_now(),
        )

        error = api.client.get(f"/v1/jobs/{job_id}").json()["error"]

        assert error == {
            "code": "diverged",
            "title": "The training diverged",
            "message": "the loss became NaN",
            "hint": "lower lr0",
            "amended": None,
            "log_line": None,
            "attempt": None,
        }

    def test_the_amended_spec_of_a_failed_job_can_be_cloned_with_until_a_retry(
        self, api: Api
    ) -> None:
        job_id = api.submit(train={"epochs": 2})["id"]
        auto: dict[str, Any] = {"optimizer": "AdamW", "lr0": 1e-4, "momentum": 0.9}
        end = AttemptEnd(EndReason.DIVERGED, message="The loss exploded.", amended={"train": auto})
        hold = claimed(api).hold
        with api.database.write() as unit:
            apply_event(unit.session, lock_held(unit.session, hold), JobEvent.FAIL, end)

        amended = api.client.get(f"/v1/jobs/{job_id}").json()["error"]["amended"]
        clone = api.client.post(f"/v1/jobs/{job_id}/clone", json=amended)
        api.client.post(f"/v1/jobs/{job_id}/retry")

        assert amended == {"train": auto}
        assert (clone.status_code, clone.json()["spec"]["train"]) == (201, auto | {"epochs": 2})
        assert job_row(api.database, job_id).error_amended is None


class TestChange:
    def test_a_patch_changes_the_fields_that_are_sent_and_no_others(self, api: Api) -> None:
        job = api.submit(name="old", notes="keep", tags={"line": "4"})

        changed = api.client.patch(
            f"/v1/jobs/{job['id']}", json={"name": "new", "tags": {"line": "5"}}
        ).json()

        assert (changed["name"], changed["notes"], changed["tags"]) == (
            "new",
            "keep",
            {"line": "5"},
        )
        assert changed["revision"] == job["revision"] + 1

    def test_a_stale_revision_changes_nothing(self, api: Api) -> None:
        job = api.submit(name="old")
        path, headers = f"/v1/jobs/{job['id']}", {"If-Match": '"1"'}
        api.client.patch(path, json={"name": "new"}, headers=headers)

        answer = api.client.patch(path, json={"name": "newer"}, headers=headers)

        assert answer.status_code == 412
        assert answer.json()["revision"] == 2
        assert api.client.get(path).json()["name"] == "new"

    def test_a_patch_of_a_field_that_cannot_change_is_refused(self, api: Api) -> None:
        job = api.submit()

        answer = api.client.patch(f"/v1/jobs/{job['id']}", json={"state": "succeeded"})

        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/state"


class TestCancel:
    def test_a_waiting_job_is_cancelled_at_once_and_twice_is_no_error(self, api: Api) -> None:
        path = f"/v1/jobs/{api.submit()['id']}/cancel"

        first, second = api.client.post(path), api.client.post(path)

        assert (first.status_code, second.status_code) == (202, 202)
        assert second.json()["state"] == "cancelled"

    def test_an_ended_job_refuses_and_says_what_is_allowed(self, api: Api) -> None:
        job_id = api.submit()["id"]
        set_job(api, job_id, state=JobState.SUCCEEDED, ended_at=database_now())

        answer = api.client.post(f"/v1/jobs/{job_id}/cancel")

        problem = answer.json()
        assert answer.status_code == 409
        assert problem["type"] == "urn:trainyard:problem:invalid-transition"
        assert (problem["state"], problem["allowed"]) == ("succeeded", ["delete"])


class TestQueues:
    def test_waiting_jobs_are_counted_by_queue(self, api: Api) -> None:
        api.submit()
        api.submit(resources={"queue": "night"})

        queues = api.client.get("/v1/queues").json()["data"]

        assert {queue["name"]: queue["queued"] for queue in queues} == {"default": 1, "night": 1}
        assert [queue["running"] for queue in queues] == [0, 0]
