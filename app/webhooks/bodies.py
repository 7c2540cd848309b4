"""The JSON that is sent for an event: small, with links to the rest."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from pydantic import JsonValue

MAX_BODY_BYTES: Final = 20 * 1024
"""Standard Webhooks recommends payloads below 20 KB."""

TEST_EVENT: Final = "webhook.test"


def body_of(
    type_: str, happened_at: datetime, data: Mapping[str, JsonValue], *, details: JsonValue = None
) -> str:
    """Return the body of a message, at most `MAX_BODY_BYTES` long.

    Args:
        type_: of the event, such as `job.succeeded`.
        happened_at: the time of the event, not of the send.
        data: what the event is about; it is small.
        details: what the event says, as `data.details`; left out, with `data.truncated`, if it is
            too large.
    """
    whole = _encoded(type_, happened_at, {**data, "details": details, "truncated": False})
    if len(whole.encode()) <= MAX_BODY_BYTES:
        return whole
    return _encoded(type_, happened_at, {**data, "details": None, "truncated": True})


def _encoded(type_: str, happened_at: datetime, data: Mapping[str, JsonValue]) -> str:
    timestamp = happened_at.astimezone(UTC).isoformat(timespec="milliseconds")
    message = {"type": type_, "timestamp": timestamp.replace("+00:00", "Z"), "data": data}
    return json.dumps(message, separators=(",", ":"), allow_nan=False)
