"""Plans over HTTP: requested before a job exists, and stored with the job."""

from typing import Any

import pytest
from httpx2 import Response
from sqlalchemy import delete, insert, update

from app.accounts.tables import ApiKey
from app.core.database import database_now
from app.fleet.repository import Registration, mark_stopped, register_worker
from app.jobs.states import JobState
from app.jobs.tables import Epoch, JobPlan
from tests.api.asked import sql_on
from tests.api.hostile_requests import ROWS
from tests.api.refusals import assert_refused, rows_by_table
from tests.worlds.rows import Rows, a_job, some_rows
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

FIVE = {
    "metrics": {"per_class": True},
    "class_weights": {"mode": "explicit", "weights": {"square": 2}},
    "best_model": {"metric": "metrics/F1(B)"},
    "freeze": {"layers": "backbone", "epochs": 1},
    "layer_lrs": [{"layers": "backbone", "factor": 0.1}],
}
EVERYTHING = {"freeze": {"layers": 24}}
SUBMITS = {
    row: hostile
    for row, hostile in ROWS.items()
    if hostile.method == "POST" and hostile.path == "/v1/jobs"
}


def validated(api: Api, **changes: object) -> dict[str, Any]:
    answer = api.client.post("/v1/jobs/validate", json=api.spec(**changes))
    assert answer.status_code == 200, answer.text
    plan: dict[str, Any] = answer.json()
    return plan


def said(refusal: Response) -> dict[str, Any]:
    """Return a problem without its request id."""
    problem: dict[str, Any] = refusal.json()
    return problem | {"request_id": ""}


def codes(plan: dict[str, Any]) -> set[str]:
    return {warning["code"] for warning in plan["warnings"]}


def a_slot(api: Api, *, gpu: str | None = None, queues: tuple[str, ...] = ("default",)) -> str:
    """Register a live slot, on a CPU or on a GPU of that name."""
    registration = Registration(
        node="node",
        slot="cpu" if gpu is None else "0",
        incarnation="first",
        host="here",
        queues=queues,
        gpus=0 if gpu is None else 1,
        version="0.1.0",
        devices=[] if gpu is None else [{"name": gpu, "memory_bytes": 1}],
    )
    with api.database.write() as unit:
        return register_worker(unit.session, registration)


def a_past_job(api: Api, rows: Rows, *, seconds: float, **columns: object) -> str:
    """Add a job of two epochs, of that duration each, that succeeded on a CPU."""
    values: dict[str, object] = {
        "state": JobState.SUCCEEDED,
        "architecture": "yolo26n.yaml",
        "imgsz": 64,
        "device_name": "cpu",
    }
    job_id = a_job(api.database, rows, **values | columns)
    with api.database.write() as unit:
        for epoch in (1, 2):
            row: dict[str, object] = {"metrics": {}, "lr": {}, "attempt": 1}
            later = {"system": {}, "duration_seconds": seconds, "created_at": database_now()}
            unit.session.execute(insert(Epoch).values(job_id=job_id, epoch=epoch, **row, **later))
    return job_id


class TestValidate:
    def test_a_plan_is_answered_and_nothing_is_stored(self, api: Api) -> None:
        before = rows_by_table(api.database)

        plan = validated(api, customize=FIVE)

        assert rows_by_table(api.database) == before
        assert plan["resolved"]["customize"]["metrics"] == {"f1": True, "per_class": True}
        assert plan["switched_on"][0]["because"] == "/customize/best_model/metric"
        assert [layer["frozen_until"] for layer in plan["model"]["layers"][9:13]] == [
            1,
            1,
            None,
            None,
        ]
        assert [each["weight"] for each in plan["classes"]["shown"]] == [1, 2]
        assert plan["extent"]["training_images"] == 4

    def test_validating_answers_the_plan_that_the_job_will_have(self, api: Api) -> None:
        plan = validated(api, customize=FIVE)
        job = api.submit(customize=FIVE)

        kept = api.client.get(job["links"]["plan"]).json()

        assert kept == {name: plan[name] for name in plan if name not in {"queue", "spec"}}
        assert {**kept["resolved"], "threads": None} == job["resolved"]

    def test_a_stored_plan_has_the_rates_of_the_epochs_that_are_asked_for(self, api: Api) -> None:
        plan = api.submit(train={"epochs": 5, "imgsz": 64})["links"]["plan"]

        shown, every, part = (
            api.client.get(plan, params=query).json()["optimizer"]
            for query in ({}, {"rates": "all"}, {"rates": "2-3"})
        )

        assert [each["epochs_shown"] for each in (shown, every, part)] == [
            [1, 3, 5],
            [1, 2, 3, 4, 5],
            [2, 3],
        ]
        rates = [optimizer["groups"][0]["rates"] for optimizer in (shown, every, part)]
        assert rates[0] == rates[1][::2]
        assert rates[2] == rates[1][1:3]

    @pytest.mark.parametrize("query", ["rates=none", "rates=3-2", "rate=all"])
    def test_a_stored_plan_refuses_what_it_does_not_know(self, api: Api, query: str) -> None:
        plan = api.submit()["links"]["plan"]

        assert api.client.get(f"{plan}?{query}").status_code == 422

    def test_the_stored_plan_stays_as_things_change(self, api: Api) -> None:
        job = api.submit()

        a_slot(api)

        assert "no_live_slot" in codes(api.client.get(job["links"]["plan"]).json())
        assert "no_live_slot" not in codes(validated(api))

    @pytest.mark.parametrize("row", SUBMITS)
    def test_validating_refuses_what_submitting_refuses(self, shared_api: Api, row: str) -> None:
        hostile = SUBMITS[row]
        content = hostile.content.replace(b"DATASET", shared_api.rows.dataset_id.encode())

        submitted, planned = (
            shared_api.client.post(path, content=content, headers=dict(hostile.headers))
            for path in ("/v1/jobs", "/v1/jobs/validate")
        )

        assert (submitted.status_code, planned.status_code) == (hostile.status, hostile.status)
        assert said(planned) == said(submitted)

    def test_the_path_of_validating_is_not_taken_for_a_job_id(self, shared_api: Api) -> None:
        answer = shared_api.client.put("/v1/jobs/validate")

        assert_refused(answer, status=405, slug="method-not-allowed")
        assert answer.headers["Allow"] == "POST"

    def test_freezing_everything_is_refused(self, shared_api: Api) -> None:
        answer = shared_api.client.post(
            "/v1/jobs/validate", json=shared_api.spec(customize=EVERYTHING)
        )

        assert_refused(
            answer, status=422, slug="validation-error", pointer="/customize/freeze/layers"
        )

    def test_a_key_that_may_not_submit_may_not_validate(self, api: Api) -> None:
        with api.database.write() as unit:
            unit.session.execute(update(ApiKey).values(scopes=["jobs:read"]))

        answer = api.client.post("/v1/jobs/validate", json=api.spec())

        assert_refused(answer, status=403, slug="insufficient-scope")


