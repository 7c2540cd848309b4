"""Errors of requests for artifacts."""

from app.core.errors import Gone, NotFound


class ArtifactNotFound(NotFound):
    """The job has no artifact with this name."""

    slug, title = "artifact-not-found", "No such artifact"

    def __init__(self) -> None:
        super().__init__("The job has no artifact with this name; …/artifacts lists them.")


class ArtifactBytesMissing(Gone):
    """The artifact's row exists, but its bytes are missing in the artifact store."""

    slug, title = "artifact-bytes-missing", "The bytes of this file are missing"

    def __init__(self) -> None:
        super().__init__(
            "The bytes of this file are missing in the artifact store; ask the operator."
        )


class CheckpointNotFound(NotFound):
    """The job has no such file of a checkpoint of this epoch, or no longer has it."""

    slug, title = "checkpoint-not-found", "No such checkpoint"

    def __init__(self) -> None:
        super().__init__(
            "The job has no file with this name of this epoch. Newer checkpoints replace older "
            "ones; …/checkpoints lists the current ones."
        )


class CurvesNotFound(NotFound):
    """The job has no curves: it has not ended, its task has none, or it ended before they were."""

    slug, title = "curves-not-found", "No curves"

    def __init__(self) -> None:
        super().__init__(
            "The job has no curves. A job gets them when it succeeds, unless its task is depth; "
            "jobs that an earlier release trained have none."
        )


class WorstImagesNotFound(NotFound):
    """The job has no list of its worst validation images."""

    slug, title = "worst-images-not-found", "No list of worst images"

    def __init__(self) -> None:
        super().__init__(
            "The job has no list of its worst validation images. A job gets it when it succeeds; "
            "jobs that an earlier release trained have none."
        )


class ArtifactPreviewNotFound(NotFound):
    """There is no such preview, or it has another digest."""

    slug, title = "artifact-preview-not-found", "No such preview"

    def __init__(self) -> None:
        super().__init__(
            "There is no preview of this image or plot, or it is not the one with this SHA-256."
        )
