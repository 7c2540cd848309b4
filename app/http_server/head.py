"""The head of a request: its request line, its header fields, and where its body ends.

httptools (llhttp) judges the fields. The request line is read here, because httptools knows a list
of methods and the application answers every other one with 405. Decision 0033 has the details.
"""

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

import httptools

from app.core.errors import HeadTooLarge, VersionNotSupported
from app.http_server.errors import MalformedRequest

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 256
MAX_LENGTH_DIGITS: Final = 18

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
START: Final = re.compile(TOKEN + rb"(?: |\Z)")
BAD_LINE_END: Final = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)|\x00")
REQUEST_LINE: Final = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e]+) HTTP/([0-9](?:\.[0-9])?)\r\n")
ABSOLUTE: Final = re.compile(rb"https?://([^/?#@]+)(.*)", re.IGNORECASE | re.DOTALL)
VERSIONS: Final = frozenset({b"1.0", b"1.1"})

Fields = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Head:
    """A request's head; names of fields are in lower case.

    `length` is the number of bytes of the body, None if the body is chunked.
    """

    method: str
    path: str
    raw_path: bytes
    query: bytes
    version: str
    fields: Fields
    length: int | None
    keeps_alive: bool
    expects_continue: bool


def read_head(raw: bytes) -> Head:
    """Return the head in `raw`, which ends with its empty line.

    Raises:
        MalformedRequest: it is not a valid head, or two recipients could disagree about the end of
            its body.
        HeadTooLarge: it has more than `MAX_FIELDS` fields.
        VersionNotSupported: it is of another version than HTTP/1.0 and HTTP/1.1.
    """
    line = REQUEST_LINE.match(raw)
    if line is None:
        raise MalformedRequest("The request line is not METHOD TARGET HTTP/1.1.")
    method, target, version = line.groups()
    if version not in VERSIONS:
        raise VersionNotSupported("The server speaks HTTP/1.1.")
    fields = _fields(raw[line.end() :])
    path, query = _path_of(target, fields)
    return Head(
        method=method.decode(),
        path=unquote(path.decode()),
        raw_path=path,
        query=query,
        version=version.decode(),
        fields=fields,
        length=_length(fields, version),
        keeps_alive=version == b"1.1" and b"close" not in _tokens(fields, b"connection"),
        expects_continue=version == b"1.1" and (b"100-continue" in _tokens(fields, b"expect")),
    )


@dataclass
class _Fields:
    """Collects what httptools reads."""

    found: Fields = field(default_factory=list)
    complete: bool = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.found.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.complete = True


def _fields(raw: bytes) -> Fields:
    """Return the fields of a head. The method of the request does not matter here."""
    if raw.count(b"\r\n") > MAX_FIELDS + 1:
        raise HeadTooLarge(f"The request has more than {MAX_FIELDS} headers.")
    if raw.startswith((b" ", b"\t")) or b"\r\n " in raw or b"\r\n\t" in raw:
        raise MalformedRequest("A header is continued on a second line.")
    collected = _Fields()
    try:
        httptools.HttpRequestParser(collected).feed_data(b"POST / HTTP/1.1\r\n" + raw)
    except httptools.HttpParserUpgrade:
        pass  # RFC 9110 7.8: a server may ignore Upgrade, and continues with HTTP/1.1
    except httptools.HttpParserError:
        raise MalformedRequest("The headers are not valid.") from None
    if not collected.complete:
        raise MalformedRequest("The headers are not valid.")
    return collected.found


def _path_of(target: bytes, fields: Fields) -> tuple[bytes, bytes]:
    """Return path and query. The authority of an absolute target replaces the field Host."""
    absolute = ABSOLUTE.fullmatch(target)
    if absolute is not None:
        authority, target = absolute[1], absolute[2]
        fields[:] = [each for each in fields if each[0] != b"host"] + [(b"host", authority)]
        target = target if target.startswith(b"/") else b"/" + target
    if not target.startswith(b"/") or b"#" in target:
        raise MalformedRequest("The target of the request is not a path.")
    path, _, query = target.partition(b"?")
    return path, query


def _length(fields: Fields, version: bytes) -> int | None:
    """Return the length of the body; None if it is chunked (RFC 9112, 6.3, without leniency)."""
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value.lower() for name, value in fields if name == b"transfer-encoding"]
    if not codings and not lengths:
        return 0
    if codings == [b"chunked"] and not lengths and version == b"1.1":
        return None
    if codings or len(lengths) > 1:
        raise MalformedRequest(
            "Send one Content-Length, or Transfer-Encoding: chunked, and not both."
        )
    if not re.fullmatch(rb"[0-9]{1,%d}" % MAX_LENGTH_DIGITS, lengths[0]):
        raise MalformedRequest("Content-Length is not a number.")
    return int(lengths[0])


def _tokens(fields: Fields, wanted: bytes) -> set[bytes]:
    return {
        token.strip(b" \t").lower()
        for name, value in fields
        if name == wanted
        for token in value.split(b",")
    }
