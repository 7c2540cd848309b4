"""Names and kinds of artifacts, shared by server, worker and trainer."""

from enum import StrEnum
from typing import Final

LAST: Final = "last.pt"
BEST: Final = "best.pt"
RESULTS: Final = "results.csv"
STATE: Final = "state.pt"


class ArtifactKind(StrEnum):
    """The use of an artifact: jobs resume from a `checkpoint`; users download all other kinds."""

    CHECKPOINT = "checkpoint"
    WEIGHTS = "weights"
    TABLE = "table"
    CONFIG = "config"
    PLOT = "plot"
    LOG = "log"
