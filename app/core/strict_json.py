"""Reading JSON bodies strictly: UTF-8 only, no duplicate keys, bounded nesting and numbers.

NaN and infinities are read as such, so that validation refuses them by the field they stand in.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from app.core.errors import BadRequest, NotAcceptable
from app.core.media_types import accepts


class InvalidJson(BadRequest):
    """The body is not JSON in UTF-8."""

    slug, title = "invalid-json", "The body is not valid JSON"


class DuplicateKey(BadRequest):
    """An object of the body names a key twice."""

    slug, title = "duplicate-key", "The body names a key twice"


def parse_json(body: bytes) -> Any:  # noqa: ANN401 -- any JSON document
    """Return the document in `body`.

    Raises:
        InvalidJson: it is no UTF-8, no JSON, nested too deeply, or a number has too many digits.
        DuplicateKey: an object has a key twice; which value was meant cannot be known.
    """
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
        raise DuplicateKey("An object in the body names a key twice.")
    return document


class _StrictRequest(Request):
    async def json(self) -> Any:  # noqa: ANN401 -- Starlette's signature
        if not hasattr(self, "_json"):
            self._json = parse_json(await self.body())
        return self._json


class StrictRoute(APIRoute):
    """A route whose JSON body is read by `parse_json`, and whose refusals come out as they are.

    A route with a response model answers nobody who takes none of its media types.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        offered = self._offered_media_types()

        async def handle_strictly(request: Request) -> Response:
            strict = _StrictRequest(request.scope, request.receive)
            if offered and not accepts(", ".join(request.headers.getlist("accept")), offered):
                raise NotAcceptable(f"This answers with {' or '.join(offered)}.")
            try:
                return await handle(strict)
            except RequestValidationError as error:
                if _lacks_body(error) and not await strict.body():
                    raise InvalidJson("Send a JSON document as the body.") from None
                raise
            except Exception as error:
                # FastAPI wraps what a body parser raises into an HTTPException of its own.
                if isinstance(error.__cause__, BadRequest):
                    raise error.__cause__ from None
                raise

        return handle_strictly

    def _offered_media_types(self) -> list[str]:
        if self.response_model is None:
            return []
        success = (answer for status, answer in self.responses.items() if str(status)[0] == "2")
        declared = {media_type for answer in success for media_type in answer.get("content", {})}
        return sorted({"application/json", *declared})


def _lacks_body(error: RequestValidationError) -> bool:
    return any(tuple(each["loc"]) == ("body",) for each in error.errors())
