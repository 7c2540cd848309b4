"""Names and kinds of artifacts, shared by server, worker and trainer."""

from enum import StrEnum
from typing import Final

LAST: Final = "last.pt"
BEST: Final = "best.pt"
RESULTS: Final = "results.csv"
STATE: Final = "state.pt"


CURVES: Final = "validation/curves.json.gz"
WORST_IMAGES: Final = "validation/worst_images"
"""Names that no trainer can give a file, since they contain a slash."""


class ArtifactKind(StrEnum):
    """The use of an artifact.

    Jobs resume from a `checkpoint`; `validation` and `preview` have routes of their own; users
    download all other kinds.
    """

    CHECKPOINT = "checkpoint"
    WEIGHTS = "weights"
    TABLE = "table"
    CONFIG = "config"
    PLOT = "plot"
    LOG = "log"
    VALIDATION = "validation"
    PREVIEW = "preview"


NOT_DOWNLOADED: Final = (ArtifactKind.CHECKPOINT, ArtifactKind.VALIDATION, ArtifactKind.PREVIEW)
"""The kinds that are not among the files to download."""


def preview_name(plot: str) -> str:
    """Return the name of the preview of a plot."""
    return f"preview/{plot}"
