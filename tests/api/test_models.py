"""The models and workers API for their users."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app.core.database import database_now
from app.fleet.repository import Registration, mark_stopped, register_worker
from app.fleet.tables import Worker
from app.models.architectures import ARCHITECTURES
from app.models.inspection import Findings
from tests.models.builders import SHA256, a_model, a_ready_model, a_refused_model
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]


def listed(api: Api, **query: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    answer = api.client.get("/v1/models", params=query)
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


class TestModels:
    def test_architectures_and_weights_stand_in_one_list_by_name(self, api: Api) -> None:
        a_model(api.database, "yolo26n.pt")

        names = [model["name"] for model in listed(api)]

        assert names == sorted([*ARCHITECTURES, "yolo26n.pt"])

    def test_weights_show_what_they_are(self, api: Api) -> None:
        findings = Findings("segment", "yolo26n-seg.yaml", ("circle", "square"))
        row = a_ready_model(api.database, "ours.pt", findings=findings)

        (model,) = listed(api, kind="weights")

        assert (model["id"], model["name"], model["task"]) == (row.id, "ours.pt", "segment")
        assert (model["sha256"], model["size_bytes"], model["source"]) == (SHA256, 10, "file")
        assert (model["state"], model["architecture"]) == ("ready", "yolo26n-seg.yaml")
        assert (model["classes"], model["layers"]) == (["circle", "square"], 24)

    def test_weights_say_whether_a_worker_has_looked_at_them(self, api: Api) -> None:
        a_model(api.database, "a.pt")
        a_refused_model(api.database, "b.pt", "It is cut.")

        waiting, refused = listed(api, kind="weights")

        assert (waiting["state"], waiting["task"], waiting["message"]) == ("inspecting", None, None)
        assert (refused["state"], refused["message"]) == ("refused", "It is cut.")

    def test_one_model_is_shown_by_id_and_by_name(self, api: Api) -> None:
        model_id = a_ready_model(api.database, "ours.pt").id

        shown = [
            api.client.get(f"/v1/models/{reference}").json()
            for reference in (model_id, "ours.pt", "yolo26n.yaml")
        ]

        assert [each["name"] for each in shown] == ["ours.pt", "ours.pt", "yolo26n.yaml"]
        assert shown[0] == shown[1] == listed(api, kind="weights")[0]

    @pytest.mark.parametrize("reference", ["mdl_gone", "yolo99n.yaml", "ours.pt", "a%0A"])
    def test_a_model_that_does_not_exist_is_not_found(self, api: Api, reference: str) -> None:
        answer = api.client.get(f"/v1/models/{reference}")

        assert answer.status_code == 404
        assert answer.json()["type"] == "urn:trainyard:problem:model-not-found"

    def test_an_architecture_shows_its_layers(self, api: Api) -> None:
        found = {model["name"]: model for model in listed(api, kind="architecture", task="detect")}

        assert found["yolo26n.yaml"]["backbone_layers"] == 11
        assert found["yolo26n.yaml"]["layers"] == 24
        assert {model["task"] for model in found.values()} == {"detect"}

    def test_pages_hold_every_model_once(self, api: Api) -> None:
        for name in ("a.pt", "yolo26n.pt", "zz.pt"):
            a_ready_model(api.database, name)

        seen: list[str] = []
        query: dict[str, Any] = {"limit": 7}
        while True:
            page = api.client.get("/v1/models", params=query).json()
            seen += [model["name"] for model in page["data"]]
            if not page["has_more"]:
                break
            query["cursor"] = page["next"]

        assert seen == sorted([*ARCHITECTURES, "a.pt", "yolo26n.pt", "zz.pt"])

    def test_absent_weights_are_refused_at_submit_with_the_command_that_brings_them(
        self, api: Api
    ) -> None:
        answer = api.client.post("/v1/jobs", json=api.spec(model="yolo26n.pt"))

        assert answer.status_code == 422
        assert "trainyard models add --official yolo26n.pt" in answer.json()["detail"]

    def test_weights_that_are_here_are_frozen_with_the_job(self, api: Api) -> None:
        a_ready_model(api.database, "yolo26n.pt")

        assert api.submit(model="yolo26n.pt")["model"] == "yolo26n.pt"

    def test_the_architecture_that_was_found_makes_the_plan(self, api: Api) -> None:
        a_ready_model(api.database, "ours.pt")

        answer = api.client.post("/v1/jobs/validate", json=api.spec(model="ours.pt"))

        assert answer.status_code == 200, answer.text
        assert answer.json()["resolved"]["architecture"] == "yolo26n.yaml"

    @pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/validate"])
    def test_weights_that_nobody_has_looked_at_are_a_conflict(self, api: Api, path: str) -> None:
        a_model(api.database, "ours.pt", task="detect")

        answer = api.client.post(path, json=api.spec(model="ours.pt"))

        assert answer.status_code == 409
        assert answer.json()["type"] == "urn:trainyard:problem:model-not-ready"

    def test_refused_weights_are_refused_at_submit_with_the_reason(self, api: Api) -> None:
        a_refused_model(api.database, "ours.pt", "It is cut.")

        answer = api.client.post("/v1/jobs", json=api.spec(model="ours.pt"))

        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/model"
        assert "It is cut." in answer.json()["detail"]


class TestWorkers:
    def register(self, api: Api, slot: str) -> str:
        with api.database.write() as unit:
            registration = Registration(
                node="node",
                slot=slot,
                incarnation="first",
                host="here",
                queues=("default",),
                gpus=0 if slot == "cpu" else 1,
                version="0.1.0",
            )
            return register_worker(unit.session, registration)

    def test_every_slot_says_whether_it_is_there(self, api: Api) -> None:
        live, silent, stopped = (self.register(api, slot) for slot in ("0", "1", "cpu"))
        with api.database.write() as unit:
            long_ago = database_now(-timedelta(seconds=600))
            unit.session.execute(
                update(Worker).where(Worker.id == silent).values(heartbeat_at=long_ago)
            )
            mark_stopped(unit.session, stopped, "first")

        data = api.client.get("/v1/workers").json()["data"]

        assert {worker["id"]: worker["state"] for worker in data} == {
            live: "live",
            silent: "silent",
            stopped: "stopped",
        }
        assert data[0]["queues"] == ["default"]

    def test_the_list_of_workers_is_empty_without_workers(self, api: Api) -> None:
        assert api.client.get("/v1/workers").json() == {
            "data": [],
            "next": None,
            "has_more": False,
        }
