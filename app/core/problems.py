"""Convert every error to RFC 9457 problem+json. No other module knows HTTP status codes.

A response never repeats the values of the request and never contains the message of a third-party
exception.
"""

import sqlite3
from collections.abc import Mapping
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import ErrorDetails
from sqlalchemy.exc import DBAPIError, InternalError, OperationalError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from app.core import errors
from app.core.database import NoFreeConnection
from app.core.declared_headers import declared
from app.core.errors import FieldError, TrainyardError
from app.core.logging import get_logger
from app.core.plain_text import shown_json
from app.core.refusal_words import refusal_of

log = get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
URN = "urn:trainyard:problem:"
RETRY_AFTER_SECONDS = 5
MAX_FIELDS = 100
"""Maximum number of invalid fields in a response; a body may have far more."""

STATUS: Final[Mapping[type[TrainyardError], int]] = {
    errors.BadRequest: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.NotAcceptable: 406,
    errors.RequestTooSlow: 408,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.RangeNotSatisfiable: 416,
    errors.Invalid: 422,
    errors.TooManyRequests: 429,
    errors.HeadTooLarge: 431,
    errors.ChecksumMismatch: 460,  # not of HTTP, but of tus
    errors.Unavailable: 503,
    errors.VersionNotSupported: 505,
    errors.InsufficientStorage: 507,
    TrainyardError: 500,
}
KIND_OF_STATUS: Final = {status: kind for kind, status in STATUS.items()}
HEADER_OF_STATUS: Final = {
    401: "WWW-Authenticate",
    405: "Allow",
    416: "Content-Range",
    429: "Retry-After",
    503: "Retry-After",
}
"""The header that the problems of a status have."""


class DatabaseUnavailable(errors.Unavailable):
    """The database cannot be reached, or did not respond in time."""

    slug, title = "database-unavailable", "The database is unavailable"


class DatabaseFull(errors.InsufficientStorage):
    """The database has no space left for this write; reads still work."""

    slug, title = "database-full", "The database is full"


class ProblemField(BaseModel):
    """One invalid field of a request."""

    pointer: str = Field(
        description="Where the field is: a JSON pointer into the body, or `query/name`, "
        "`path/name` or `header/Name`.",
        examples=["/train/epochs"],
    )
    code: str = Field(description="Stable code of what is wrong.", examples=["greater-than-equal"])
    message: str = Field(
        description="What is wrong, and what would be right.",
        examples=["It must be at least 1."],
    )


