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
