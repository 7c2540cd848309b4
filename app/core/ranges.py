"""Download responses: byte ranges, entity tags and safe headers for streamed bytes."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import Header, Request
from starlette.responses import Response, StreamingResponse

from app.core.declared_headers import declared
from app.core.errors import FieldError, Invalid, RangeNotSatisfiable
from app.core.problems import problem_response, responses_for
from app.core.response_headers import REVALIDATED, SANDBOX

MAX_DIGITS = 10
"""Of a revision; one with fewer digits is a number that every database has."""
IfNoneMatch = Annotated[
    str | None,
    Header(description="The ETag of the copy that you have. 304: it is still current."),
]
JSON: Final = "application/json"
_DOWNLOAD_HEADERS: Final = {
    "Range": "One range of bytes, such as bytes=0-1023.",
    "If-Range": "An ETag: the range is sent only if the file still has it, else the whole file.",
    "If-None-Match": "The ETag of the copy that you have. 304: it is still current.",
}
DOWNLOAD_PARAMETERS: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": name,
            "in": "header",
            "required": False,
            "description": description,
            "schema": {"type": "string"},
        }
        for name, description in _DOWNLOAD_HEADERS.items()
    ]
}
"""For `openapi_extra` of a route that answers with `download_response`."""
UNCHANGED: Final[dict[int | str, dict[str, Any]]] = {
    304: {"description": "The copy with the ETag in If-None-Match is current.", **declared("ETag")}
}
ONE_RANGE = re.compile(r"bytes=(?P<first>[0-9]{0,18})-(?P<last>[0-9]{0,18})\Z")


@dataclass(frozen=True)
class Download:
    """A file to send.

    Attributes:
        size_bytes: size at the time of the request.
        etag: entity tag; None if the file still grows.
        media_type: value of `Content-Type`.
        filename: name under which a browser saves the file.
        read: returns the bytes in pieces, given an offset and a length.
        is_shown: whether a browser may show it, in a sandbox, instead of saving it.
    """

    size_bytes: int
    etag: str | None
    media_type: str
    filename: str | None
    read: Callable[[int, int], Iterable[bytes]]
    is_shown: bool = False


def download_answers(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of a route that returns bytes, whole or by range."""
    # Some generators of clients read every answer as the first type.
    bytes_first = sorted(media_types, key=lambda name: name != "application/octet-stream")
    content = {name: _content_of(name) for name in bytes_first}
    headers = ("ETag", "Accept-Ranges", "Content-Disposition")
    return {
        200: {"description": "The whole content.", "content": content, **declared(*headers)},
        206: {
            "description": "The requested range.",
            # A range of a JSON file is no JSON value, and has no schema.
            "content": {**content, **{name: {} for name in content if name == JSON}},
            **declared(*headers, "Content-Range"),
        },
        304: {"description": "The caller's copy is current.", **declared(*headers)},
        **responses_for(410, 416),
    }


def _content_of(media_type: str) -> dict[str, Any]:
    if media_type == JSON:
        return {"schema": {"description": "Any JSON value.", "examples": [{"epochs": 100}]}}
    in_bytes = {} if media_type.startswith("text/") else {"format": "binary"}
    return {"schema": {"type": "string", **in_bytes}}


@dataclass(frozen=True)
class Span:
    """A range of bytes from `first` to `last`, both inclusive."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.last - self.first + 1


def download_response(request: Request, download: Download) -> Response:
    """Answer GET or HEAD: 200 with the whole file, 206 with one range, 304, or 416.

    Several ranges or a malformed range get the whole file (RFC 9110, 14.2).
    """
    headers = _headers(download)
    if download.etag and is_known(download.etag, request.headers.get("if-none-match")):
        return Response(status_code=304, headers=headers)
    match = _range_of(request, download)
    span = _span(match, download.size_bytes) if match else None
    if match and span is None:
        error = RangeNotSatisfiable(f"The file has {download.size_bytes} bytes.")
        return problem_response(error, {"Content-Range": f"bytes */{download.size_bytes}"})
    status = 200 if span is None else 206
    sent = span or Span(0, download.size_bytes - 1)
    if span is not None:
        headers["Content-Range"] = f"bytes {span.first}-{span.last}/{download.size_bytes}"
    headers["Content-Length"] = str(sent.length)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=download.media_type)
    body = download.read(sent.first, sent.length)
    return StreamingResponse(body, status, headers=headers, media_type=download.media_type)


def is_known(etag: str, if_none_match: str | None) -> bool:
    """Return whether `If-None-Match` contains the tag, weak or strong (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in known or etag.removeprefix("W/") in known


def revision_of(if_match: str | None) -> int | None:
    """Return the revision in an `If-Match` header; None if any revision will do.

    Raises:
        Invalid: the header has something else than one revision in quotes.
    """
    if if_match is None or if_match == "*":
        return None
    text = if_match.strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < MAX_DIGITS):
        message = 'If-Match must be a revision in quotes, for example "3".'
        raise Invalid(message, errors=[FieldError("header/If-Match", "if-match", message)])
    return int(text)


def file_headers(
    etag: str | None, filename: str | None, *, is_shown: bool = False
) -> dict[str, str]:
    """Return the headers of a file: entity tag, name, sandbox, and whether it is shown."""
    headers = {"Cache-Control": REVALIDATED, "Content-Security-Policy": SANDBOX}
    if etag:
        headers["ETag"] = etag
    if filename:
        disposition = "inline" if is_shown else "attachment"
        encoded = quote(filename, safe="")
        headers["Content-Disposition"] = f"{disposition}; filename*=UTF-8''{encoded}"
    return headers


def _headers(download: Download) -> dict[str, str]:
    own = file_headers(download.etag, download.filename, is_shown=download.is_shown)
    return {"Accept-Ranges": "bytes", **own}


def _range_of(request: Request, download: Download) -> re.Match[str] | None:
    condition = request.headers.get("if-range")
    if condition is not None and condition != download.etag:
        return None
    match = ONE_RANGE.match(request.headers.get("range", ""))
    if match is None or not (match["first"] or match["last"]):
        return None
    if match["first"] and match["last"] and int(match["first"]) > int(match["last"]):
        return None
    return match


def _span(match: re.Match[str], size: int) -> Span | None:
    if not match["first"]:
        length = min(int(match["last"]), size)
        return Span(size - length, size - 1) if length else None
    first = int(match["first"])
    last = min(int(match["last"] or size), size - 1)
    return Span(first, last) if first < size else None
