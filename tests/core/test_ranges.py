"""Byte ranges and conditions of downloads (RFC 9110, 13 and 14)."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request, Response
from starlette.testclient import TestClient

from app.core.ranges import Download, download_response

CONTENT = bytes(range(100))
TAG = '"abc"'


def read(start: int, length: int) -> Iterator[bytes]:
    yield CONTENT[start : start + length]


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI()

    def answer(request: Request) -> Response:
        download = Download(len(CONTENT), TAG, "application/octet-stream", 'a"ß\n.pt', read)
        return download_response(request, download)

    app.get("/file")(answer)
    app.head("/file")(answer)
    return TestClient(app, base_url="http://localhost")


class TestRange:
    @pytest.mark.parametrize(
        ("asked", "first", "last"),
        [
            ("bytes=0-9", 0, 9),
            ("bytes=90-", 90, 99),
            ("bytes=-10", 90, 99),
            ("bytes=95-1000", 95, 99),
            ("bytes=-1000", 0, 99),
            ("bytes=99-99", 99, 99),
        ],
    )
    def test_one_range_is_answered_with_its_bytes(
        self, client: TestClient, asked: str, first: int, last: int
    ) -> None:
        answer = client.get("/file", headers={"Range": asked})

        assert answer.status_code == 206
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/100"
        assert answer.content == CONTENT[first : last + 1]

    @pytest.mark.parametrize("asked", ["bytes=100-", "bytes=1000-2000", "bytes=-0"])
    def test_a_range_beyond_the_end_is_refused(self, client: TestClient, asked: str) -> None:
        answer = client.get("/file", headers={"Range": asked})

        assert answer.status_code == 416
        assert answer.headers["Content-Range"] == "bytes */100"

    @pytest.mark.parametrize(
        "asked",
        ["bytes=9-0", "bytes=a-b", "items=0-1", "bytes=-", "bytes=" + "0-0," * 500 + "1-1", "x"],
        ids=["inverted", "letters", "unit", "empty", "many", "nonsense"],
    )
    def test_a_malformed_or_multiple_range_is_answered_with_everything(
        self, client: TestClient, asked: str
    ) -> None:
        answer = client.get("/file", headers={"Range": asked})

        assert (answer.status_code, answer.content) == (200, CONTENT)


class TestConditions:
    def test_the_same_tag_needs_no_bytes(self, client: TestClient) -> None:
        answer = client.get("/file", headers={"If-None-Match": TAG})

        assert (answer.status_code, answer.content) == (304, b"")

    @pytest.mark.parametrize(("tag", "status"), [(TAG, 206), ('"other"', 200)])
    def test_a_range_holds_only_for_the_bytes_it_was_meant_for(
        self, client: TestClient, tag: str, status: int
    ) -> None:
        answer = client.get("/file", headers={"Range": "bytes=0-9", "If-Range": tag})

        assert answer.status_code == status


class TestHeaders:
    def test_head_tells_the_size_and_sends_nothing(self, client: TestClient) -> None:
        answer = client.head("/file")

        assert (answer.headers["Content-Length"], answer.content) == ("100", b"")

    def test_the_file_is_never_shown_by_a_browser(self, client: TestClient) -> None:
        headers = client.get("/file").headers

        assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''a%22%C3%9F%0A.pt"
        assert "sandbox" in headers["Content-Security-Policy"]
