"""The data sets API as its users meet it, with the real verification behind it."""

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import pytest
from sqlalchemy import event
from starlette.testclient import TestClient

from app.datasets import receive
from app.main import create_app
from app.settings import Limits, Settings
from examples.shapes import write_shapes
from tests.api.conftest import Api
from tests.waiting import eventually

pytestmark = pytest.mark.integration

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small data set that is ready once it is verified."""
    path = tmp_path_factory.mktemp("shapes") / "shapes.zip"
    write_shapes(path, train=4, val=2, size=64)
    return path.read_bytes()


@pytest.fixture(scope="module")
def other_shapes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("shapes") / "shapes.zip"
    write_shapes(path, train=4, val=2, size=64, seed=1)
    return path.read_bytes()


def upload(api: Api, body: bytes, *, name: str = "mine", **query: str) -> dict[str, Any]:
    answer = api.client.post("/v1/datasets", params={"name": name, **query}, content=body)
    assert answer.status_code in {200, 202}, answer.text
    view: dict[str, Any] = answer.json()
    return view


def verified(api: Api, reference: str) -> dict[str, Any]:
    """Wait until a data set's newest version, or the named one, is judged."""

    def judged() -> dict[str, Any] | None:
        view: dict[str, Any] = api.client.get(f"/v1/datasets/{reference}").json()
        return view if view["state"] != "validating" else None

    return eventually(judged, within=60) or {}


def names(api: Api) -> list[str]:
    return [each["name"] for each in api.client.get("/v1/datasets").json()["data"]]


def spooled(api: Api) -> list[str]:
    spool = api.context.settings.home / "spool"
    return [path.name for path in spool.iterdir()] if spool.exists() else []


