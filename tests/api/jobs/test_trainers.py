"""Trainer plugins in the API, and the fields of a job that select and configure one."""

import json
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.core.database import database_now
from app.fleet.repository import Registration, ReportedPlugin, mark_stopped, register_worker
from app.fleet.tables import Worker
from tests.api.refusals import CANARY, assert_refused
from tests.plugins import write_plugin
from tests.worlds.server import Api

pytestmark = pytest.mark.mostly_sqlite

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "probability": {"type": "number", "default": 0.25, "minimum": 0, "maximum": 1},
        "mode": {"enum": ["gray", "sepia"]},
    },
}
GRAY = ReportedPlugin(name="gray", version="1.0", tasks=("detect",), options_schema=SCHEMA)
BROKEN = ReportedPlugin(name="sepia", version="3", error="ModuleNotFoundError: No module 'hue'")
SLOT = Registration(
    node="nod_1",
    slot="cpu",
    incarnation="inc_1",
    host="here",
    queues=("default",),
    gpus=0,
    version="0.1.0",
)
NEWER = GRAY.model_copy(
    update={"version": "2.0", "options_schema": {**SCHEMA, "required": ["mode"]}}
)


def register(api: Api, *plugins: ReportedPlugin, slot: str = "cpu") -> str:
    with api.database.write() as unit:
        return register_worker(unit.session, replace(SLOT, slot=slot, plugins=plugins))


def stop(api: Api, worker_id: str) -> None:
    with api.database.write() as unit:
        mark_stopped(unit.session, worker_id, SLOT.incarnation)


def started_earlier(api: Api, worker_id: str) -> None:
    with api.database.write() as unit:
        earlier = database_now(timedelta(hours=-1))
        unit.session.execute(
            update(Worker).where(Worker.id == worker_id).values(started_at=earlier)
        )


