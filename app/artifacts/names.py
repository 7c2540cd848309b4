"""What artifacts are called, by server, worker and trainer alike: names of files, and kinds."""

from enum import StrEnum
from typing import Final

LAST: Final = "last.pt"
BEST: Final = "best.pt"
RESULTS: Final = "results.csv"
STATE: Final = "state.pt"


class ArtifactKind(StrEnum):
    """What an artifact is for: a `checkpoint` is resumed from, all else is handed out."""

    CHECKPOINT = "checkpoint"
    WEIGHTS = "weights"
    TABLE = "table"
    CONFIG = "config"
    PLOT = "plot"
    LOG = "log"
