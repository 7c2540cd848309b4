"""The splits of a version as rows of a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

WITH_OBJECTS: Final = frozenset({"detect", "segment", "obb", "pose"})


@dataclass(frozen=True)
class SplitRow:
    """The counts of one split; those that its task does not have are None."""

    name: str
    images: int
    objects: int | None
    backgrounds: int | None
    dropped: int


def split_rows(report: Mapping[str, Any]) -> Sequence[SplitRow]:
    """Return the splits of a report in their order."""
    has_objects = report["task"] in WITH_OBJECTS
    return [
        SplitRow(
            name=name,
            images=counts["images"],
            objects=counts["objects"] if has_objects else None,
            backgrounds=counts["backgrounds"] if has_objects else None,
            dropped=counts["dropped"],
        )
        for name, counts in report["splits"].items()
    ]
