"""Errors of workers that callers can get."""

from app.core.errors import NotFound


class WorkerNotFound(NotFound):
    """No slot has this id, or it was forgotten."""

    slug, title = "worker-not-found", "No such worker"

    def __init__(self) -> None:
        super().__init__("There is no worker with this id; /v1/workers lists them.")
