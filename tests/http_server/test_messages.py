"""What is a request, where it ends, and what the application sees of it."""

import pytest

from tests.http_server.served import Served, request

pytestmark = pytest.mark.integration

NEXT = request("GET", "/next")
GET = "GET / HTTP/1.1\r\nHost: a\r\n"
MALFORMED = {
    "H13-bare-lf": b"GET / HTTP/1.1\nHost: a\n\n",
    "H13-lf-in-head": GET.encode() + b"X: y\nZ: a\r\n\r\n",
    "H13-bare-cr": GET.encode() + b"X: a\rY: b\r\n\r\n",
    "H13-nul": GET.encode() + b"X: a\x00b\r\n\r\n",
    "H13-nul-in-target": b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "H13-http-0.9": b"GET /\r\n",
    "H13-http-0.9-with-headers": b"GET /\r\nHost: a\r\n\r\n",
    "H13-tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "H13-zeros": b"\x00" * 100,
    "H13-two-spaces": b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "H13-space-in-target": b"GET /a /b HTTP/1.1\r\nHost: a\r\n\r\n",
    "H13-fragment": b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    "H13-no-path": b"GET a HTTP/1.1\r\nHost: a\r\n\r\n",
    "H13-connect": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: a\r\n\r\n",
    "H13-non-ascii-target": "GET /\u00e9 HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
    "H13-method": b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
    "H13-space-in-name": GET.encode() + b"X A: b\r\n\r\n",
    "H13-space-after-name": GET.encode() + b"X : b\r\n\r\n",
    "H13-no-name": GET.encode() + b": b\r\n\r\n",
    "H13-no-colon": GET.encode() + b"no colon\r\n\r\n",
    "H13-fold": GET.encode() + b"X: a\r\n b\r\n\r\n",
    "H13-fold-first": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "H7-two-lengths": GET.encode() + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "H7-same-length-twice": GET.encode() + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "H7-list-of-lengths": GET.encode() + b"Content-Length: 2, 2\r\n\r\n{}",
    "H7-plus": GET.encode() + b"Content-Length: +2\r\n\r\n{}",
    "H7-negative": GET.encode() + b"Content-Length: -1\r\n\r\n{}",
    "H7-hex": GET.encode() + b"Content-Length: 0x2\r\n\r\n{}",
    "H7-long-length": GET.encode() + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
    "H7-length-and-chunks": GET.encode()
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "H7-chunked-twice": GET.encode()
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "H7-gzip-chunked": GET.encode() + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "H7-identity": GET.encode() + b"Transfer-Encoding: identity\r\n\r\n",
    "H7-xchunked": GET.encode() + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "H7-chunked-in-1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}
CHUNKED = request("POST", "/echo", "Transfer-Encoding: chunked")
BAD_CHUNKS = {
    "letters": b"zz\r\n{}\r\n0\r\n\r\n",
    "negative": b"-1\r\n{}\r\n",
    "0x": b"0x2\r\n{}\r\n0\r\n\r\n",
    "space": b"2 \r\n{}\r\n0\r\n\r\n",
    "17-digits": b"0" * 16 + b"2\r\n{}\r\n0\r\n\r\n",
    "lf": b"2\n{}\n0\n\n",
    "lf-in-extension": b"2;a=\nb\r\n{}\r\n0\r\n\r\n",
    "longer-than-size": b"2\r\n{}X\r\n0\r\n\r\n",
    "no-line-end": b"2\r\n{}00\r\n0\r\n\r\n",
    "empty-line": b"\r\n{}\r\n0\r\n\r\n",
    "bad-trailer": b"2\r\n{}\r\n0\r\nno colon\r\n\r\n",
    "folded-trailer": b"2\r\n{}\r\n0\r\nX: a\r\n b\r\n\r\n",
    "lf-in-trailer": b"2\r\n{}\r\n0\r\nX: a\nY: b\r\n\r\n",
}


class TestMalformed:
    @pytest.mark.parametrize("row", MALFORMED)
    def test_a_malformed_request_is_a_problem_and_the_last_of_its_connection(
        self, usual: Served, row: str
    ) -> None:
        seen = len(usual.app.seen)

        with usual.connect() as connection:
            answers = connection.send(MALFORMED[row] + NEXT).answers()

        assert [(each.status, each.slug) for each in answers] == [(400, "malformed-request")]
        assert answers[0].headers["connection"] == "close"
        assert len(usual.app.seen) == seen

    @pytest.mark.parametrize("row", BAD_CHUNKS)
    def test_a_malformed_chunk_ends_the_connection(self, usual: Served, row: str) -> None:
        with usual.connect() as connection:
            answers = connection.send(CHUNKED + BAD_CHUNKS[row] + NEXT).answers()

        assert [(each.status, each.slug) for each in answers] == [(400, "malformed-request")]

    @pytest.mark.parametrize(
        "first",
        ["PRI * HTTP/2.0", "GET / HTTP/2.0", "GET / HTTP/3", "GET / HTTP/9.9", "GET / HTTP/0.9"],
    )
    def test_another_version_of_http_is_named(self, usual: Served, first: str) -> None:
        with usual.connect() as connection:
            answers = connection.send(f"{first}\r\n\r\nSM\r\n\r\n".encode()).answers()

        assert [each.slug for each in answers] == ["http-version-not-supported"]
        assert answers[0].status == 505


class TestRequests:
    @pytest.mark.parametrize(
        "method", ["CLOSE", "__class__", "get", "M-SEARCH", "PRI", "A" * 5000], ids=lambda m: m[:9]
    )
    def test_h10_any_method_reaches_the_application(self, usual: Served, method: str) -> None:
        with usual.connect() as connection:
            answer = connection.send(request(method, "/")).answer()

        assert answer.json["method"] == method

    def test_pipelined_requests_are_answered_in_order(self, usual: Served) -> None:
        content = b"".join(
            request("POST", f"/{number}", body=b"b" * number) for number in range(1, 40)
        )

        with usual.connect() as connection:
            connection.send(content)
            paths = [connection.answer().json["path"] for _ in range(1, 40)]

        assert paths == [f"/{number}" for number in range(1, 40)]

    def test_a_chunked_body_is_followed_by_the_next_request(self, usual: Served) -> None:
        body = b"3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-T: a\r\n\r\n"

        with usual.connect() as connection:
            connection.send(CHUNKED + body + NEXT)
            first, second = connection.answer(), connection.answer()

        assert first.json["body"] == "abc0123456789"
        assert second.json["path"] == "/next"

    def test_a_request_of_http_1_0_is_answered_and_closed(self, usual: Served) -> None:
        with usual.connect() as connection:
            connection.send(b"GET /large?2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + NEXT)
            answers = connection.answers()

        assert [len(answer.body) for answer in answers] == [2 * 65536]
        assert "transfer-encoding" not in answers[0].headers

    def test_connection_close_closes_after_the_answer(self, usual: Served) -> None:
        with usual.connect() as connection:
            answers = connection.send(request("GET", "/", "Connection: close") + NEXT).answers()

        assert [answer.headers["connection"] for answer in answers] == ["close"]

    def test_a_client_that_expects_100_gets_it_before_it_sends(self, usual: Served) -> None:
        head = request("POST", "/", "Content-Length: 2", "Expect: 100-continue")

        with usual.connect() as connection:
            connection.send(head)
            interim = connection.socket.recv(100)
            answer = connection.send(b"{}").answer()

        assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert answer.json["body"] == "{}"

    def test_an_answer_before_the_body_is_read_and_closes(self, usual: Served) -> None:
        head = request("POST", "/early", "Content-Length: 1000000")

        with usual.connect() as connection:
            answers = connection.send(head + b"a" * 500_000).answers()

        assert [(each.status, each.body) for each in answers] == [(401, b"early")]
        assert answers[0].headers["connection"] == "close"

    def test_the_host_of_an_absolute_target_replaces_the_header(self, usual: Served) -> None:
        with usual.connect() as connection:
            seen = connection.send(request("GET", "http://evil.example/a?b")).answer().json

        assert seen["path"] == "/a"
        assert [value for name, value in seen["headers"] if name == "host"] == ["evil.example"]

    def test_a_client_that_closes_its_sending_half_gets_its_answer(self, usual: Served) -> None:
        with usual.connect() as connection:
            connection.send(request("GET", "/half"))
            connection.socket.shutdown(1)
            answers = connection.answers()

        assert [answer.json["path"] for answer in answers] == ["/half"]

    def test_a_failure_of_the_application_is_a_problem_without_its_text(
        self, usual: Served
    ) -> None:
        with usual.connect() as connection:
            answers = connection.send(request("GET", "/fail")).answers()

        assert [(each.status, each.slug) for each in answers] == [(500, "internal")]
        assert b"made to fail" not in answers[0].body


class TestTrailers:
    @pytest.mark.parametrize(
        "line",
        [
            "Authorization: Bearer x",
            "Host: evil.example",
            "Idempotency-Key: a",
            "X-Forwarded-For: 1",
        ],
    )
    @pytest.mark.parametrize("late", [False, True], ids=["same-packet", "late"])
    def test_f2_a_trailer_is_no_header(self, usual: Served, line: str, late: bool) -> None:  # noqa: FBT001 -- a parameter
        with usual.connect() as connection:
            if late:
                connection.send(CHUNKED + b"2\r\n{}\r\n")
                usual.is_alive()
                connection.send(f"0\r\n{line}\r\n\r\n".encode())
            else:
                connection.send(CHUNKED + f"2\r\n{{}}\r\n0\r\n{line}\r\n\r\n".encode())
            seen = connection.answer().json

        assert seen["body"] == "{}"
        assert seen["headers"] == [["host", "127.0.0.1"], ["transfer-encoding", "chunked"]]


class TestUpgrades:
    @pytest.mark.parametrize(
        "lines",
        [
            ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
            ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
            ("Connection: keep-alive, upgrade", "Upgrade: x"),
            ("Upgrade: h2c",),
        ],
        ids=["h2c", "websocket", "unknown", "without-connection"],
    )
    @pytest.mark.parametrize("framing", ["length", "chunks"])
    def test_f11_an_upgrade_is_ignored_and_the_body_is_read(
        self, usual: Served, lines: tuple[str, ...], framing: str
    ) -> None:
        if framing == "length":
            content = request("POST", "/up", *lines, body=b"{}")
        else:
            head = request("POST", "/up", *lines, "Transfer-Encoding: chunked")
            content = head + b"2\r\n{}\r\n0\r\n\r\n"

        with usual.connect() as connection:
            connection.send(content + NEXT)
            first, second = connection.answer(), connection.answer()

        assert (first.status, first.json["body"]) == (200, "{}")
        assert second.json["path"] == "/next"
