"""Strict routes: the head is checked first, then a JSON body is read and parsed strictly.

JSON is UTF-8 only, without duplicate keys, with limited nesting, digits and numbers of elements.
NaN and infinities are parsed, so that validation can refuse them with the name of their field.
"""

import json
from collections.abc import Callable, Coroutine
from inspect import iscoroutinefunction
from typing import Any, ClassVar, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from app.core.errors import BadRequest, NotAcceptable, NotFound, TrainyardError
from app.core.head_checks import head_checks_of
from app.core.media_types import accepts
from app.core.query_parameters import check_parameters, parameters_of
from app.core.strict_request import StrictRequest

MAX_ELEMENTS: Final = 2**16
"""Upper limit of commas and opening brackets in a document; also those inside strings count."""
OPEN_BODY_BYTES: Final = 4096
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class InvalidJson(BadRequest):
    """The body is not valid JSON in UTF-8."""

    slug, title = "invalid-json", "The body is not valid JSON"


class DuplicateKey(BadRequest):
    """An object in the body contains a key twice."""

    slug, title = "duplicate-key", "The body contains a key twice"


def parse_json(body: bytes) -> Any:  # noqa: ANN401 -- any JSON document
    """Return the document in `body`.

    Raises:
        InvalidJson: the body is not UTF-8, is not JSON, is nested too deeply, has too many
            elements, or contains a number with too many digits.
        DuplicateKey: an object contains a key twice, so the intended value is ambiguous.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_ELEMENTS:
        raise InvalidJson(f"The body has more than {MAX_ELEMENTS} elements.")
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        message = f"The body is not JSON: {error.msg} at line {error.lineno} column {error.colno}."
        raise InvalidJson(message) from None
    except UnicodeDecodeError:
        raise InvalidJson("The body is not UTF-8.") from None
    except RecursionError:
        raise InvalidJson("The body is nested too deeply.") from None
    except ValueError:
        raise InvalidJson("A number in the body has too many digits.") from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise DuplicateKey("An object in the body contains a key twice.")
    return document


class StrictRoute(APIRoute):
    """A route that reads nothing of a request before its head checks have passed.

    Then it raises `NotAcceptable` if the caller accepts none of the media types of its response
    model, `Invalid` for a query parameter that it does not have, and `UnsupportedMediaType` or
    `TooLarge` for a body that it would not read. It parses its JSON body with `parse_json` and
    raises its errors unchanged. Pages, which the OpenAPI document leaves out, read their query
    parameters by themselves.

    Writers of the database have a share of the threads only, so that reads always have the rest.

    A route without any head check cannot be created, except as an `OpenRoute`.
    """

    is_open: ClassVar[bool] = False

    def get_route_handler(self) -> Handler:
        """Return the handler. Called by FastAPI when the route is created and included.

        Raises:
            TypeError: no dependency of the route is a head check.
        """
        handle = super().get_route_handler()
        offered, parameters = self._offered_media_types(), parameters_of(self.dependant)
        checks = head_checks_of(self.dependant)
        if not checks and not self.is_open:
            message = f"{self.path} requires a credential: depend on needs(...), or use OpenRoute"
            raise TypeError(message)

        writes = not READING & (self.methods or set()) and not iscoroutinefunction(self.endpoint)

        async def handle_strictly(request: Request) -> Response:
            for check in checks:
                await check.check_head(request)
            _check_path(request)
            if offered and not accepts(", ".join(request.headers.getlist("accept")), offered):
                raise NotAcceptable(f"This route returns {' or '.join(offered)}.")
            strict = StrictRequest(request, self.body_field, parse_json, self._limit(request))
            if self.include_in_schema:
                check_parameters(strict, parameters)
            strict.check_announced_body()
            if not writes:
                return await _answered(handle, strict)
            if self.body_field is not None:
                await strict.complete_body()  # a slow one must not hold what other writers need
            async with request.app.state.writing:
                return await _answered(handle, strict)

        return handle_strictly

    def _limit(self, request: Request) -> int:
        """Return the maximum size of the body in bytes; routes with `max_body_size` have theirs."""
        if self.max_body_size is not None:
            return self.max_body_size
        limit: int = request.app.state.json_body_bytes
        return limit

    def _offered_media_types(self) -> list[str]:
        if self.response_model is None:
            return []
        success = (answer for status, answer in self.responses.items() if str(status)[0] == "2")
        declared = {media_type for answer in success for media_type in answer.get("content", {})}
        return sorted({"application/json", *declared})


class OpenRoute(StrictRoute):
    """A route for callers without a credential, such as sign-in; its body is at most 4 KiB."""

    is_open: ClassVar[bool] = True

    def _limit(self, request: Request) -> int:
        del request
        return OPEN_BODY_BYTES


def _check_path(request: Request) -> None:
    """Find nothing by an id or name with NUL, which PostgreSQL refuses as text."""
    if any("\0" in str(value) for value in request.path_params.values()):
        raise NotFound("Not found.")


async def _answered(handle: Handler, request: StrictRequest) -> Response:
    """Return the response of FastAPI's handler; errors of the body are raised as they are."""
    try:
        return await handle(request)
    except RequestValidationError as error:
        if _lacks_body(error) and not await request.body():
            raise InvalidJson("Send a JSON document as the body.") from None
        raise
    except Exception as error:
        # FastAPI wraps exceptions of the body parser in its own HTTPException.
        if isinstance(error.__cause__, TrainyardError):
            raise error.__cause__ from None
        raise


def _lacks_body(error: RequestValidationError) -> bool:
    return any(tuple(detail["loc"]) == ("body",) for detail in error.errors())
