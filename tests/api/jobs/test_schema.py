"""What a form for jobs asks the server: arguments, metrics, and what a pasted text means."""

from typing import Any

import pytest

from app.core.tasks import TASKS
from app.jobs.spec.job_spec import TrainArguments
from tests.api.refusals import assert_refused
from tests.counting import statements_to
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]


def arguments_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {field["name"]: field for group in document["groups"] for field in group["fields"]}


class TestSchema:
    def test_every_argument_is_described(self, shared_api: Api) -> None:
        document = shared_api.client.get("/v1/schema/job").json()

        arguments = arguments_of(document)
        assert arguments.keys() == TrainArguments.model_fields.keys()
        assert all(
            each["help"] and each["tasks"] and each["accepts"] for each in arguments.values()
        )

    def test_an_argument_shows_its_range(self, shared_api: Api) -> None:
        arguments = arguments_of(shared_api.client.get("/v1/schema/job").json())

        lrf = arguments["lrf"]
        assert (lrf["type"], lrf["default"], lrf["minimum"], lrf["maximum"]) == (
            "number",
            0.01,
            0,
            1,
        )
        assert lrf["tasks"] == ["all"]
        assert arguments["dropout"]["accepts"][0]["below"] == 1
        assert [each["type"] for each in arguments["batch"]["accepts"]] == [
            *("integer", "integer", "number")
        ]
        assert arguments["optimizer"]["accepts"][0]["choices"][0] == "auto"

    @pytest.mark.parametrize("task", TASKS)
    def test_a_task_shows_its_arguments_and_metrics_alone(self, shared_api: Api, task: str) -> None:
        document = shared_api.client.get("/v1/schema/job", params={"task": task}).json()

        tasks = [each["tasks"] for each in arguments_of(document).values()]
        assert all(each == ["all"] or task in each for each in tasks)
        assert all(each["tasks"] == [task] for each in document["metrics"])
        assert document["metrics"][0]["name"] == "fitness"

    def test_a_metric_names_its_direction_and_what_it_needs(self, shared_api: Api) -> None:
        document = shared_api.client.get("/v1/schema/job", params={"task": "detect"}).json()

        metrics = {each["name"]: each for each in document["metrics"]}
        assert metrics["metrics/F1(B)"]["needs"] == "metrics.f1"
        assert metrics["metrics/mAP50-95(B)"]["needs"] is None
        assert metrics["val/box_loss"]["direction"] == "lower"

    def test_a_job_with_any_of_the_metrics_and_defaults_is_accepted(self, shared_api: Api) -> None:
        document = shared_api.client.get("/v1/schema/job", params={"task": "detect"}).json()

        for metric in document["metrics"]:
            customize = {"best_model": {"metric": metric["name"]}}
            answer = shared_api.client.post(
                "/v1/jobs/validate", json=shared_api.spec(customize=customize)
            )
            of_other_family = metric["name"] == "val/dfl_loss"  # yolo26 has none
            assert answer.status_code == (422 if of_other_family else 200), metric["name"]

    def test_an_unknown_task_or_parameter_is_refused(self, shared_api: Api) -> None:
        for query in ({"task": "dance"}, {"tsk": "detect"}):
            answer = shared_api.client.get("/v1/schema/job", params=query)

            assert_refused(answer, status=422, slug="validation-error")


class TestParse:
    def parse(self, api: Api, text: str | bytes) -> Any:  # noqa: ANN401 -- an answer
        return api.client.post(
            "/v1/jobs/parse", content=text, headers={"Content-Type": "text/plain"}
        )

    def test_a_command_becomes_a_spec_that_a_job_takes(self, shared_api: Api) -> None:
        text = "yolo train model=yolo26n.yaml data=coco8.yaml epochs=3 optimizer=SGD lr0=0.02"

        parsed = self.parse(shared_api, text).json()

        assert parsed["missing"] == ["dataset"]
        assert [each["argument"] for each in parsed["left_out"]] == ["data"]
        spec = parsed["spec"] | {"dataset": shared_api.rows.dataset_id}
        assert shared_api.client.post("/v1/jobs/validate", json=spec).status_code == 200

    def test_a_text_of_another_kind_is_refused_with_an_example(self, shared_api: Api) -> None:
        answer = self.parse(shared_api, "hello")

        assert_refused(answer, status=422, slug="nothing-to-parse")
        assert "yolo train" in answer.json()["detail"]

    def test_another_mode_is_refused(self, shared_api: Api) -> None:
        answer = self.parse(shared_api, "yolo predict source=a.jpg")

        assert_refused(answer, status=422, slug="not-a-training")

    def test_a_body_that_is_no_text_or_too_long_is_refused(self, shared_api: Api) -> None:
        assert_refused(self.parse(shared_api, b"\xff\xfe"), status=400, slug="bad-request")
        too_long = self.parse(shared_api, b"x" * 300_000)
        assert_refused(too_long, status=413, slug="body-too-large")

    def test_neither_route_asks_for_more_than_the_key(self, shared_api: Api) -> None:
        with statements_to(shared_api.database) as of_parsing:
            self.parse(shared_api, "epochs=3").raise_for_status()
        with statements_to(shared_api.database) as of_me:
            shared_api.client.get("/v1/schema/job").raise_for_status()

        assert of_parsing == of_me