class TestStoredPlan:
    def test_a_job_of_others_is_not_found(self, api: Api) -> None:
        foreign = a_job(api.database, some_rows(api.database, name="foreign"))

        answer = api.client.get(f"/v1/jobs/{foreign}/plan")

        assert_refused(answer, status=404, slug="job-not-found")

    def test_a_job_from_before_there_were_plans_has_none(self, api: Api) -> None:
        job = api.submit()
        with api.database.write() as unit:
            unit.session.execute(delete(JobPlan))

        answer = api.client.get(job["links"]["plan"])

        assert_refused(answer, status=404, slug="plan-not-found")


class TestSlots:
    @pytest.mark.parametrize(
        ("resources", "warned"),
        [
            ({}, []),
            ({"gpus": 1}, []),
            ({"gpus": 0}, ["no_live_slot"]),
            ({"queue": "night"}, ["no_live_slot"]),
        ],
        ids=["any", "gpu", "cpu", "queue"],
    )
    def test_a_slot_must_have_what_the_job_asks_for(
        self, api: Api, resources: dict[str, object], warned: list[str]
    ) -> None:
        a_slot(api, gpu="NVIDIA H200")

        plan = validated(api, resources=resources)

        assert [code for code in codes(plan) if code == "no_live_slot"] == warned


class TestEstimate:
    def test_past_jobs_of_the_same_model_size_and_device_tell_the_time(self, api: Api) -> None:
        a_slot(api)
        past = [a_past_job(api, api.rows, seconds=seconds) for seconds in (3.0, 6.0, 12.0)]

        estimate = validated(api, train={"epochs": 7, "imgsz": 64})["estimate"]

        assert estimate["jobs"] == past[::-1]
        assert estimate["device"] == "cpu"
        assert estimate["epoch_seconds"] == pytest.approx(6.0)
        assert estimate["seconds"] == pytest.approx(42.0)

    def test_only_the_newest_past_jobs_count_for_an_estimate(self, api: Api) -> None:
        a_slot(api)
        past = [a_past_job(api, api.rows, seconds=1.0) for _ in range(7)]

        assert validated(api)["estimate"]["jobs"] == past[:1:-1]

    def test_stopped_slots_give_the_device_of_an_estimate_where_no_slot_lives(
        self, api: Api
    ) -> None:
        slot = a_slot(api, gpu="NVIDIA H200")
        with api.database.write() as unit:
            mark_stopped(unit.session, slot, "first")
        a_past_job(api, api.rows, seconds=1.0)
        on_gpu = a_past_job(api, api.rows, seconds=1.0, device_name="NVIDIA H200")

        assert validated(api)["estimate"]["jobs"] == [on_gpu]

    @pytest.mark.parametrize(
        "columns",
        [
            {"architecture": "yolo26s.yaml"},
            {"imgsz": 640},
            {"device_name": "NVIDIA H200"},
            {"device_name": None},
            {"state": JobState.FAILED},
            {"trashed_at": database_now()},
        ],
        ids=["architecture", "imgsz", "device", "unknown-device", "failed", "trashed"],
    )
    def test_past_jobs_of_another_kind_do_not_count_for_an_estimate(
        self, api: Api, columns: dict[str, object]
    ) -> None:
        a_slot(api)
        a_past_job(api, api.rows, seconds=1.0, **columns)

        estimate = validated(api)["estimate"]

        assert (estimate["seconds"], estimate["jobs"]) == (None, [])
        assert "cpu" in estimate["note"]

    def test_jobs_of_other_projects_stay_out_of_sight(self, api: Api) -> None:
        a_slot(api)
        a_past_job(api, some_rows(api.database, name="foreign"), seconds=1.0)

        assert validated(api)["estimate"]["jobs"] == []


class TestCost:
    def test_planning_asks_the_same_however_many_jobs_there_were(self, api: Api) -> None:
        a_slot(api)
        validated(api)
        counts = []

        for past in (1, 8):
            for _ in range(past):
                a_past_job(api, api.rows, seconds=1.0)
            with sql_on(api.database) as asked:
                validated(api)
            counts.append((asked.reads, asked.writes))

        assert counts == [(8, 0), (8, 0)], (
            "dataset, slots, jobs alike, quotas; running jobs, limits, lanes, waiting jobs"
        )

    def test_reading_a_plan_asks_once(self, api: Api) -> None:
        plan = api.submit()["links"]["plan"]

        with sql_on(api.database) as asked:
            api.client.get(plan)

        assert (asked.reads, asked.writes) == (1, 0)
