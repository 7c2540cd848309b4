"""The columns of an epoch that its event and the row of its job repeat: bounded in size.

A usual epoch has 30 columns in 0.9 kB. A trainer plugin can report 10,000; `GET …/metrics` has all
of them.
"""

import json
from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

MOST_BYTES: Final = 4096
"""Of the columns in one event, and of those in one row, as JSON."""

Columns = Mapping[str, float | None]


def within(columns: Columns, room: int = MOST_BYTES) -> tuple[dict[str, JsonValue], int]:
    """Return the first columns, as many as fit into `room` bytes of JSON, and the room left."""
    kept: dict[str, JsonValue] = {}
    for name, value in columns.items():
        size = len(json.dumps(name)) + len(json.dumps(value)) + 2
        if size > room:
            return kept, 0  # later columns do not fill the gap: what is kept is a beginning
        kept[name] = value
        room -= size
    return kept, room


def shown_columns(
    metrics: Columns, lr: Columns, system: Columns, room: int = MOST_BYTES
) -> dict[str, JsonValue]:
    """Return the columns of an epoch as its event has them.

    `omitted` is the number of columns without room, and is left out if there are none. Metrics come
    before rates, and rates before what the machine did.
    """
    data: dict[str, JsonValue] = {}
    omitted = 0
    for part, columns in (("metrics", metrics), ("lr", lr), ("system", system)):
        kept, room = within(columns, room)
        data[part] = kept
        omitted += len(columns) - len(kept)
    return data | ({"omitted": omitted} if omitted else {})
