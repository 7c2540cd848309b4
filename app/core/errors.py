"""The errors that a request or a command can end with.

The kinds (`+`), grouped by what the caller can do (`x`, which are not classes):

* TrainyardError            itself: report it; the server failed, and its log has the details
  x fix the request
    + BadRequest            it cannot be parsed
    + HeadTooLarge          its head, or its trailer, is too large
    + VersionNotSupported   it is of another version of HTTP
    + Invalid               it has invalid fields
    + MethodNotAllowed      the path does not support this method
    + NotAcceptable         the response has no media type that the caller accepts
    + UnsupportedMediaType  the route does not accept the media type of the body
    + TooLarge              the body is too large
    + ChecksumMismatch      the body does not have the checksum that the caller sent
    + RangeNotSatisfiable   the requested bytes do not exist
  x use another API key or session
    + Unauthenticated       it is missing or invalid, or the password is wrong
    + Forbidden             it is valid but does not allow this
  x use another id or name
    + NotFound              the resource does not exist, or the caller may not see it
    + Gone                  the resource existed before but was removed
  x read the resource again, then decide
    + Conflict              its current state does not allow the request
    + PreconditionFailed    its revision has changed since the caller read it
    + TooManyRequests       the caller has too much of something open, or is too fast
  x send the same request again
    + RequestTooSlow        it arrived too slowly
  x send the same request later
    + Unavailable           something that it requires is temporarily unavailable
    + InsufficientStorage   there is not enough space; an operator must free some

The errors of features subclass a kind. Each has a `slug`, the stable last part of
`urn:trainyard:problem:<slug>`. Only `app.core.problems` knows HTTP status codes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import JsonValue


@dataclass(frozen=True)
class FieldError:
    """One invalid field: its location, a stable code, and a sentence that describes a valid value.

    `pointer` is a JSON pointer into the request body (RFC 6901), or `query/<name>`,
    `header/<name>` or `path/<name>` for values outside the body. The invalid value is never kept.
    """

    pointer: str
    code: str
    message: str


class TrainyardError(Exception):
    """The server failed unexpectedly; its log has the details under the request id.

    Base class of every error that is returned to a caller. `detail` is one sentence for a person;
    `retry_after` is the number of seconds after which the same request may succeed.
    """

    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        extra: Mapping[str, JsonValue] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self.detail = detail
        self.errors = tuple(errors)
        self.extra = dict(extra or {})


class BadRequest(TrainyardError):
    """The request cannot be parsed."""

    slug, title = "bad-request", "Bad request"


class HeadTooLarge(TrainyardError):
    """The request's line, headers or trailer are larger, or more, than the server reads."""

    slug, title = "head-too-large", "Request head too large"


class VersionNotSupported(TrainyardError):
    """The request is not of HTTP/1.1 or HTTP/1.0."""

    slug, title = "http-version-not-supported", "HTTP version not supported"


class RequestTooSlow(TrainyardError):
    """The request did not arrive in time; the connection is closed."""

    slug, title = "request-too-slow", "Request too slow"


class Unauthenticated(TrainyardError):
    """The API key or the session is missing or invalid, or name and password are wrong."""

    slug, title = "unauthenticated", "Not authenticated"


class Forbidden(TrainyardError):
    """The key or the session is valid but does not allow this."""

    slug, title = "forbidden", "Not allowed"


class NotFound(TrainyardError):
    """The resource does not exist, or the caller may not see it; the response is the same."""

    slug, title = "not-found", "Not found"


class MethodNotAllowed(TrainyardError):
    """The path exists but does not support this method."""

    slug, title = "method-not-allowed", "Method not allowed"


class NotAcceptable(TrainyardError):
    """The response is not available in any media type that the caller accepts."""

    slug, title = "not-acceptable", "Not acceptable"


class Conflict(TrainyardError):
    """The request is valid, but the current state of the resource does not allow it."""

    slug, title = "conflict", "Conflict"


class Gone(TrainyardError):
    """The resource existed before but was removed."""

    slug, title = "gone", "Gone"


class PreconditionFailed(TrainyardError):
    """`If-Match` does not match the current revision."""

    slug, title = "precondition-failed", "Precondition failed"


class TooLarge(TrainyardError):
    """The body is larger than this route accepts."""

    slug, title = "body-too-large", "Body too large"


class ChecksumMismatch(TrainyardError):
    """The body does not have the checksum that the caller sent; nothing of it was kept."""

    slug, title = "checksum-mismatch", "Checksum mismatch"


class TooManyRequests(TrainyardError):
    """The caller has too much of something open, or does something too often."""

    slug, title = "too-many-requests", "Too many requests"


class UnsupportedMediaType(TrainyardError):
    """The body has a media type that this route does not accept."""

    slug, title = "unsupported-media-type", "Unsupported media type"


class RangeNotSatisfiable(TrainyardError):
    """The requested range is outside the file."""

    slug, title = "range-not-satisfiable", "Range not satisfiable"


class Invalid(TrainyardError):
    """The request was parsed but has invalid fields; `errors` lists them."""

    slug, title = "validation-error", "The request has invalid fields"


class Unavailable(TrainyardError):
    """A required resource is temporarily unavailable; the same request may succeed later."""

    slug, title = "unavailable", "Temporarily unavailable"


class InsufficientStorage(TrainyardError):
    """There is not enough space to store the data."""

    slug, title = "insufficient-storage", "Insufficient storage"