def trainers(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.client.get("/v1/trainers").json()["data"]
    return found


class TestTrainers:
    def test_the_list_of_trainers_is_empty_without_plugins(self, api: Api) -> None:
        register(api)

        assert trainers(api) == []

    def test_each_trainer_is_shown_with_its_schema_and_its_live_slots(self, api: Api) -> None:
        register(api, GRAY)
        register(api, GRAY, BROKEN, slot="0")
        register(api, slot="1")

        assert trainers(api) == [
            {
                "name": "gray",
                "versions": ["1.0"],
                "tasks": ["detect"],
                "options_schema": SCHEMA,
                "slots": 2,
            }
        ]

    def test_the_newest_report_of_a_live_slot_counts(self, api: Api) -> None:
        newest = register(api, NEWER)
        started_earlier(api, register(api, GRAY, slot="0"))
        both = trainers(api)
        stop(api, newest)
        without = trainers(api)

        assert (both[0]["versions"], both[0]["slots"]) == (["2.0", "1.0"], 2)
        assert both[0]["options_schema"] == NEWER.options_schema
        assert (without[0]["versions"], without[0]["slots"]) == (["1.0", "2.0"], 1)
        assert without[0]["options_schema"] == SCHEMA

    def test_a_worker_shows_its_plugins_and_what_is_wrong_with_them(self, api: Api) -> None:
        register(api, GRAY, BROKEN)

        (worker,) = api.client.get("/v1/workers").json()["data"]

        assert worker["plugins"] == [
            {"name": "gray", "version": "1.0", "error": None},
            {"name": "sepia", "version": "3", "error": BROKEN.error},
        ]


class TestSubmit:
    def test_a_job_keeps_the_plugin_and_its_options_with_their_defaults(self, api: Api) -> None:
        register(api, GRAY)

        job = api.submit(trainer={"name": "gray", "options": {"mode": "sepia"}})

        assert job["spec"]["trainer"] == {"name": "gray", "options": {"mode": "sepia"}}
        assert job["resolved"]["trainer"] == {
            "name": "gray",
            "options": {"probability": 0.25, "mode": "sepia"},
        }

    def test_options_can_be_left_out(self, api: Api) -> None:
        register(api, GRAY)

        job = api.submit(trainer={"name": "gray"})

        assert job["resolved"]["trainer"]["options"] == {"probability": 0.25}

    @pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
    def test_an_option_that_is_no_finite_number_is_refused(self, api: Api, number: str) -> None:
        register(api, GRAY)
        body = json.dumps(api.spec(trainer={"name": "gray", "options": {"probability": 0.123}}))

        answer = api.client.post(
            "/v1/jobs/validate",
            content=body.replace("0.123", number),
            headers={"Content-Type": "application/json"},
        )

        assert_refused(answer, status=422, slug="validation-error", pointer="/trainer/options")

    @pytest.mark.parametrize("reported", [(), (BROKEN,)], ids=["nowhere", "broken-everywhere"])
    def test_a_name_that_no_worker_has_is_refused_with_those_that_exist(
        self, api: Api, reported: tuple[ReportedPlugin, ...]
    ) -> None:
        register(api, GRAY, *reported)

        answer = api.client.post("/v1/jobs", json=api.spec(trainer={"name": "sepia"}))

        assert_refused(answer, status=422, slug="validation-error", pointer="/trainer/name")
        assert "gray" in answer.json()["detail"]

    def test_a_trainer_is_refused_with_the_page_to_read_where_no_worker_was_ever_seen(
        self, api: Api
    ) -> None:
        answer = api.client.post("/v1/jobs", json=api.spec(trainer={"name": CANARY}))

        assert_refused(answer, status=422, slug="validation-error", pointer="/trainer/name")
        assert "docs/plugins.md" in answer.json()["detail"]

    def test_a_plugin_for_other_tasks_is_refused(self, api: Api) -> None:
        register(api, GRAY.model_copy(update={"tasks": ("pose",)}))

        answer = api.client.post("/v1/jobs", json=api.spec(trainer={"name": "gray"}))

        assert_refused(answer, status=422, slug="validation-error", pointer="/trainer/name")

    @pytest.mark.parametrize(
        ("options", "pointer"),
        [
            ({"probability": 2}, "/trainer/options/probability"),
            ({"mode": CANARY}, "/trainer/options/mode"),
            ({"hue/ish": CANARY}, "/trainer/options/hue~1ish"),
            ([CANARY], "/trainer/options"),
        ],
        ids=["range", "choice", "unknown", "no-object"],
    )
    def test_options_that_do_not_fit_the_schema_are_refused_where_they_stand(
        self, api: Api, options: object, pointer: str
    ) -> None:
        register(api, GRAY)

        answer = api.client.post(
            "/v1/jobs", json=api.spec(trainer={"name": "gray", "options": options})
        )

        assert_refused(answer, status=422, slug="validation-error", pointer=pointer)

    def test_options_are_judged_by_the_newest_live_report(self, api: Api) -> None:
        newest = register(api, NEWER)
        started_earlier(api, register(api, GRAY, slot="0"))

        refused = api.client.post("/v1/jobs", json=api.spec(trainer={"name": "gray"}))
        stop(api, newest)
        accepted = api.client.post("/v1/jobs", json=api.spec(trainer={"name": "gray"}))

        assert_refused(
            refused, status=422, slug="validation-error", pointer="/trainer/options/mode"
        )
        assert accepted.status_code == 201

    def test_a_job_without_a_live_slot_that_has_its_trainer_waits_and_says_why(
        self, api: Api
    ) -> None:
        stop(api, register(api, GRAY))
        register(api, slot="0")

        waiting = api.submit(trainer={"name": "gray"})
        register(api, GRAY)

        assert waiting["waiting_reason"] == "no_matching_worker"
        again = api.client.get(f"/v1/jobs/{waiting['id']}").json()
        assert again["waiting_reason"] == "waiting_for_worker"

    def test_the_server_imports_no_plugin_even_where_it_could(
        self, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        code = "raise AssertionError('imported')"
        folder = write_plugin(tmp_path / "packages", code, name="gray", package="never_imported")
        monkeypatch.syspath_prepend(str(folder))
        register(api, GRAY)

        api.submit(trainer={"name": "gray"})

        assert len(trainers(api)) == 1
        assert "never_imported" not in sys.modules
