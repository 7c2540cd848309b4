"""Errors of requests about datasets."""

from collections.abc import Sequence
from typing import Final

from app.core.errors import (
    Conflict,
    FieldError,
    Gone,
    Invalid,
    NotFound,
    UnsupportedMediaType,
)

SHOWN_FILES: Final = 5
MAX_NAMES_SHOWN: Final = 20


class DatasetNotFound(NotFound):
    """The caller's projects have no such dataset or version."""

    slug, title = "dataset-not-found", "No such dataset"

    def __init__(self) -> None:
        super().__init__("There is no dataset or version with this id in your projects.")


class UnknownDataset(Invalid):
    """A spec names a dataset that the caller's projects do not have."""

    slug, title = "unknown-dataset", "Unknown dataset"

    def __init__(self, nearest: str | None) -> None:
        meant = f' Did you mean "{nearest}"?' if nearest else ""
        message = (
            f"Your projects have no such dataset.{meant} Write its name as bccd (the newest ready "
            "version) or bccd@3, or an id (ds_…, dsv_…); GET /v1/datasets lists them."
        )
        super().__init__(message, errors=[FieldError("/dataset", "unknown-dataset", message)])


class AmbiguousDatasetName(Invalid):
    """Several projects of the caller have a dataset with the name."""

    slug, title = "ambiguous-dataset-name", "The name means several datasets"

    def __init__(self) -> None:
        message = "Several of your projects have a dataset with this name: use its id (ds_…)."
        super().__init__(
            message, errors=[FieldError("/dataset", "ambiguous-dataset-name", message)]
        )


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


class ManifestMissing(Conflict):
    """The version is of an earlier release, and its manifest has not been made yet."""

    slug, title = "manifest-missing", "The manifest is not made yet"

    def __init__(self, version_id: str) -> None:
        super().__init__(
            f"{version_id} was verified by an earlier release; a server makes the list of its files"
            " in the background. Try again in a few minutes.",
            extra={"version": version_id},
        )


class UploadRemoved(Gone):
    """The uploaded archive of a version is gone: it is kept for some days after its last use."""

    slug, title = "upload-removed", "The uploaded archive was removed"

    def __init__(self, version_id: str) -> None:
        super().__init__(
            f"The archive of {version_id} was not used for a while and was removed; "
            "upload it again with these options.",
            extra={"version": version_id},
        )


class NoEarlierVersion(NotFound):
    """There is no ready version before the one that is compared."""

    slug, title = "no-earlier-version", "There is no earlier version"

    def __init__(self, version_id: str) -> None:
        super().__init__(f"No ready version of the dataset is older than {version_id}.")


class UnknownFiles(Invalid):
    """A request removes files that the version does not have."""

    slug, title = "unknown-files", "The version has no such files"

    def __init__(self, version_id: str, paths: Sequence[str]) -> None:
        named = ", ".join(paths[:SHOWN_FILES])
        message = f"{version_id} has no files {named}{', …' if len(paths) > SHOWN_FILES else ''}."
        super().__init__(message, errors=[FieldError("/removed", self.slug, message)])


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


class UnknownClass(Invalid):
    """A request names a class that the version does not have."""

    slug, title = "unknown-class", "Unknown class"

    def __init__(self, classes: Sequence[str]) -> None:
        names = ", ".join(classes[:MAX_NAMES_SHOWN])
        more = ", …" if len(classes) > MAX_NAMES_SHOWN else ""
        message = f"The version has no such class. It has: {names}{more}."
        super().__init__(message, errors=[FieldError("query/class", "unknown-class", message)])


class PreviewNotFound(NotFound):
    """The version has no preview of this number."""

    slug, title = "preview-not-found", "No such preview"

    def __init__(self) -> None:
        super().__init__("The version has no preview of this number; its samples list those.")


class DatasetBytesMissing(Gone):
    """The version's row exists, but a file of it is missing in the artifact store."""

    slug, title = "dataset-bytes-missing", "The bytes of this dataset are missing"

    def __init__(self) -> None:
        super().__init__(
            "A file of this version is missing in the artifact store; ask the operator."
        )


class NotAnArchive(UnsupportedMediaType):
    """The Content-Type of an upload is not that of a zip or tar."""

    def __init__(self) -> None:
        super().__init__(
            "Send the archive itself as the body, as application/zip or application/x-tar; "
            "for a finished upload, use POST /v1/datasets/from-upload."
        )
