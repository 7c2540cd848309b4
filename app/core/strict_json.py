"""Strict parsing of JSON bodies: UTF-8 only, no duplicate keys, limited nesting and digits.

NaN and infinities are parsed, so that validation can refuse them with the name of their field.
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
    """The body is not valid JSON in UTF-8."""

    slug, title = "invalid-json", "The body is not valid JSON"


class DuplicateKey(BadRequest):
    """An object in the body contains a key twice."""

    slug, title = "duplicate-key", "The body contains a key twice"


def parse_json(body: bytes) -> Any:  # noqa: ANN401 -- any JSON document
    """Return the document in `body`.

    Raises:
        InvalidJson: the body is not UTF-8, is not JSON, is nested too deeply, or contains a number
            with too many digits.
        DuplicateKey: an object contains a key twice, so the intended value is ambiguous.
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
        raise DuplicateKey("An object in the body contains a key twice.")
    return document


class _StrictRequest(Request):
    async def json(self) -> Any:  # noqa: ANN401 -- Starlette's signature
        if not hasattr(self, "_json"):
            self._json = parse_json(await self.body())
        return self._json


class StrictRoute(APIRoute):
    """A route that parses its JSON body with `parse_json` and raises its errors unchanged.

    A route with a response model raises `NotAcceptable` if the caller accepts none of its media
    types.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        offered = self._offered_media_types()

        async def handle_strictly(request: Request) -> Response:
            strict = _StrictRequest(request.scope, request.receive)
            if offered and not accepts(", ".join(request.headers.getlist("accept")), offered):
                raise NotAcceptable(f"This route returns {' or '.join(offered)}.")
            try:
                return await handle(strict)
            except RequestValidationError as error:
                if _lacks_body(error) and not await strict.body():
                    raise InvalidJson("Send a JSON document as the body.") from None
                raise
            except Exception as error:
                # FastAPI wraps exceptions of the body parser in its own HTTPException.
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
    return any(tuple(detail["loc"]) == ("body",) for detail in error.errors())
