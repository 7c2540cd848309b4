"""The response of a stream, which frees everything at once when its client leaves."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from fastapi.sse import EventSourceResponse
from starlette.types import Send

from app.core.response_headers import NO_STORE

HEADERS: Final = {"Cache-Control": NO_STORE, "X-Accel-Buffering": "no"}


class StreamResponse(EventSourceResponse):
    """Server-sent events whose bytes are ready.

    FastAPI would render the messages of a generator once for each client, in three tasks each
    (routing.py:572-695, 0.165).
    """

    def __init__(self, pieces: AsyncGenerator[bytes]) -> None:
        super().__init__(pieces, headers=HEADERS)
        self._pieces = pieces

    async def stream_response(self, send: Send) -> None:
        """Send head and pieces, each after the client has taken the one before."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        async with aclosing(self._pieces) as pieces:
            await send(start)
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
