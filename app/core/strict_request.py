"""The request of a strict route: its body is limited while it arrives, and parsed off the loop."""

from collections.abc import Callable
from typing import Any, Final

from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from app.core.errors import BadRequest, Invalid, TooLarge, UnsupportedMediaType
from app.core.media_types import is_plain_json
from app.core.problems import invalid_fields

SMALL_BYTES: Final = 4 * 1024
"""Bodies up to this size are parsed in the event loop, which takes less time than a thread."""
MAX_ERRORS: Final = 1000
"""More invalid fields are only counted; to describe each of 65,000 takes a second."""
MAX_LENGTH_DIGITS: Final = 19


class StrictRequest(Request):
    """A request whose body has at most `max_bytes`, and whose JSON is parsed strictly.

    `json` raises the errors of the parser, and `Invalid` for a large document.
    """

    def __init__(
        self,
        request: Request,
        body_field: Any | None,  # noqa: ANN401 -- FastAPI's ModelField is not public
        parse: Callable[[bytes], Any],
        max_bytes: int,
    ) -> None:
        """Take over `request`, of which nothing has been read.

        Args:
            request: as it came.
            body_field: FastAPI's field of the JSON body; None if the route reads no JSON.
            parse: returns the document in a body.
            max_bytes: maximum size of the body.
        """
        super().__init__(request.scope, _limited(request.receive, max_bytes))
        self._field = body_field
        self._parse = parse
        self._max_bytes = max_bytes

    def check_announced_body(self) -> None:
        """Refuse by its head a body that the route would not read.

        Raises:
            UnsupportedMediaType: the route reads JSON, and this is not JSON in UTF-8.
            TooLarge: the announced length is above the limit.
        """
        length = self.headers.get("content-length", "0")
        has_body = length != "0" or "transfer-encoding" in self.headers
        if not has_body:
            return
        if self._field is not None and not is_plain_json(self.headers.getlist("content-type")):
            raise UnsupportedMediaType("Send the body as application/json in UTF-8.")
        if length.isdecimal() and int(length[:MAX_LENGTH_DIGITS]) > self._max_bytes:
            raise _too_large(self._max_bytes)

    async def complete_body(self) -> None:
        """Wait until the whole body has arrived.

        Raises:
            TooLarge: it is above the limit.
            BadRequest: the client disconnected.
        """
        try:
            await self.body()
        except ClientDisconnect:
            raise BadRequest("The client disconnected before the body was complete.") from None

    async def json(self) -> Any:  # noqa: ANN401 -- Starlette's signature
        """Return the document in the body. A large one is parsed and validated in a thread."""
        if not hasattr(self, "_json"):
            body = await self.body()
            is_small = len(body) <= SMALL_BYTES
            self._json = (
                self._parse(body) if is_small else await run_in_threadpool(self._validated, body)
            )
        return self._json

    def _validated(self, body: bytes) -> Any:  # noqa: ANN401
        """Return an instance of the body's model, which FastAPI then does not validate again."""
        document = self._parse(body)
        model = None if self._field is None else self._field.field_info.annotation
        if not isinstance(model, type) or not issubclass(model, BaseModel):
            return document
        try:
            return model.model_validate(document)
        except ValidationError as error:
            if error.error_count() > MAX_ERRORS:
                message = f"{error.error_count()} fields are invalid or unknown."
                raise Invalid(message) from None
            raise invalid_fields(error.errors(include_url=False)) from None


def _limited(receive: Receive, max_bytes: int) -> Receive:
    arrived = 0

    async def receive_limited() -> Message:
        nonlocal arrived
        message = await receive()
        if message["type"] == "http.request":
            arrived += len(message.get("body", b""))
            if arrived > max_bytes:
                raise _too_large(max_bytes)
        return message

    return receive_limited


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"The body may have at most {max_bytes} bytes.")
