"""How a request about data sets can be refused."""

from app.core.errors import (
    BadRequest,
    Conflict,
    FieldError,
    Invalid,
    NotFound,
    UnsupportedMediaType,
)


class DatasetNotFound(NotFound):
    """No such data set or version, or none in the caller's projects."""

    slug, title = "dataset-not-found", "No such data set"

    def __init__(self) -> None:
        super().__init__("There is no data set or version of this id in your projects.")


class UnknownDataset(Invalid):
    """A spec names a data set that does not exist, or not for this caller."""

    slug, title = "unknown-dataset", "Unknown data set"

    def __init__(self) -> None:
        message = "There is no data set or version of this id in your projects."
        super().__init__(message, errors=[FieldError("/dataset", "unknown-dataset", message)])


class DatasetNotReady(Conflict):
    """The data set has no version that a job could train on now."""

    slug, title = "dataset-not-ready", "The data set is not ready"

    def __init__(self, reference: str, state: str) -> None:
        advice = (
            "wait until it is ready"
            if state == "validating"
            else "read its report, and upload a corrected archive"
        )
        super().__init__(
            f"{reference} is {state}; {advice}.", extra={"dataset": reference, "state": state}
        )


class DatasetInUse(Conflict):
    """Jobs were made with the data set, and they keep it."""

    slug, title = "dataset-in-use", "The data set is in use"

    def __init__(self) -> None:
        super().__init__("Jobs use versions of this data set; it stays as long as they do.")


class DatasetTaskMismatch(Conflict):
    """All versions of a data set are labelled for one task."""

    slug, title = "dataset-task-mismatch", "The data set is of another task"

    def __init__(self, name: str, present: str, asked: str) -> None:
        super().__init__(
            f"The data set {name} is labelled for {present}, not for {asked}; "
            "upload this under another name.",
            extra={"task": present},
        )


class EmptyArchive(BadRequest):
    """A data set was posted without a body."""

    slug, title = "empty-archive", "No archive was sent"

    def __init__(self) -> None:
        super().__init__("Send the zip archive as the body of the request.")


class NotAnArchive(UnsupportedMediaType):
    """The body of an upload is declared as something else than a zip archive."""

    def __init__(self) -> None:
        super().__init__(
            "Send the zip archive itself as the body, as application/zip; "
            'resumable uploads ({"upload": …}) are not offered yet.'
        )