class Problem(BaseModel):
    """An error as defined by RFC 9457. `type` is stable; `detail` is for a person."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(
        description="Stable URN of the kind of problem.",
        examples=["urn:trainyard:problem:job-not-found"],
    )
    title: str = Field(description="The kind of problem, for people.", examples=["Job not found"])
    status: int = Field(description="HTTP status of the answer.", examples=[404])
    detail: str = Field(
        description="What happened in this case, for people.",
        examples=["There is no such job in your projects."],
    )
    request_id: str = Field(
        description="Id of the request, as in the logs and in `X-Request-Id`.",
        examples=["req_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
    )
    errors: list[ProblemField] | None = Field(
        default=None,
        description="The invalid fields. null or absent: the problem is not about fields.",
        examples=[None],
    )


def responses_for(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of the problems that a route can return."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": KIND_OF_STATUS[status].title,
            "content": {MEDIA_TYPE: {"schema": schema}},
            **(declared(HEADER_OF_STATUS[status]) if status in HEADER_OF_STATUS else {}),
        }
        for status in statuses
    }


def http_status_of(error: TrainyardError) -> int:
    """Return the HTTP status of the nearest base class that has one."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem_response(error: TrainyardError, headers: Mapping[str, str] | None = None) -> Response:
    """Return the problem+json response for an error."""
    status = http_status_of(error)
    extra = dict(headers or {})
    if status == STATUS[errors.Unauthenticated]:
        extra["WWW-Authenticate"] = "Bearer"
    if status in {STATUS[errors.TooLarge], STATUS[errors.InsufficientStorage]}:
        extra["Connection"] = "close"  # the unread rest of the body may be endless
    if status == STATUS[errors.Unavailable]:
        extra["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if error.retry_after is not None:
        extra["Retry-After"] = str(error.retry_after)
    shown = _content_of(error)
    return _ProblemResponse(error.slug, shown, status, media_type=MEDIA_TYPE, headers=extra)


def problem_of(error: TrainyardError) -> Problem:
    """Return the problem of an error, for an answer about several things."""
    return Problem.model_validate(_content_of(error))


def _content_of(error: TrainyardError) -> dict[str, JsonValue]:
    content: dict[str, JsonValue] = {
        "type": URN + error.slug,
        "title": error.title,
        "status": http_status_of(error),
        "detail": error.detail,
        "request_id": structlog.contextvars.get_contextvars().get("request_id", ""),
    }
    if error.errors:
        content["errors"] = [
            {"pointer": field.pointer, "code": field.code, "message": field.message}
            for field in error.errors
        ]
    content |= {name: value for name, value in error.extra.items() if name not in content}
    # Messages and pointers may repeat keys and names of the request.
    shown: dict[str, JsonValue] = shown_json(content)
    return shown


class _ProblemResponse(JSONResponse):
    """Notes its slug in the request's state, for the security log."""

    def __init__(self, slug: str, *args: Any, **options: Any) -> None:  # noqa: ANN401 -- passed on
        super().__init__(*args, **options)
        self._slug = slug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["problem"] = self._slug
        await super().__call__(scope, receive, send)


def install_problem_handlers(app: FastAPI) -> None:
    """Register a handler for every expected exception type."""
    app.add_exception_handler(TrainyardError, _answer_ours)
    app.add_exception_handler(RequestValidationError, _answer_validation)
    app.add_exception_handler(HTTPException, _answer_framework)
    app.add_exception_handler(OperationalError, _answer_database)
    app.add_exception_handler(InternalError, _answer_database)
    app.add_exception_handler(NoFreeConnection, _answer_database)


def _answer_ours(_: Request, error: Exception) -> Response:
    assert isinstance(error, TrainyardError)  # noqa: S101 -- narrows for the type checker
    return problem_response(error)


def _answer_database(_: Request, error: Exception) -> Response:
    return database_problem(error)


def database_problem(error: Exception) -> Response:
    """Return the response for a database that is full or cannot be reached, and log why."""
    log.error("database.unavailable", error=type(error).__name__, cause=_driver_words(error))
    if _is_full(error):
        return problem_response(DatabaseFull("The database has no space left; free some space."))
    return problem_response(DatabaseUnavailable("The database is unavailable; try again shortly."))


def _is_full(error: Exception) -> bool:
    """Check SQLite's error code, and PostgreSQL's SQLSTATE for 53100 (disk_full)."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    codes = {getattr(cause, "sqlite_errorcode", None), getattr(cause, "sqlstate", None)}
    return bool(codes & {sqlite3.SQLITE_FULL, "53100"})


def _driver_words(error: Exception) -> str:
    return str(error.orig) if isinstance(error, DBAPIError) else str(error)


def _answer_framework(request: Request, error: Exception) -> Response:
    """Answer the framework's own errors, such as unknown paths and wrong methods."""
    assert isinstance(error, HTTPException)  # noqa: S101 -- narrows for the type checker
    headers = dict(error.headers or {})
    if error.status_code == STATUS[errors.MethodNotAllowed]:
        headers["Allow"] = ", ".join(sorted(_methods_at(request)))
    return problem_response(error_of_status(error.status_code), headers)


def _methods_at(request: Request) -> set[str]:
    """Return every method of the path. The framework's own header has those of one route only.

    A literal path such as `/v1/jobs/validate` wins over a path with a parameter that would match it
    too.
    """
    routes: list[BaseRoute] = request.app.state.routes
    path = request.scope["path"]
    matches = [
        route for route in routes if isinstance(route, Route) and route.path_regex.match(path)
    ]
    parameters = min((len(route.param_convertors) for route in matches), default=0)
    return {
        method
        for route in matches
        if len(route.param_convertors) == parameters
        for method in route.methods or ()
    }


def error_of_status(status: int) -> TrainyardError:
    """Return our error for a status that the framework has chosen."""
    kind = KIND_OF_STATUS.get(status, errors.BadRequest if status < 500 else TrainyardError)  # noqa: PLR2004
    return kind(f"{kind.title}.")


def _answer_validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 -- narrows for the type checker
    details: list[ErrorDetails] = list(error.errors())
    fields = [_field_error(detail["loc"], detail) for detail in details]
    return problem_response(invalid_request(fields))


def invalid_fields(details: list[ErrorDetails]) -> errors.Invalid:
    """Return the error for pydantic's error details of a body."""
    return invalid_request([_field_error(("body", *detail["loc"]), detail) for detail in details])


def invalid_request(fields: list[FieldError]) -> errors.Invalid:
    """Return the error for refused fields of a body and parameters of a query."""
    if len(fields) == 1:
        summary = f"{fields[0].pointer or 'The body'}: {fields[0].message}"
    elif len(fields) > MAX_FIELDS:
        summary = f"More than {MAX_FIELDS} fields are invalid; `errors` lists the first ones."
    else:
        summary = f"{len(fields)} fields are invalid; `errors` lists them."
    return errors.Invalid(summary, errors=fields[:MAX_FIELDS])


def _field_error(location: tuple[int | str, ...], detail: ErrorDetails) -> FieldError:
    """Convert pydantic's error detail, without the invalid value."""
    code, message = refusal_of(detail)
    return FieldError(json_pointer(location), code, message)


def json_pointer(location: tuple[int | str, ...]) -> str:
    """Return the RFC 6901 pointer of a location in the body, or `query/name` and the like."""
    place, *path = location or ("body",)
    escaped = [str(part).replace("~", "~0").replace("/", "~1") for part in path]
    if place == "body":
        return "".join(f"/{part}" for part in escaped)
    return "/".join([str(place), *escaped])