class TestUpload:
    def test_an_archive_is_accepted_at_once_and_ready_once_it_is_verified(
        self, api: Api, shapes: bytes
    ) -> None:
        answer = api.client.post(
            "/v1/datasets",
            params={"name": "mine", "task": "detect"},
            content=shapes,
            headers={"Content-Type": "application/zip"},
        )

        view = answer.json()
        assert answer.status_code == 202
        assert answer.headers["Location"] == f"/v1/datasets/{view['id']}"
        assert (view["state"], view["task"], view["size_bytes"]) == (
            "validating",
            "detect",
            len(shapes),
        )
        ready = verified(api, view["id"])
        assert (ready["state"], ready["version"]) == ("ready", view["version"])
        assert ready["classes"] == ["circle", "square", "triangle"]
        assert ready["images"] == {"train": 4, "val": 2}
        assert spooled(api) == []

    def test_the_task_may_be_left_out_where_the_labels_say_it(
        self, api: Api, shapes: bytes
    ) -> None:
        view = upload(api, shapes)

        assert verified(api, view["id"])["task"] == "detect"

    @pytest.mark.parametrize(
        "media_type", [None, "application/octet-stream", "application/zip; x=y", "Application/ZIP"]
    )
    def test_what_curl_sends_is_taken(
        self, api: Api, shapes: bytes, media_type: str | None
    ) -> None:
        headers = {"Content-Type": media_type} if media_type else {}

        answer = api.client.post(
            "/v1/datasets?name=mine", content=io.BytesIO(shapes), headers=headers
        )

        assert answer.status_code == 202

    def test_the_same_bytes_again_answer_with_the_version_that_holds_them(
        self, api: Api, shapes: bytes
    ) -> None:
        first = upload(api, shapes)

        again = api.client.post("/v1/datasets?name=mine", content=shapes)

        assert again.status_code == 200
        assert again.json()["version"] == first["version"]

    def test_other_bytes_under_the_name_are_its_next_version(
        self, api: Api, shapes: bytes, other_shapes: bytes
    ) -> None:
        first = upload(api, shapes)

        second = upload(api, other_shapes)

        assert (second["id"], second["number"]) == (first["id"], 2)
        assert second["version"] != first["version"]

    def test_the_same_bytes_under_another_name_are_another_data_set(
        self, api: Api, shapes: bytes
    ) -> None:
        assert upload(api, shapes)["id"] != upload(api, shapes, name="other")["id"]

    def test_another_task_than_the_data_sets_is_refused(
        self, api: Api, shapes: bytes, other_shapes: bytes
    ) -> None:
        upload(api, shapes, task="detect")

        answer = api.client.post("/v1/datasets?name=mine&task=segment", content=other_shapes)

        assert answer.status_code == 409
        assert answer.json()["type"] == "urn:trainyard:problem:dataset-task-mismatch"

    def test_an_archive_that_is_none_is_answered_with_its_report(self, api: Api) -> None:
        view = upload(api, b"no zip at all")

        invalid = verified(api, view["id"])
        report = api.client.get(invalid["links"]["report"]).json()

        assert invalid["state"] == "invalid"
        assert report["version"] == view["version"]
        assert [each["code"] for each in report["report"]["findings"]] == ["archive-corrupt"]

    def test_bytes_that_were_found_invalid_may_be_sent_again(self, api: Api) -> None:
        first = upload(api, b"no zip at all")
        verified(api, first["id"])

        assert upload(api, b"no zip at all")["version"] != first["version"]

    @pytest.mark.parametrize(
        ("query", "headers", "body", "status", "slug"),
        [
            pytest.param("name=x", {}, b"", 400, "empty-archive", id="empty"),
            pytest.param(
                "name=x",
                {"Content-Type": "application/json"},
                b'{"upload": "upl_1"}',
                415,
                "unsupported-media-type",
                id="json",
            ),
            pytest.param(
                "name=x",
                {"Content-Type": "multipart/form-data; boundary=x"},
                b"--x--",
                415,
                "unsupported-media-type",
                id="form",
            ),
            pytest.param("", {}, b"x", 422, "validation-error", id="no-name"),
            pytest.param("name=", {}, b"x", 422, "validation-error", id="empty-name"),
            pytest.param("name=a%00b", {}, b"x", 422, "validation-error", id="nul"),
            pytest.param("name=a%E2%80%AEb", {}, b"x", 422, "validation-error", id="bidi"),
            pytest.param("name=..%2Fx", {}, b"x", 422, "validation-error", id="path"),
            pytest.param("name=" + "x" * 201, {}, b"x", 422, "validation-error", id="long-name"),
            pytest.param("name=x&task=fly", {}, b"x", 422, "validation-error", id="task"),
            pytest.param("name=x&project=nope", {}, b"x", 422, "unknown-project", id="project"),
            pytest.param("name=x&other=1", {}, b"x", 422, "validation-error", id="unknown-query"),
        ],
    )
    def test_a_bad_upload_is_refused_and_leaves_nothing(
        self, api: Api, query: str, headers: dict[str, str], body: bytes, status: int, slug: str
    ) -> None:
        answer = api.client.post(f"/v1/datasets?{query}", content=body, headers=headers)

        assert answer.status_code == status, answer.text
        assert answer.json()["type"] == f"urn:trainyard:problem:{slug}"
        assert names(api) == ["shapes"]
        assert spooled(api) == []

    def test_a_full_disk_is_said(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        def create(_: Path) -> BinaryIO:
            return Path("/dev/full").open("wb", buffering=0)

        monkeypatch.setattr(receive, "_create", create)

        answer = api.client.post("/v1/datasets?name=x", content=b"PK" * MIB)

        assert answer.status_code == 507
        assert names(api) == ["shapes"]


class TestSizeLimit:
    @pytest.fixture
    def settings(self, tmp_path: Path, sqlite_url: str) -> Settings:
        limits = Limits(dataset_archive_bytes=2 * MIB)
        return Settings(
            home=tmp_path / "home",
            database_url=sqlite_url,
            broker_url="redis://127.0.0.1:1/0",
            limits=limits,
        )

    def test_an_archive_may_be_larger_than_a_json_body(self, api: Api) -> None:
        answer = api.client.post("/v1/datasets?name=x", content=b"x" * 2 * MIB)

        assert answer.status_code == 202

    @pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
    def test_a_larger_one_is_refused_and_the_connection_ends(
        self, api: Api, *, announced: bool
    ) -> None:
        def pieces() -> Iterator[bytes]:
            yield from [b"x" * MIB] * 3

        answer = api.client.post(
            "/v1/datasets?name=x", content=b"x" * 3 * MIB if announced else pieces()
        )

        assert answer.status_code == 413
        assert answer.headers["Connection"] == "close"
        assert answer.json()["type"] == "urn:trainyard:problem:body-too-large"
        assert spooled(api) == []


class TestCutUpload:
    def test_a_client_that_leaves_midway_leaves_nothing(self, api: Api) -> None:
        messages = [
            {"type": "http.request", "body": b"PK" * MIB, "more_body": True},
            {"type": "http.disconnect"},
        ]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/v1/datasets",
            "raw_path": b"/v1/datasets",
            "query_string": b"name=cut",
            "root_path": "",
            "headers": [
                (b"host", b"127.0.0.1"),
                (b"authorization", f"Bearer {api.key}".encode()),
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }

        async def receive_next() -> dict[str, Any]:
            return messages.pop(0)

        async def send(_: Any) -> None:  # noqa: ANN401 -- an ASGI message
            pass

        anyio.run(api.app, scope, receive_next, send)

        assert messages == []
        assert names(api) == ["shapes"]
        assert spooled(api) == []


class TestRead:
    def test_a_version_is_read_by_its_own_id_and_by_its_data_sets(
        self, api: Api, shapes: bytes, other_shapes: bytes
    ) -> None:
        first, second = upload(api, shapes), upload(api, other_shapes)

        by_version = api.client.get(f"/v1/datasets/{first['version']}").json()
        by_set = api.client.get(f"/v1/datasets/{first['id']}").json()

        assert by_version["version"] == first["version"]
        assert by_set["version"] == second["version"]

    def test_the_report_of_any_version_can_be_asked_for(self, api: Api, shapes: bytes) -> None:
        first = upload(api, b"no zip at all")
        upload(api, shapes)
        verified(api, first["version"])

        path = f"/v1/datasets/{first['id']}/report"
        report = api.client.get(path, params={"version": first["version"]}).json()

        assert (report["version"], report["state"]) == (first["version"], "invalid")

    def test_a_version_of_another_data_set_is_not_its_own(self, api: Api, shapes: bytes) -> None:
        first, other = upload(api, shapes), upload(api, shapes, name="other")

        path = f"/v1/datasets/{first['id']}/report"
        answer = api.client.get(path, params={"version": other["version"]})

        assert answer.status_code == 404

    @pytest.mark.parametrize(
        "path",
        ["ds_nope", "dsv_nope", "ds_nope/report", "%00", "%00/report", "x/report?version=%00"],
    )
    def test_what_is_not_there_is_not_found(self, api: Api, path: str) -> None:
        assert api.client.get(f"/v1/datasets/{path}").status_code == 404

    def test_a_list_is_paged_without_loss(self, api: Api, shapes: bytes) -> None:
        made = [upload(api, shapes, name=f"set {number}")["id"] for number in range(4)]

        seen: list[str] = []
        query: dict[str, Any] = {"limit": 2}
        while True:
            page = api.client.get("/v1/datasets", params=query).json()
            seen += [each["id"] for each in page["data"]]
            if not page["has_more"]:
                break
            query["cursor"] = page["next"]

        assert seen == sorted([*made, api.home.dataset_id], reverse=True)

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ("limit=0", 422),
            ("limit=1000000000", 422),
            ("cursor=forged", 400),
            ("sort=x", 422),
            ("name=%00", 422),
        ],
    )
    def test_a_bad_list_query_is_refused(self, api: Api, query: str, status: int) -> None:
        assert api.client.get(f"/v1/datasets?{query}").status_code == status

    def test_a_list_costs_one_query(self, api: Api) -> None:
        api.client.get("/v1/datasets")  # the key is known from here on
        statements: list[str] = []

        def count(*seen: object) -> None:
            if not threading.current_thread().name.startswith(("verif", "reconciler")):
                statements.append(str(seen[2]))

        event.listen(api.database.engine, "before_cursor_execute", count)
        api.client.get("/v1/datasets")

        assert [each.partition(" ")[0] for each in statements if each != "BEGIN"] == ["SELECT"]


