"""Take numbers, points and names out of untrusted JSON; what does not fit is None."""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.core.plain_text import is_plain

MAX_PIXEL: Final = 1e7
MAX_NAME_CHARACTERS: Final = 200

Corners = tuple[float, float, float, float]
Outline = npt.NDArray[np.float64]
"""Points of a polygon: (n, 2), x and y."""


def number_of(value: Any) -> float | None:  # noqa: ANN401 -- any JSON value
    """Return a coordinate, or None if it is not a number that an image can have."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) <= MAX_PIXEL else None  # also false for NaN


def numbers_of(values: Any, count: int) -> list[float] | None:  # noqa: ANN401 -- any JSON value
    """Return a list of exactly `count` coordinates."""
    if not isinstance(values, list) or len(values) != count:
        return None
    numbers = [number_of(value) for value in values]
    found = [number for number in numbers if number is not None]
    return found if len(found) == count else None


def side_of(value: Any) -> float | None:  # noqa: ANN401 -- any JSON value
    """Return the width or height of an image, or None if it is absent or not positive."""
    number = number_of(value)
    return number if number is not None and number >= 1 else None


def size_of(width: Any, height: Any) -> tuple[float, float] | None:  # noqa: ANN401 -- any JSON value
    """Return (width, height) of an image, or None if one of them is absent."""
    across, down = side_of(width), side_of(height)
    return None if across is None or down is None else (across, down)


def corners_of(values: Any) -> Corners | None:  # noqa: ANN401 -- any JSON value
    """Return left, top, right and bottom of [left, top, width, height] with an area."""
    found = numbers_of(values, 4)
    if found is None or found[2] <= 0 or found[3] <= 0:
        return None
    left, top, width, height = found
    return left, top, left + width, top + height


def outline_of(values: Any) -> Outline | None:  # noqa: ANN401 -- any JSON value
    """Return the polygon of [x, y, x, y, …] or [[x, y], …] with three or more points."""
    if not isinstance(values, list):
        return None
    try:
        flat = np.array(values, dtype=np.float64).reshape(-1)
    except (ValueError, TypeError, OverflowError):
        return None
    if len(flat) < 6 or len(flat) % 2:  # noqa: PLR2004 -- three points
        return None
    return flat.reshape(-1, 2) if bool((np.abs(flat) <= MAX_PIXEL).all()) else None


def bounds_of(outlines: Sequence[Outline]) -> Corners:
    """Return left, top, right and bottom of all points."""
    low = np.min([outline.min(axis=0) for outline in outlines], axis=0)
    high = np.max([outline.max(axis=0) for outline in outlines], axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def text_of(value: Any) -> str | None:  # noqa: ANN401 -- any JSON value
    """Return a text that is not empty; numbers are written as text."""
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(value) if abs(value) <= MAX_PIXEL else None


def identity_of(value: Any) -> int | str | None:  # noqa: ANN401 -- any JSON value
    """Return an id that is equal for 7, 7.0 and "7"."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        is_integer = value.isascii() and value.isdigit() and len(value) < 20  # noqa: PLR2004 -- int64
        return int(value) if is_integer else value
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value.is_integer() else None
    return value if isinstance(value, int) else None


def name_fault(names: Sequence[str]) -> str | None:
    """Return the reason why `names` cannot be the names of classes, or None."""
    for name in names:
        if not name.strip() or len(name) > MAX_NAME_CHARACTERS or not is_plain(name):
            return f"{name!r} is not a class name: 1 to {MAX_NAME_CHARACTERS} printable characters"
    return None
