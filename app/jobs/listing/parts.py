"""One statement from several, each of which reads a part of an index in order and stops early.

A database would read and sort whole parts for a UNION with one ORDER BY and LIMIT.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, CompoundSelect, Select, select, union_all

MAX_PARTS: Final = 100
"""The number of parts in one statement; SQLite allows 500."""

Conditions = tuple[ColumnElement[bool], ...]
Statement = Select[Any] | CompoundSelect[Any]


def together(parts: Sequence[Select[Any]]) -> Statement:
    """Return the rows of all parts, in no order if there are several."""
    if len(parts) == 1:
        return parts[0]
    return union_all(*(select(part.subquery()) for part in parts))
