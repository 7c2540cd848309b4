"""Bytes on a socket that no HTTP library would send, against a real server process."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.raw_client import (
    JOB_ID,
    PARAMETER,
    SECONDS,
    RawClient,
    a_raw_client,
    paths,
    read_answer,
)
from tests.api.refusals import CANARY, rows_by_table

pytestmark = pytest.mark.integration

JSON = "Content-Type: application/json"
MIB = 1024 * 1024
CHUNK = b"10000\r\n" + b" " * 0x10000 + b"\r\n"


@pytest.fixture(scope="module")
def client(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RawClient]:
    with a_raw_client(tmp_path_factory.mktemp("raw"), sqlite_template) as client:
        yield client


@pytest.fixture(autouse=True)
def _nothing_is_left_and_the_server_lives(client: RawClient) -> Iterator[None]:
    before = rows_by_table(client.database)
    yield
    assert rows_by_table(client.database) == before
    assert client.is_alive()


class TestBodies:
    def test_h7_a_large_body_is_refused_before_it_is_sent(self, client: RawClient) -> None:
        head = client.head("POST /v1/jobs", JSON, f"Content-Length: {100 * MIB}")

        answer = client.send(head, then_leave=False)

        assert (answer.status, answer.slug) == (413, "body-too-large")
        assert answer.closed

    def test_h7_a_body_without_end_is_cut_off(self, client: RawClient) -> None:
        head = client.head("POST /v1/jobs", JSON, "Transfer-Encoding: chunked")
        sent = 0
        with socket.create_connection((client.host, client.port), timeout=SECONDS) as connection:
            connection.sendall(head)
            try:
                while sent < 64 * MIB:
                    connection.sendall(CHUNK)
                    sent += len(CHUNK)
            except OSError:
                pass  # it was cut off
            answered = self.last_words(connection)

        assert sent < 64 * MIB
        assert answered in {413, None}  # None: the reset overtook the answer

    @staticmethod
    def last_words(connection: socket.socket) -> int | None:
        try:
            return read_answer(connection).status
        except (OSError, AssertionError):
            return None

    def test_h7_a_chunked_body_just_over_the_limit_is_refused(self, client: RawClient) -> None:
        head = client.head("POST /v1/jobs", JSON, "Transfer-Encoding: chunked")

        answer = client.send(head + CHUNK * 17, then_leave=False)

        assert (answer.status, answer.slug) == (413, "body-too-large")
        assert answer.closed

    @pytest.mark.parametrize(
        ("lines", "body"),
        [
            (["Content-Length: abc"], b"{}"),
            (["Content-Length: -1"], b"{}"),
            (["Content-Length: 2", "Content-Length: 3"], b"{}"),
            (["Content-Length: 2", "Transfer-Encoding: chunked"], b"0\r\n\r\n"),
            (["Transfer-Encoding: chunked"], b"zz\r\n{}\r\n0\r\n\r\n"),
            (["Transfer-Encoding: chunked"], b"-1\r\n{}\r\n"),
            (["Content-Length: " + "9" * 30], b"{}"),
            ([], b""),
        ],
        ids=[
            "H7-text",
            "H7-negative",
            "H7-two-lengths",
            "H7-length-and-chunks",
            "H7-chunk-of-letters",
            "H7-negative-chunk",
            "H7-length-of-30-digits",
            "H7-no-length",
        ],
    )
    def test_a_length_that_is_none_is_refused(
        self, client: RawClient, lines: list[str], body: bytes
    ) -> None:
        answer = client.send(client.head("POST /v1/jobs", JSON, *lines) + body, then_leave=False)

        assert answer.status == 400
        assert CANARY.encode() not in answer.body

    def test_h7_a_body_shorter_than_announced_makes_no_job(self, client: RawClient) -> None:
        head = client.head("POST /v1/jobs", JSON, "Content-Length: 500")

        with socket.create_connection((client.host, client.port), timeout=SECONDS) as connection:
            connection.sendall(head + b'{"dataset": ')
            connection.shutdown(socket.SHUT_WR)
            received = connection.recv(65536)

        assert received == b"" or b" 400 " in received.split(b"\r\n")[0]

    def test_h7_bytes_after_a_body_are_no_second_request_unless_they_form_one(
        self, client: RawClient
    ) -> None:
        head = client.head("POST /v1/jobs", JSON, "Content-Length: 2")

        with socket.create_connection((client.host, client.port), timeout=SECONDS) as connection:
            connection.sendall(head + b"{}" + b"garbage that is no request\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            received = b""
            while piece := connection.recv(65536):
                received += piece

        statuses = [
            line.split()[1] for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.1")
        ]
        assert set(statuses) <= {b"422", b"400"}


class TestStrangers:
    def test_a1_a_stranger_is_answered_before_a_body_is_sent(self, client: RawClient) -> None:
        lines = (JSON, "Content-Length: 2000000", "Expect: 100-continue")

        answer = client.send(client.head("POST /v1/jobs", *lines, key="nobody"), then_leave=False)

        assert (answer.status, answer.slug, answer.closed) == (401, "unauthenticated", True)


class TestMethods:
    @pytest.mark.parametrize(
        "method",
        ["PUT", "DELETE", "TRACE", "OPTIONS", "PROPFIND", "PURGE", "LOCK", "HEAD", "QUERY"],
        ids=lambda method: f"H10-{method}",
    )
    def test_a_method_that_a_path_does_not_have_is_refused_with_those_it_has(
        self, client: RawClient, method: str
    ) -> None:
        answer = client.send(client.head(f"{method} /v1/jobs"), then_leave=False)

        assert answer.status == 405
        assert answer.headers["allow"] == "GET, POST"

    @pytest.mark.parametrize(
        "method", ["CLOSE", "__class__", "get", "A" * 10_000], ids=lambda m: f"H10-{m[:9]}"
    )
    def test_an_unknown_method_is_refused_with_those_of_the_path(
        self, client: RawClient, method: str
    ) -> None:
        answer = client.send(client.head(f"{method} /v1/jobs"))

        assert (answer.status, answer.slug) == (405, "method-not-allowed")
        assert answer.headers["allow"] == "GET, POST"
        assert method.encode() not in answer.body

    def test_h10_a_method_that_is_no_token_is_refused(self, client: RawClient) -> None:
        answer = client.send(client.head("G\x00T /v1/jobs"))

        assert (answer.status, answer.slug) == (400, "malformed-request")

    def test_h10_connect_opens_no_tunnel(self, client: RawClient) -> None:
        answer = client.send(client.head("CONNECT 127.0.0.1:22"))

        assert answer.status in {400, 404, 405}


IN_PLACE_OF_AN_ID = {
    "H11-dots": "%2e%2e",
    "H11-encoded-twice": "%252e%252e%252fetc",
    "H11-slash": "..%2f..%2fetc%2fpasswd",
    "H11-backslash": "..%5c..%5cetc",
    "H11-semicolon": f"{CANARY};a=b",
    "H11-nul": "%00",
    "H11-overlong": "%c0%ae%c0%ae%c0%af",
    "H11-no-utf-8": "%ff%fe",
    "H11-space": "%20",
    "H11-line-end": f"{CANARY}%0d%0aX-Evil:%201",
    "H11-dict": "{}",
    "H11-format": "%7B0.__class__%7D",
    "H11-long": "a" * 8_000,
}
AROUND_A_PATH = {
    "H11-two-slashes": "/{path}",
    "H11-slash-at-the-end": "{path}/",
    "H11-semicolon-at-the-end": "{path};v=1",
    "H11-dot-segment": "/v1/.{path}",
    "H11-parent": "/v1/..{path}",
    "H11-encoded-parent": "/v1/%2e%2e{path}",
    "H11-backslashes": "{backslashes}",
    "H11-nul-at-the-end": "{path}%00",
    "H11-upper-case": "{upper}",
    "H11-scope": "/openapi.json/..{path}",
}

READ_AS_AN_ID = {
    "/v1/keys/revoke",
    "/v1/logins/poll",
    *(f"/v1/jobs/{name}" for name in ("bulk", "parse", "validate")),
    *(f"/v1/datasets/{name}" for name in ("from-files", "from-upload", "missing-files")),
}

BODIES = {
    "/extend": b'{"epochs": 1}',
    "/members/": b'{"role": "viewer"}',
    "/password": b'{"password": "quite another 7"}',
}
"""Bodies that are valid, by a part of the path; an empty object is valid for the others."""


def read_before_the_id(template: str) -> set[int]:
    """Return the status of a route that reads something else of the request before the id."""
    if template.startswith("/v1/uploads/"):
        return {412}  # the request names no version of tus
    if template.startswith(("/v1/me/", "/v1/logins/")):
        return {403}  # a key has no session
    numbers = ("/previews/", "{epoch}", "{image}")
    return {422} if any(part in template for part in numbers) else set()


class TestPaths:
    @pytest.mark.parametrize("row", IN_PLACE_OF_AN_ID)
    def test_a_made_up_id_finds_nothing_on_any_route(self, client: RawClient, row: str) -> None:
        for method, path in paths():
            if "{" not in path:
                continue
            tried = PARAMETER.sub(IN_PLACE_OF_AN_ID[row], path)
            body = next((BODIES[part] for part in BODIES if part in path), b"{}")

            answer = client.send(
                client.head(f"{method} {tried}", JSON, f"Content-Length: {len(body)}") + body,
                then_leave=False,
            )

            assert answer.status in {400, 404} | read_before_the_id(path), tried
            assert "x-evil" not in answer.headers
            if method != "HEAD" and answer.status == 404:
                assert answer.slug.endswith("not-found")
                assert CANARY.encode() not in answer.body

    @pytest.mark.parametrize("row", AROUND_A_PATH)
    def test_a_path_that_is_almost_a_route_is_none(self, client: RawClient, row: str) -> None:
        for method, template in paths():
            path = PARAMETER.sub(JOB_ID, template)
            twisted = AROUND_A_PATH[row].format(
                path=path, upper=path.upper(), backslashes=path.replace("/", "\\")
            )

            body = next((BODIES[part] for part in BODIES if part in template), b"{}")
            head = client.head(f"{method} {twisted}", JSON, f"Content-Length: {len(body)}")

            answer = client.send(head + body, then_leave=False)

            # The end is read as part of an id, of which there is no POST route.
            allowed = {404, 400} | ({405} if template in READ_AS_AN_ID else set())
            assert answer.status in allowed | read_before_the_id(template), twisted
            if method != "HEAD" and answer.status == 404:
                assert answer.slug.endswith("not-found"), twisted


class TestHosts:
    @pytest.mark.parametrize(
        "host",
        [
            "evil.example",
            "127.0.0.1.evil.example",
            "evil.example:80",
            f"a/{CANARY}?x=",
            "127.0.0.1@evil.example",
            "evil.example@127.0.0.1",
            "",
            "127.0.0.1 evil.example",
            "127.0.0.1:99999999",
            "[::1",
            "0x7f.1",
            "localhost.evil.example",
            "xn--e1afmkfd.example",
            "\u00e9vil",
        ],
        ids=lambda host: f"H12-{host}".encode("ascii", "replace").decode(),
    )
    def test_a_foreign_or_malformed_host_is_refused(self, client: RawClient, host: str) -> None:
        answer = client.send(client.head("GET /v1/jobs", host=host), then_leave=False)

        assert (answer.status, answer.slug) == (400, "bad-host")
        assert CANARY.encode() not in answer.body

    def test_h12_a_request_without_a_host_is_refused(self, client: RawClient) -> None:
        answer = client.send(b"GET /livez HTTP/1.1\r\n\r\n", then_leave=False)

        assert answer.status == 400

    def test_h12_two_are_refused(self, client: RawClient) -> None:
        head = client.head("GET /livez", "Host: evil.example")

        assert client.send(head, then_leave=False).status == 400

    def test_h12_another_one_in_the_request_line_is_not_believed(self, client: RawClient) -> None:
        answer = client.send(client.head("GET http://evil.example/livez"), then_leave=False)

        assert answer.status in {200, 400, 404}
        assert b"evil" not in answer.body + str(answer.headers).encode()

    @pytest.mark.parametrize(
        "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.8.8.8", "[::1]"]
    )
    def test_names_of_this_machine_are_answered_as_hosts(
        self, client: RawClient, host: str
    ) -> None:
        answer = client.send(client.head("GET /livez", host=host), then_leave=False)

        assert answer.status == 200


class TestHeads:
    @pytest.mark.parametrize(
        "lines",
        [
            [f"X-{number}: {CANARY}" for number in range(10_000)],
            ["X-Large: " + "a" * 70_000],
            ["X-Large: " + "a" * 5_000_000],
            ["A" * 70_000 + ": a"],
            ["X-A: b\rX-Evil: 1"],
            ["X A: b"],
            [": b"],
            ["no colon"],
            ["X-A: b\x00c"],
        ],
        ids=[
            "H13-flood",
            "H13-64-kB",
            "H13-5-MB",
            "H13-long-name",
            "H13-lone-cr",
            "H13-space-in-name",
            "H13-no-name",
            "H13-no-colon",
            "H13-nul",
        ],
    )
    def test_a_hostile_header_is_refused(self, client: RawClient, lines: list[str]) -> None:
        answer = client.send(client.head("GET /livez", *lines))

        assert answer.status in {400, 431}
        assert CANARY.encode() not in answer.body

    def test_h13_a_long_request_line_is_refused(self, client: RawClient) -> None:
        answer = client.send(client.head("GET /v1/jobs?name=" + "a" * 100_000))

        assert answer.status in {400, 414, 431}

    def test_h13_no_line_end_gets_from_a_request_into_the_answers_headers(
        self, client: RawClient
    ) -> None:
        answer = client.send(
            client.head(
                "GET /v1/jobs/x%0d%0aX-Evil:1",
                "If-None-Match: a\r\n X-Evil: 1",
                "X-Request-Id: evil",
            ),
            then_leave=False,
        )

        assert "x-evil" not in answer.headers
        assert answer.headers.get("x-request-id", "req_").startswith("req_")

    @pytest.mark.parametrize(
        ("content", "status"),
        [
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
            (b"\x00" * 100, 400),
        ],
        ids=["H13-tls", "H13-http2", "H13-zeros"],
    )
    def test_another_protocol_is_refused(
        self, client: RawClient, content: bytes, status: int
    ) -> None:
        answer = client.send(content)

        assert answer.status == status
        assert answer.slug in {"malformed-request", "http-version-not-supported"}
