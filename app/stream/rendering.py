"""Bytes of messages, in the format of server-sent events; every message is rendered here."""

from dataclasses import dataclass
from typing import Final

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel

RETRY_MILLISECONDS: Final = 1000
PING: Final = KEEPALIVE_COMMENT


@dataclass(frozen=True)
class RenderedMessage:
    """A message with the position at which it was sent, and without."""

    with_id: bytes
    without_id: bytes


def rendered(event: str, data: BaseModel | str, *, id_: str | None = None) -> bytes:
    """Return the bytes of one message.

    Args:
        event: its name.
        data: a model, or JSON in one line.
        id_: the sealed position after which a client that reconnects continues.
    """
    text = data if isinstance(data, str) else data.model_dump_json()
    return format_sse_event(event=event, data_str=text, id=id_)


def rendered_state(event: str, data: BaseModel | str, *, id_: str) -> RenderedMessage:
    """Return a message of current state, which is also sent where it must not move a position."""
    text = data if isinstance(data, str) else data.model_dump_json()
    return RenderedMessage(
        format_sse_event(event=event, data_str=text, id=id_),
        format_sse_event(event=event, data_str=text),
    )


def retry() -> bytes:
    """Return the first bytes of a stream: how long a client waits before it connects again."""
    return format_sse_event(retry=RETRY_MILLISECONDS)
