"""The media types of the files of jobs, by names that training or the service writes.

A trainer is not trusted, so a name that is not listed is sent as plain bytes, to save only.
"""

import re
from dataclasses import dataclass
from typing import Final

from app.artifacts.names import RESULTS


@dataclass(frozen=True)
class MediaType:
    """A media type, and whether a browser may show the file instead of saving it.

    A file that is shown is in a sandbox and is never taken for another type (`nosniff`).
    """

    name: str
    is_shown: bool = False


BYTES: Final = MediaType("application/octet-stream")
JSON: Final = MediaType("application/json")
_CSV: Final = MediaType("text/csv; charset=utf-8", is_shown=True)
_TEXT: Final = MediaType("text/plain; charset=utf-8", is_shown=True)
_PNG: Final = MediaType("image/png", is_shown=True)
_JPEG: Final = MediaType("image/jpeg", is_shown=True)

_BY_NAME: Final = {
    RESULTS: _CSV,
    "per_class.csv": _CSV,
    "args.yaml": MediaType("application/yaml"),
    "spec.json": JSON,
    "plan.json": JSON,
    "provenance.json": JSON,
    "results.png": _PNG,
    "confusion_matrix.png": _PNG,
    "confusion_matrix_normalized.png": _PNG,
    "iou_bar_chart.png": _PNG,
    "labels.jpg": _JPEG,
}
_BY_PATTERN: Final = (
    (re.compile(r"train(\.\d{1,9})?\.log"), _TEXT),
    (re.compile(r"(Box|Mask|Pose)?(PR|F1|P|R)_curve\.png"), _PNG),
    (re.compile(r"val_batch\d{1,9}_(labels|pred)\.jpg"), _JPEG),
    (re.compile(r"train_batch\d{1,9}\.jpg"), _JPEG),
)
MEDIA_TYPES: Final = tuple(
    sorted({each.name for each in (BYTES, *_BY_NAME.values(), *(kind for _, kind in _BY_PATTERN))})
)
"""Every media type that a file can have."""


def media_type_of(name: str) -> MediaType:
    """Return the media type of a job's file with this name."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    return next((kind for pattern, kind in _BY_PATTERN if pattern.fullmatch(name)), BYTES)
