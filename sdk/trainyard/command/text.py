"""What the command writes: data to stdout, everything for people to stderr."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from trainyard.views.base import View

NOTHING: Final = "-"


def printable(text: str) -> str:
    """Return the text with escapes for what people cannot see, so that no terminal obeys it."""
    return "".join(
        each if each.isprintable() or each == "\n" else each.encode("unicode_escape").decode()
        for each in text
    )


def say(text: str) -> None:
    """Write a line for people."""
    sys.stderr.write(f"{printable(text)}\n")
    sys.stderr.flush()


def put(text: str) -> None:
    """Write a line of data."""
    sys.stdout.write(f"{printable(text)}\n")
    sys.stdout.flush()


def put_json(value: object) -> None:
    """Write data as JSON."""
    sys.stdout.write(f"{json.dumps(_plain(value), indent=2, ensure_ascii=False)}\n")
    sys.stdout.flush()


def put_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows as a table with these columns."""
    table = [list(columns), *([cell(row.get(name)) for name in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = (each.ljust(width) for each, width in zip(line, widths, strict=True))
        put("  ".join(cells).rstrip())


def put_fields(fields: Mapping[str, Any]) -> None:
    """Write one thing as lines of names and values; those without a value are left out."""
    shown = {name: value for name, value in fields.items() if value not in (None, {}, [], "")}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        put(f"{name.ljust(width)}  {cell(value)}")


def cell(value: object) -> str:
    """Return a value as one line of text."""
    match value:
        case None:
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.5g}"
        case datetime():
            return value.astimezone().strftime("%Y-%m-%d %H:%M")
        case Mapping():
            return " ".join(f"{name}={cell(each)}" for name, each in value.items()) or NOTHING
        case list():
            return " ".join(map(cell, value)) or NOTHING
        case _:
            return printable(str(value)).replace("\n", " ")


def duration(seconds: float | None) -> str:
    """Return seconds as people say them, such as `1 h 5 min`."""
    if seconds is None:
        return NOTHING
    hours, rest = divmod(round(seconds), 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{left} s"


def _plain(value: object) -> object:
    if isinstance(value, View):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value
