"""Where requests begin and end, whatever the pieces: laws, with httptools and h11 as oracles."""

import contextlib
import re
from typing import Any

import h11
import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.core.errors import TrainyardError
from app.http_server.bodies import ChunkedBody, CountedBody
from app.http_server.head import Head, read_head
from app.http_server.pace import Pace
from tests.http_server.served import Served, request

SOME = settings(max_examples=60)

TOKENS = st.sampled_from(["GET", "POST", "get", "CLOSE", "A" * 40])
TARGETS = st.sampled_from(["/", "/a?b=c", "*", "http://a/b", "/a#b", "//", "/%00", "a", ""])
VERSIONS = st.sampled_from(["1.1", "1.0", "2.0", "0.9", "1.10", "1"])
NAMES = st.sampled_from(
    ["Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Expect", "X-A", "X A"]
)
VALUES = st.sampled_from(
    [
        *("2", "0", "02", "+2", "2, 2", "chunked", "Chunked", "gzip, chunked", "close", "upgrade"),
        *("", "h2c", "100-continue", "a\tb", "a\x00b", "a\rb", "a\nb", "\x7f", "\u00e9", " 2 "),
    ]
)
LINES = st.lists(st.tuples(NAMES, st.sampled_from([": ", ":", " : ", "\t: "]), VALUES), max_size=5)
ENDS = st.sampled_from(["\r\n"] * 12 + ["\n", "\r", "\r\n "])


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    first = f"{draw(TOKENS)} {draw(TARGETS)} HTTP/{draw(VERSIONS)}"
    lines = ["".join(line) for line in draw(LINES)]
    text = "".join(line + draw(ENDS) for line in [first, *lines])
    return text.encode("latin-1") + b"\r\n"


class Oracle:
    """What httptools reads of a stream."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.heads = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.heads += 1

    def on_body(self, body: bytes) -> None:
        self.body += body


def accepted(raw: bytes) -> Head | None:
    try:
        return read_head(raw)
    except TrainyardError:
        return None


@pytest.mark.unit
class TestHeads:
    @SOME
    @given(heads())
    @example(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
    def test_a_head_that_we_accept_is_the_same_to_httptools_and_h11(self, raw: bytes) -> None:
        head = accepted(raw)
        if head is None or raw.count(b"\r\n\r\n") != 1 or not raw.endswith(b"\r\n\r\n"):
            return
        oracle, connection = Oracle(), h11.Connection(h11.SERVER)
        known = re.sub(rb"\A\S+", b"POST", raw)  # httptools knows few methods

        with contextlib.suppress(httptools.HttpParserUpgrade):
            httptools.HttpRequestParser(oracle).feed_data(known)
        connection.receive_data(raw)
        if any(name == b"host" for name, _ in oracle.fields):  # h11 demands one
            event = connection.next_event()
            assert isinstance(event, h11.Request)
            assert event.method.decode() == head.method

        assert oracle.heads == 1
        if b"http://" not in raw:
            assert oracle.fields == head.fields

    @SOME
    @given(heads())
    def test_no_two_lengths_are_accepted(self, raw: bytes) -> None:
        head = accepted(raw)
        names = [] if head is None else [name for name, _ in head.fields]

        assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1


CHUNKS = st.lists(st.binary(min_size=1, max_size=40), max_size=8)
EXTENSIONS = st.sampled_from([b"", b";a", b";a=b", b';a="b c"'])
TRAILERS = st.sampled_from([b"", b"X-T: a\r\n", b"A: b\r\nC:\r\n"])


@st.composite
def chunked(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Return a chunked body and its payload."""
    chunks = draw(CHUNKS)
    encoded = b"".join(b"%x%b\r\n%b\r\n" % (len(c), draw(EXTENSIONS), c) for c in chunks)
    return encoded + b"0\r\n" + draw(TRAILERS) + b"\r\n", b"".join(chunks)


def taken(body: Any, content: bytes, cuts: list[int]) -> tuple[bytes, bytes]:  # noqa: ANN401 -- either framing
    """Return payload and rest of `content`, which arrives in pieces."""
    buffer, payload, start = bytearray(), b"", 0
    for cut in [*sorted(cuts), len(content)]:
        buffer += content[start:cut]
        start = max(start, cut)
        while piece := body.take(buffer):
            payload += piece
    return payload, bytes(buffer)


@pytest.mark.unit
class TestBodies:
    @SOME
    @given(chunked(), st.lists(st.integers(0, 400), max_size=12))
    def test_the_pieces_in_which_chunks_arrive_do_not_matter(
        self, content: tuple[bytes, bytes], cuts: list[int]
    ) -> None:
        encoded, payload = content
        body = ChunkedBody()

        assert taken(body, encoded + b"GET /", cuts) == (payload, b"GET /")
        assert body.complete

    @SOME
    @given(chunked(), st.integers(0, 200), st.binary(max_size=4))
    def test_chunks_that_we_accept_are_the_same_to_httptools(
        self, content: tuple[bytes, bytes], at: int, noise: bytes
    ) -> None:
        encoded = content[0][:at] + noise + content[0][at:]
        body, oracle = ChunkedBody(), Oracle()
        try:
            payload, rest = taken(body, encoded, [])
        except TrainyardError:
            return
        if not body.complete:
            return

        head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        httptools.HttpRequestParser(oracle).feed_data(head + encoded[: len(encoded) - len(rest)])

        assert oracle.body == payload

    @SOME
    @given(st.binary(max_size=60), st.integers(0, 60), st.lists(st.integers(0, 60), max_size=5))
    def test_a_counted_body_ends_where_it_says(
        self, content: bytes, length: int, cuts: list[int]
    ) -> None:
        body = CountedBody(length)

        assert taken(body, content, cuts) == (content[:length], content[length:])
        assert body.complete == (len(content) >= length)


@pytest.mark.unit
class TestPace:
    @SOME
    @given(st.lists(st.floats(0, 30), max_size=30))
    def test_a_client_that_keeps_the_rate_is_never_cut(self, waits: list[float]) -> None:
        pace = Pace(60, 1024)

        for seconds in waits:
            pace.waited(seconds)
            assert pace.seconds > 0
            pace.moved(int(seconds * 1024) + 1)

    def test_a_client_that_sends_less_is_cut_in_the_end(self) -> None:
        pace = Pace(60, 1024)

        for _ in range(14):
            pace.waited(5)
            pace.moved(600)

        assert pace.seconds < 60 - 14 * (5 - 600 / 1024) + 1 < 1


@pytest.mark.integration
class TestFuzz:
    @settings(max_examples=40)
    @given(st.data())
    def test_any_bytes_get_complete_answers_or_a_close_and_no_second_request(
        self, usual: Served, data: st.DataObject
    ) -> None:
        head = data.draw(heads())
        tail = data.draw(st.one_of(st.binary(max_size=30), chunked().map(lambda each: each[0])))
        seen = len(usual.app.seen)

        with usual.connect() as connection:
            connection.send(head + tail)
            connection.socket.shutdown(1)
            answers = connection.answers()

        assert {answer.status for answer in answers} <= {200, 400, 431, 505}
        for answer in answers:
            assert answer.status == 200 or answer.slug
        assert [answer.status for answer in answers[:-1]] in ([], [200] * (len(answers) - 1))
        assert len(usual.app.seen) - seen <= 1 + tail.count(b"HTTP/1.")
        with usual.connect() as connection:
            assert connection.send(request("GET", "/")).answer().status == 200
