"""How a request for an artifact can be refused."""

from app.core.errors import Gone, NotFound


class ArtifactNotFound(NotFound):
    """The job hands out no file of this name."""

    slug, title = "artifact-not-found", "No such artifact"

    def __init__(self) -> None:
        super().__init__("The job has no artifact of this name; list them at …/artifacts.")


class ArtifactBytesMissing(Gone):
    """The row is there, and the artifact store has lost the bytes that it names."""

    slug, title = "artifact-bytes-missing", "The bytes of this file are gone"

    def __init__(self) -> None:
        super().__init__("The artifact store has lost this file; its operator can look for it.")
