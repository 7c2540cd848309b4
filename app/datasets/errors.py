"""Errors of requests about datasets."""

from app.core.errors import (
    BadRequest,
    Conflict,
    FieldError,
    Invalid,
    NotFound,
    UnsupportedMediaType,
)


class DatasetNotFound(NotFound):
    """The caller's projects have no such dataset or version."""

    slug, title = "dataset-not-found", "No such dataset"

    def __init__(self) -> None:
        super().__init__("There is no dataset or version with this id in your projects.")


class UnknownDataset(Invalid):
    """A spec names a dataset that the caller's projects do not have."""

    slug, title = "unknown-dataset", "Unknown dataset"

    def __init__(self) -> None:
        message = "There is no dataset or version with this id in your projects."
        super().__init__(message, errors=[FieldError("/dataset", "unknown-dataset", message)])


class DatasetNotReady(Conflict):
    """The dataset has no ready version, or the named version is not ready."""

    slug, title = "dataset-not-ready", "The dataset is not ready"

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
    """The dataset cannot be deleted: jobs refer to its versions."""

    slug, title = "dataset-in-use", "The dataset is in use"

    def __init__(self) -> None:
        super().__init__(
            "Jobs use versions of this dataset; it cannot be deleted while these jobs exist."
        )


class DatasetTaskMismatch(Conflict):
    """The upload has another task than the dataset. All versions of a dataset have one task."""

    slug, title = "dataset-task-mismatch", "The dataset is for another task"

    def __init__(self, name: str, present: str, requested: str) -> None:
        super().__init__(
            f"The dataset {name} is labelled for {present}, not for {requested}; "
            "upload this under another name.",
            extra={"task": present},
        )


class EmptyArchive(BadRequest):
    """An upload has no body."""

    slug, title = "empty-archive", "No archive was sent"

    def __init__(self) -> None:
        super().__init__("Send the zip archive as the body of the request.")


class NotAnArchive(UnsupportedMediaType):
    """The Content-Type of an upload is not that of a zip or tar."""

    def __init__(self) -> None:
        super().__init__(
            "Send the archive itself as the body, as application/zip or application/x-tar; "
            'resumable uploads ({"upload": …}) are not supported yet.'
        )
