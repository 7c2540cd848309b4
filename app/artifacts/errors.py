"""How a request for an artifact can be refused."""

from app.core.errors import NotFound


class ArtifactNotFound(NotFound):
    """The job hands out no file of this name."""

    slug, title = "artifact-not-found", "No such artifact"

    def __init__(self) -> None:
        super().__init__("The job has no artifact of this name; list them at …/artifacts.")
