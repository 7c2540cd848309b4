"""Content negotiation by the `Accept` header (RFC 9110, 12.5.1)."""

import re
from collections.abc import Collection, Sequence

RANGE = re.compile(
    r"\s*(?P<type>[!#$%&'*+.^_`|~\w-]+)/(?P<subtype>[!#$%&'*+.^_`|~\w-]+)\s*(?P<parameters>;.*)?\Z",
    re.ASCII,
)
UTF_8 = frozenset({"utf-8", "utf8"})
WEIGHT = re.compile(r";\s*q\s*=\s*(?P<q>[0-9.]{1,6})\s*(;|\Z)", re.IGNORECASE)


def accepts(header: str, offered: Collection[str]) -> bool:
    """Return whether an `Accept` header accepts one of the offered media types.

    An empty header accepts everything. The most specific range that matches a type decides.
    Malformed ranges are ignored.
    """
    if not header.strip():
        return True
    ranges = _ranges(header)
    return any(_weight_of(media_type, ranges) > 0 for media_type in offered)


def preferred(header: str, offered: Sequence[str]) -> str:
    """Return the offered media type with the highest weight; the first of equal ones."""
    ranges = _ranges(header)
    return max(offered, key=lambda media_type: _weight_of(media_type, ranges))


def _ranges(header: str) -> dict[str, float]:
    matches = (RANGE.match(part) for part in header.split(","))
    return {
        f"{match['type']}/{match['subtype']}".lower(): _weight(match["parameters"] or "")
        for match in matches
        if match
    }


def _weight(parameters: str) -> float:
    match = WEIGHT.search(parameters)
    try:
        return float(match["q"]) if match else 1.0
    except ValueError:
        return 1.0


def _weight_of(media_type: str, ranges: dict[str, float]) -> float:
    kind = media_type.partition("/")[0]
    return next(
        (ranges[name] for name in (media_type, f"{kind}/*", "*/*") if name in ranges),
        0.0,
    )


def is_plain_json(content_types: Sequence[str]) -> bool:
    """Return whether a request's `Content-Type` headers say JSON in UTF-8, and nothing else."""
    if len(content_types) != 1:
        return False
    media_type, *parameters = content_types[0].split(";")
    pairs = [parameter.strip().lower().partition("=") for parameter in parameters]
    charsets = {value.strip('"') for name, _, value in pairs if name.strip() == "charset"}
    return media_type.strip().lower() == "application/json" and charsets <= UTF_8