class TestDelete:
    def test_an_unused_data_set_goes(self, api: Api, shapes: bytes) -> None:
        view = upload(api, shapes)

        answer = api.client.delete(f"/v1/datasets/{view['id']}")

        assert (answer.status_code, answer.content) == (204, b"")
        assert api.client.get(f"/v1/datasets/{view['id']}").status_code == 404

    def test_a_used_one_stays(self, api: Api) -> None:
        api.submit()

        answer = api.client.delete(f"/v1/datasets/{api.home.dataset_id}")

        assert answer.status_code == 409
        assert answer.json()["type"] == "urn:trainyard:problem:dataset-in-use"
        assert names(api) == ["shapes"]

    @pytest.mark.parametrize("path", ["ds_nope", "dsv_nope", "%00"])
    def test_what_is_not_there_is_not_found(self, api: Api, path: str) -> None:
        assert api.client.delete(f"/v1/datasets/{path}").status_code == 404


class TestJobOnADataSet:
    def test_one_that_is_not_ready_is_refused(self, api: Api) -> None:
        view = upload(api, b"no zip at all")

        answer = api.client.post("/v1/jobs", json=api.spec(dataset=view["id"]))

        assert answer.status_code == 409
        assert answer.json()["type"] == "urn:trainyard:problem:dataset-not-ready"


class TestRestart:
    def test_an_upload_that_a_stopped_server_left_is_verified_by_the_next(
        self, settings: Settings, shapes: bytes
    ) -> None:
        with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
            key = (settings.home / "api-key").read_text().strip()
            client.headers["Authorization"] = f"Bearer {key}"
            client.post("/v1/datasets?name=mine", content=shapes)

        with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
            client.headers["Authorization"] = f"Bearer {key}"

            eventually(
                lambda: client.get("/v1/datasets").json()["data"][0]["state"] == "ready", within=60
            )
