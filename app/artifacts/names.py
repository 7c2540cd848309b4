"""What artifacts are called: by server, worker and trainer alike."""

from enum import StrEnum


class ArtifactKind(StrEnum):
    """What an artifact is for: a `checkpoint` is resumed from, all else is handed out."""

    CHECKPOINT = "checkpoint"
    WEIGHTS = "weights"
    TABLE = "table"
    CONFIG = "config"
    PLOT = "plot"
    LOG = "log"
