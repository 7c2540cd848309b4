"""The tree of errors that a request or a command can end with, by what the caller can do.

A feature's own errors subclass one of the kinds here and carry a `slug`, the stable last part of
`urn:trainyard:problem:<slug>`. Only `app.core.problems` knows HTTP status codes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import JsonValue


@dataclass(frozen=True)
class FieldError:
    """One refused field: where it is, a stable code, and a sentence that says what would be right.

    `pointer` is a JSON pointer into the request body (RFC 6901), or `query/<name>`,
    `header/<name>`, `path/<name>` for what stands outside of it. The refused value is never held.
    """

    pointer: str
    code: str
    message: str


class TrainyardError(Exception):
    """The server failed in a way that nobody foresaw; its log has the rest under the request id.

    Base of every error that is answered to a caller; `detail` is one sentence for a person.
    """

    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        extra: Mapping[str, JsonValue] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.extra = dict(extra or {})


class BadRequest(TrainyardError):
    """The request cannot be read at all."""

    slug, title = "bad-request", "Bad request"


class Unauthenticated(TrainyardError):
    """No credential, or none that is valid."""

    slug, title = "unauthenticated", "A valid API key is needed"


class Forbidden(TrainyardError):
    """The credential is valid and does not allow this."""

    slug, title = "forbidden", "Not allowed"


class NotFound(TrainyardError):
    """The thing does not exist, or not for this caller: the two are not told apart."""

    slug, title = "not-found", "Not found"


class MethodNotAllowed(TrainyardError):
    """The path exists, this method on it does not."""

    slug, title = "method-not-allowed", "Method not allowed"


class NotAcceptable(TrainyardError):
    """None of the media types that the caller accepts is offered."""

    slug, title = "not-acceptable", "Not acceptable"


class Conflict(TrainyardError):
    """The request is sound and the thing's present state forbids it."""

    slug, title = "conflict", "Conflict"


class Gone(TrainyardError):
    """It was here, and is not any more."""

    slug, title = "gone", "Gone"


class PreconditionFailed(TrainyardError):
    """`If-Match` names another revision than the present one."""

    slug, title = "precondition-failed", "Precondition failed"


class TooLarge(TrainyardError):
    """The body is larger than this route takes."""

    slug, title = "body-too-large", "Body too large"


class UnsupportedMediaType(TrainyardError):
    """The body is of a media type that this route does not read."""

    slug, title = "unsupported-media-type", "Unsupported media type"


class RangeNotSatisfiable(TrainyardError):
    """No byte of the asked range exists."""

    slug, title = "range-not-satisfiable", "Range not satisfiable"


class Invalid(TrainyardError):
    """The request is readable and a field of it is wrong; `errors` says which."""

    slug, title = "validation-error", "The request has invalid fields"


class Unavailable(TrainyardError):
    """Something that the answer needs is out of reach now; the same request may succeed later."""

    slug, title = "unavailable", "Temporarily unavailable"


class InsufficientStorage(TrainyardError):
    """There is no room to store what was sent."""

    slug, title = "insufficient-storage", "Insufficient storage"
