"""Downloads: byte ranges, entity tags and safe headers for bytes that are read in pieces."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from app.core.errors import RangeNotSatisfiable
from app.core.problems import problem_response

ONE_RANGE = re.compile(r"bytes=(?P<first>[0-9]{0,18})-(?P<last>[0-9]{0,18})\Z")


@dataclass(frozen=True)
class Download:
    """What is sent: its size, its entity tag (None: it still grows), its name, how to read it."""

    size_bytes: int
    etag: str | None
    media_type: str
    filename: str | None
    read: Callable[[int, int], Iterator[bytes]]


@dataclass(frozen=True)
class Span:
    """A part of the bytes: `first` to `last`, both included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """How many bytes that is."""
        return self.last - self.first + 1


def download_response(request: Request, download: Download) -> Response:
    """Answer GET or HEAD: 200 with everything, 206 with one range, 304, or 416.

    More than one range, or a malformed one, is answered with everything (RFC 9110, 14.2).
    """
    headers = _headers(download)
    if download.etag and is_known(download.etag, request.headers.get("if-none-match")):
        return Response(status_code=304, headers=headers)
    match = _range_of(request, download)
    span = _span(match, download.size_bytes) if match else None
    if match and span is None:
        error = RangeNotSatisfiable(f"There are {download.size_bytes} bytes.")
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
    """Whether `If-None-Match` names the tag, weak or strong (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    named = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return "*" in named or etag.removeprefix("W/") in named


def _headers(download: Download) -> dict[str, str]:
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    if download.etag:
        headers["ETag"] = download.etag
    if download.filename:
        encoded = quote(download.filename, safe="")
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{encoded}"
    return headers


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
