"""Over HTTP: what can never train is refused, and a job shows the arguments that run."""

from typing import Any

import pytest
from sqlalchemy import update

from app.core.ids import new_id
from app.datasets.tables import DatasetVersion
from app.fleet.repository import Registration, mark_stopped, register_worker
from app.jobs.tables import Job
from tests.api.jobs.extending import extend, trained
from tests.api.refusals import assert_refused
from tests.worlds.rows import a_dataset, job_row
from tests.worlds.server import Api

pytestmark = pytest.mark.integration

POSES: dict[str, Any] = {"model": "yolo26n-pose.yaml", "train": {"epochs": 2, "fliplr": 0.9}}
ONE_LEFT: dict[str, Any] = {"train": {"epochs": 2, "imgsz": 32, "batch": 3}}
SECOND_HALF = {"train": [[2, 1]], "val": [[0, 1]]}


@pytest.fixture
def api(shared_api: Api) -> Api:
    """One server for all tests of this module: each test uses its own jobs and datasets."""
    return shared_api


def dataset(api: Api, task: str = "detect", **facts: object) -> str:
    """Add a ready dataset of four training images with these facts, and return its id."""
    plain = {"running_max_objects": None, "has_flip_idx": False, "has_masks": False}
    owner = (api.rows.project_id, api.rows.user_id)
    with api.database.write() as unit:
        dataset_id, version_id = a_dataset(unit.session, *owner, name=new_id("ds"), task=task)
        of_version = update(DatasetVersion).where(DatasetVersion.id == version_id)
        unit.session.execute(of_version.values(training_facts=plain | facts))
    return dataset_id


def validated(api: Api, **spec: object) -> dict[str, Any]:
    answer = api.client.post("/v1/jobs/validate", json=api.spec(**spec))
    assert answer.status_code == 200, answer.text
    plan: dict[str, Any] = answer.json()
    return plan


def warnings(plan: dict[str, Any], code: str) -> list[str]:
    return [warning["pointer"] for warning in plan["warnings"] if warning["code"] == code]


def a_live_slot(api: Api, *, gpus: int) -> str:
    registration = Registration(
        node="node",
        slot=str(gpus),
        incarnation="first",
        host="here",
        queues=("default",),
        gpus=gpus,
        version="0.1.0",
        devices=[{"name": "NVIDIA H200", "memory_bytes": 1}] * gpus,
    )
    with api.database.write() as unit:
        return register_worker(unit.session, registration)


class TestRefusals:
    @pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/validate"])
    def test_a_last_batch_of_one_is_refused_with_pointers(self, api: Api, path: str) -> None:
        answer = api.client.post(path, json=api.spec(**ONE_LEFT))

        assert_refused(answer, status=422, slug="validation-error", pointer="/train/imgsz")
        codes = {each["pointer"]: each["code"] for each in answer.json()["errors"]}
        assert codes == dict.fromkeys(("/train/batch", "/train/imgsz"), "final-batch-of-one")

    def test_a_clone_into_a_last_batch_of_one_is_refused(self, api: Api) -> None:
        job = api.submit()

        answer = api.client.post(f"/v1/jobs/{job['id']}/clone", json=ONE_LEFT)

        assert_refused(answer, status=422, slug="validation-error", pointer="/train/batch")

    def test_a_fraction_of_backgrounds_is_refused(self, api: Api) -> None:
        half = {"epochs": 2, "imgsz": 64, "fraction": 0.5}
        spec = api.spec(dataset=dataset(api, running_max_objects=SECOND_HALF), train=half)

        answer = api.client.post("/v1/jobs", json=spec)

        assert_refused(answer, status=422, slug="validation-error", pointer="/train/fraction")

    def test_an_extension_that_can_never_train_is_refused(self, api: Api) -> None:
        parent = trained(api)
        resolved = job_row(api.database, parent).resolved_spec
        changed = resolved | {"train": resolved["train"] | ONE_LEFT["train"]}
        with api.database.write() as unit:
            unit.session.execute(update(Job).where(Job.id == parent).values(resolved_spec=changed))

        answer = extend(api, parent)

        assert_refused(answer, status=422, slug="validation-error", pointer="/train/batch")


class TestWhatIsShown:
    def test_a_plan_and_its_job_show_flips_that_the_dataset_switches_off(self, api: Api) -> None:
        spec = POSES | {"dataset": dataset(api, "pose")}
        plan = validated(api, **spec)

        job = api.submit(**spec)

        assert warnings(plan, "argument_overridden") == ["/train/fliplr"]
        assert plan["resolved"]["train"]["fliplr"] == job["resolved"]["train"]["fliplr"] == 0.0
        assert job["spec"]["train"]["fliplr"] == 0.9

    def test_a_clone_shows_what_runs_on_its_own_dataset(self, api: Api) -> None:
        job = api.submit(**POSES | {"dataset": dataset(api, "pose")})
        changes = {"dataset": dataset(api, "pose", has_flip_idx=True)}

        clone = api.client.post(f"/v1/jobs/{job['id']}/clone", json=changes).json()

        assert clone["resolved"]["train"]["fliplr"] == 0.9

    def test_an_extension_shows_what_runs_and_its_parent_stays_as_it_is(self, api: Api) -> None:
        parent = trained(api, **POSES | {"dataset": dataset(api, "pose", has_flip_idx=None)})
        before = job_row(api.database, parent).resolved_spec
        version = update(DatasetVersion).where(
            DatasetVersion.id == job_row(api.database, parent).dataset_version_id
        )
        with api.database.write() as unit:
            facts = {"running_max_objects": None, "has_flip_idx": False, "has_masks": False}
            unit.session.execute(version.values(training_facts=facts))

        child = extend(api, parent).json()

        assert before["train"]["fliplr"] == 0.9
        assert child["resolved"]["train"]["fliplr"] == 0.0
        assert job_row(api.database, parent).resolved_spec == before


class TestBfloat16:
    @pytest.mark.parametrize(("gpus", "expected"), [(0, ["/resources/gpus"]), (1, [])])
    def test_a_slot_without_a_gpu_that_may_take_the_job_is_warned_of(
        self, api: Api, gpus: int, expected: list[str]
    ) -> None:
        slot = a_live_slot(api, gpus=gpus)

        plan = validated(api, train={"epochs": 2, "amp": "bf16"})

        assert warnings(plan, "bf16_needs_a_gpu") == expected
        with api.database.write() as unit:
            mark_stopped(unit.session, slot, "first")
