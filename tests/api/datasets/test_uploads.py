"""Uploads of datasets over HTTP, with the real verification."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import pytest
from pydantic import SecretStr

from app.settings import Settings
from app.settings.limits import Limits
from app.uploads import receive
from tests.api.datasets.uploading import names, shapes_zip, spooled, upload, verified
from tests.worlds.server import NO_BROKER, Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

MIB = 1024 * 1024


@pytest.fixture
def shapes() -> bytes:
    return shapes_zip(0)


@pytest.fixture
def other_shapes() -> bytes:
    return shapes_zip(1)


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
        "media_type",
        [
            None,
            "application/octet-stream",
            "application/zip; x=y",
            "Application/ZIP",
            "application/x-tar",
            "application/gzip",
            "application/x-gzip",
            "application/x-compressed-tar",
        ],
    )
    def test_an_upload_as_curl_sends_it_is_accepted(
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

    def test_the_same_bytes_under_another_name_are_another_dataset(
        self, api: Api, shapes: bytes
    ) -> None:
        assert upload(api, shapes)["id"] != upload(api, shapes, name="other")["id"]

    def test_another_task_than_the_datasets_is_refused(
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
            pytest.param("name=x", {}, b"", 400, "empty-body", id="empty"),
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
            pytest.param("name=a%E2%80%8Db", {}, b"x", 422, "validation-error", id="joiner"),
            pytest.param("name=a%E3%85%A4b", {}, b"x", 422, "validation-error", id="filler"),
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
            broker_url=SecretStr(NO_BROKER),
            limits=limits,
        )

    def test_an_archive_may_be_larger_than_a_json_body(self, api: Api) -> None:
        answer = api.client.post("/v1/datasets?name=x", content=b"x" * 2 * MIB)

        assert answer.status_code == 202

    @pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
    def test_a_larger_archive_is_refused_and_the_connection_ends(
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
        messages: list[dict[str, Any]] = [
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
