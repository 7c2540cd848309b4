"""How the pages write numbers, sizes, durations, times and curves: the filters of the templates."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

UNKNOWN: Final = "\u2013"
MINUTE, HOUR, DAY = 60, 3600, 86_400
KILO: Final = 1000
SIZE_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")
SPARK_WIDTH, SPARK_HEIGHT, SPARK_MARGIN = 96.0, 24.0, 2.0


def number(value: float | None, digits: int = 3) -> str:
    """Return a metric or a loss with a fixed number of digits; a dash for none and for NaN.

    What would be written as 0 but is more is written as less than the smallest number.
    """
    if value is None or value != value:  # noqa: PLR0124 -- NaN is not equal to itself
        return UNKNOWN
    if 0 < value < 0.5 * 10.0**-digits:
        return f"<{10.0**-digits:.{digits}f}"
    return f"{value:.{digits}f}"


def plain_number(value: float) -> str:
    """Return a number without digits that say nothing: `640`, `0.001`."""
    return f"{value:.0f}" if value == round(value) else repr(value)


def rate(value: float | None) -> str:
    """Return a learning rate, such as `2.00e-3`."""
    if value is None or value != value:  # noqa: PLR0124 -- NaN
        return UNKNOWN
    if value == 0:
        return "0"
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def thousands(value: float | None) -> str:
    """Return a count, such as `2,416`."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def percent(value: float | None) -> str:
    """Return a share between 0 and 1, such as `42 %`."""
    return UNKNOWN if value is None else f"{value * 100:.0f} %"


def size(value: float | None) -> str:
    """Return a number of bytes in powers of ten, such as `5.3 MB`."""
    if value is None:
        return UNKNOWN
    amount = float(value)
    for unit in SIZE_UNITS:
        if amount < KILO or unit == SIZE_UNITS[-1]:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= KILO
    raise AssertionError


def duration(seconds: float | None) -> str:
    """Return a length of time in its two largest units, such as `2 min 31 s`."""
    if seconds is None:
        return UNKNOWN
    whole = max(0, round(seconds))
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return _pair(whole, MINUTE, "min", 1, "s")
    if whole < DAY:
        return _pair(whole, HOUR, "h", MINUTE, "min")
    return _pair(whole, DAY, "d", HOUR, "h")


def _pair(whole: int, large: int, name: str, small: int, small_name: str) -> str:
    count, rest = divmod(whole, large)
    fewer = rest // small
    return f"{count} {name} {fewer} {small_name}" if fewer else f"{count} {name}"


def moment(text: str | None) -> str:
    """Return an instant, such as `29 Nov 2026 14:03:12 UTC`; a script of ours makes it local."""
    return UNKNOWN if text is None else _parsed(text).strftime("%-d %b %Y %H:%M:%S UTC")


def clock(text: str) -> str:
    """Return the time of day of an instant, such as `14:03 UTC`; a script makes it local."""
    return _parsed(text).strftime("%H:%M UTC")


def ago(text: str | None) -> str:
    """Return how long ago an instant was, such as `4 min ago`; of a future one, `in 4 min`."""
    if text is None:
        return UNKNOWN
    seconds = (datetime.now(UTC) - _parsed(text)).total_seconds()
    length = _largest_unit(abs(seconds))
    return f"{length} ago" if seconds >= 0 else f"in {length}"


def _largest_unit(seconds: float) -> str:
    for size_of_unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= size_of_unit:
            return f"{int(seconds // size_of_unit)} {name}"
    return f"{int(seconds)} s"


def _parsed(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def short_metric(name: str) -> str:
    """Return a metric's name without what each has: `metrics/F1(B)` is `F1`."""
    return re.sub(r"^(metrics|val|train)/|\(B\)$", "", name)


def spark_points(curve: Sequence[float | None], direction: str = "higher") -> Mapping[str, Any]:
    """Return a curve as points of an SVG polyline, 96 by 24 units, and its best point.

    Values that are missing are left out. `direction` says whether a higher value is better.
    """
    known = [(index, value) for index, value in enumerate(curve) if value is not None]
    if not known:
        return {"line": "", "x": 0.0, "y": 0.0}
    values = [value for _, value in known]
    low, high = min(values), max(values)
    last = max(1, len(curve) - 1)
    across = SPARK_WIDTH - 2 * SPARK_MARGIN
    down = SPARK_HEIGHT - 2 * SPARK_MARGIN

    def place(index: int, value: float) -> tuple[float, float]:
        height = (value - low) / (high - low) if high > low else 0.5
        return SPARK_MARGIN + across * index / last, SPARK_HEIGHT - SPARK_MARGIN - down * height

    choose: Callable[..., tuple[int, float]] = min if direction == "lower" else max
    best_x, best_y = place(*choose(known, key=lambda pair: pair[1]))
    points = (place(index, value) for index, value in known)
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return {"line": line, "x": round(best_x, 1), "y": round(best_y, 1)}


def json_text(value: object) -> str:
    """Return a JSON document as text, indented."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def prefixed(text: str, prefix: str) -> str:
    """Return a text with another one before it."""
    return prefix + text


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "ago": ago,
    "clock": clock,
    "duration": duration,
    "json_text": json_text,
    "moment": moment,
    "number": number,
    "percent": percent,
    "plain_number": plain_number,
    "prefixed": prefixed,
    "rate": rate,
    "short_metric": short_metric,
    "size": size,
    "spark_points": spark_points,
    "thousands": thousands,
}
