"""Weights that users send to their project."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import pytest
from sqlalchemy import select

from app.audit.tables import AuditRecord
from app.models.repository import resolve_model
from app.quotas.repository import Quota, set_limits, usage_of
from tests.api.refusals import assert_refused
from tests.counting import statements_to
from tests.models.builders import a_model, a_ready_model, a_refused_model
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

WEIGHTS = b"PK\x03\x04" + b"weights" * 1000
OTHER = b"PK\x03\x04" + b"others" * 1000


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def send(api: Api, content: bytes = WEIGHTS, **query: str) -> httpx.Response:
    asked = {"name": "ours.pt", "sha256": sha256_of(WEIGHTS)} | query
    answer: httpx.Response = api.client.post("/v1/models", params=asked, content=content)
    return answer


def names(api: Api) -> list[str]:
    listed = api.client.get("/v1/models", params={"kind": "weights"}).json()["data"]
    return [each["name"] for each in listed]


class TestSending:
    def test_sent_weights_wait_for_their_inspection(self, api: Api) -> None:
        answer = send(api, task="detect")

        model: dict[str, Any] = answer.json()
        assert answer.status_code == 202
        assert (model["name"], model["state"], model["project"]) == (
            *("ours.pt", "inspecting"),
            "default",
        )
        assert (model["source"], model["vouched"], model["task"]) == ("upload", True, "detect")
        assert api.client.get(f"/v1/models/{model['id']}").json() == model
        assert b"".join(api.context.store.open_range(model["sha256"], 0, len(WEIGHTS))) == WEIGHTS

    def test_a_request_without_a_body_asks_whether_the_file_is_needed(self, api: Api) -> None:
        assert_refused(send(api, b""), status=409, slug="weights-missing")
        first = send(api)

        again = send(api, b"")

        assert (again.status_code, again.json()) == (200, first.json())

    def test_bytes_of_the_instance_need_not_be_sent(self, api: Api) -> None:
        row = a_ready_model(api.database, "official.pt")

        answer = send(api, b"", sha256=row.sha256)

        assert answer.status_code == 200
        assert (answer.json()["project"], answer.json()["state"]) == ("default", "inspecting")

    def test_a_file_with_another_digest_is_refused_and_nothing_is_added(self, api: Api) -> None:
        answer = send(api, OTHER)

        assert_refused(answer, status=422, slug="wrong-digest")
        assert answer.json()["errors"][0]["pointer"] == "query/sha256"
        assert names(api) == []
        assert not api.context.store.exists(sha256_of(OTHER))

    @pytest.mark.parametrize(
        ("query", "content", "slug"),
        [
            ({"name": "ours"}, WEIGHTS, "bad-model-name"),
            ({"name": "../ours.pt"}, WEIGHTS, "bad-model-name"),
            ({"sha256": "abc"}, WEIGHTS, "bad-digest"),
            ({"sha256": sha256_of(b"no zip")}, b"no zip", "not-weights"),
            ({"project": "no-such"}, WEIGHTS, "unknown-project"),
            ({"task": "dance"}, WEIGHTS, "validation-error"),
            ({"nam": "x"}, WEIGHTS, "validation-error"),
        ],
    )
    def test_a_bad_request_is_refused_by_name(
        self, api: Api, query: dict[str, str], content: bytes, slug: str
    ) -> None:
        answer = send(api, content, **query)

        assert_refused(answer, status=422, slug=slug)
        assert answer.json()["errors"]
        assert names(api) == []

    def test_other_weights_do_not_replace_those_with_the_name(self, api: Api) -> None:
        send(api)

        answer = send(api, OTHER, sha256=sha256_of(OTHER))

        assert_refused(answer, status=409, slug="model-name-taken")

    def test_refused_weights_are_replaced_under_their_name(self, api: Api) -> None:
        a_refused_model(api.database, "ours.pt", project_id=api.rows.project_id)

        answer = send(api)

        assert (answer.status_code, answer.json()["state"]) == (202, "inspecting")
        assert answer.json()["sha256"] == sha256_of(WEIGHTS)

    def test_one_file_that_is_sent_many_times_at_once_is_one_model(self, api: Api) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: send(api), range(8)))

        assert {answer.status_code for answer in answers} <= {200, 202}
        assert len({answer.json()["id"] for answer in answers}) == 1

    def test_a_digest_finds_its_weights(self, api: Api) -> None:
        a_model(api.database, "another.pt")
        send(api)

        found = api.client.get("/v1/models", params={"sha256": sha256_of(WEIGHTS)}).json()["data"]

        assert [each["name"] for each in found] == ["ours.pt"]

    def test_known_bytes_take_as_many_statements_however_many_models_there_are(
        self, api: Api
    ) -> None:
        send(api)
        with statements_to(api.database) as few:
            send(api, b"")
        for number in range(20):
            a_model(api.database, f"{number}.pt", project_id=api.rows.project_id)

        with statements_to(api.database) as many:
            send(api, b"")

        assert many == few


class TestQuota:
    def test_sent_weights_count_as_stored_until_they_are_removed(self, api: Api) -> None:
        model_id = send(api).json()["id"]
        with api.database.read() as unit:
            stored = usage_of(unit.session, api.rows.project_id)[Quota.STORED_BYTES].used

        api.client.delete(f"/v1/models/{model_id}")

        with api.database.read() as unit:
            after = usage_of(unit.session, api.rows.project_id)[Quota.STORED_BYTES].used
        assert stored - after == len(WEIGHTS)

    def test_weights_beyond_the_quota_are_refused_before_they_are_read(self, api: Api) -> None:
        with api.database.write() as unit:
            set_limits(unit.session, api.rows.project_id, {Quota.STORED_BYTES: 10})

        assert_refused(send(api), status=403, slug="quota-exceeded")
        assert names(api) == []

    def test_weights_of_unannounced_size_beyond_the_quota_are_not_stored(self, api: Api) -> None:
        with api.database.write() as unit:
            set_limits(unit.session, api.rows.project_id, {Quota.STORED_BYTES: len(WEIGHTS) - 1})
        query = {"name": "ours.pt", "sha256": sha256_of(WEIGHTS)}

        answer = api.client.post("/v1/models", params=query, content=iter([WEIGHTS]))

        assert_refused(answer, status=403, slug="quota-exceeded")
        assert not api.context.store.exists(sha256_of(WEIGHTS))


class TestRemoving:
    def test_removed_weights_are_gone_and_the_audit_log_says_so(self, api: Api) -> None:
        model_id = send(api).json()["id"]

        answer = api.client.delete(f"/v1/models/{model_id}")

        assert (answer.status_code, names(api)) == (204, [])
        with api.database.read() as unit:
            actions = unit.session.scalars(
                select(AuditRecord.action).where(AuditRecord.target == model_id)
            ).all()
        assert sorted(actions) == ["model.added", "model.deleted"]

    def test_weights_of_the_instance_are_its_operators(self, api: Api) -> None:
        model_id = a_model(api.database, "official.pt").id

        answer = api.client.delete(f"/v1/models/{model_id}")

        assert_refused(answer, status=409, slug="model-of-instance")


class TestNames:
    def test_a_name_means_the_weights_of_the_project_first(self, api: Api) -> None:
        a_ready_model(api.database, "ours.pt")
        own = a_ready_model(api.database, "ours.pt", project_id=api.rows.project_id)

        with api.database.read() as unit:
            found = resolve_model(unit.session, [api.rows.project_id], "ours.pt")

        assert api.client.get("/v1/models/ours.pt").json()["id"] == own.id
        assert found.sha256 == own.sha256

    def test_a_name_that_two_of_ones_projects_have_asks_for_the_id(self, api: Api) -> None:
        other = api.client.post("/v1/projects", json={"name": "cells"}).json()["id"]
        for project_id in (api.rows.project_id, other):
            a_model(api.database, "ours.pt", project_id=project_id)

        answer = api.client.get("/v1/models/ours.pt")

        assert_refused(answer, status=422, slug="ambiguous-model-name")


def test_an_announced_size_above_the_limit_is_refused_before_anything_is_read(api: Api) -> None:
    head = {"Content-Length": str(10**14)}
    query = {"name": "ours.pt", "sha256": sha256_of(WEIGHTS)}

    answer = api.client.post("/v1/models", params=query, headers=head, content=b"PK")

    assert_refused(answer, status=413, slug="body-too-large")
    assert str(api.context.settings.limits.weights_bytes) in answer.json()["detail"]
