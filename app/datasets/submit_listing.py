"""Add a version from a client's list of files, most of which the project has already."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from app.core.context import Context
from app.core.database import Database
from app.core.errors import Conflict
from app.datasets.stored.inputs import Recipe
from app.datasets.stored.keep import in_batches
from app.datasets.stored.listing import ListedFile, check_listing, read_listing
from app.datasets.stored.repository import DIGESTS_AT_ONCE, files_in_project
from app.datasets.submit_version import (
    Submission,
    SubmittedVersion,
    VersionOrigin,
    insert_submission,
    known_upload,
    lock_named,
)
from app.uploads.chunks import NamedUpload, stored_upload

SHOWN: Final = 5


class FilesMissing(Conflict):
    """The project lacks files of a list, and no archive with them was sent."""

    slug, title = "files-missing", "The project lacks files of the list"

    def __init__(self, missing: list[ListedFile]) -> None:
        named = ", ".join(file.path for file in missing[:SHOWN])
        super().__init__(
            f"The project lacks {named}{', …' if len(missing) > SHOWN else ''}; send them in an"
            " archive under these paths, and name the upload. POST /v1/datasets/missing-files lists"
            " all."
        )


def missing_files(database: Database, project_id: str, listing: Path) -> Iterator[ListedFile]:
    """Yield the files of a list that no pack of the project holds, in the order of the list.

    Raises:
        ListingInvalid: a line is damaged.
    """
    for files in in_batches(read_listing(listing), DIGESTS_AT_ONCE):
        with database.read() as unit:
            stored = files_in_project(unit.session, project_id, [file.sha256 for file in files])
        yield from (file for file in files if file.sha256 not in stored)


def submit_listing(
    context: Context, submission: Submission, listing: Path, upload: NamedUpload | None
) -> SubmittedVersion:
    """Insert a version with the files of a list, or return the valid version made from it.

    `upload` is an archive with the files that the project lacks, under their paths in the list.

    Raises:
        ListingInvalid: a line is damaged, or two files have the same path.
        FilesMissing: the project lacks files, and there is no upload.
        UnknownUpload, UploadExpired, UploadIncomplete: the upload cannot be used.
        DatasetTaskMismatch: a ready or validating version of the dataset has another task.
        InsufficientStorage: the artifact store is full.
    """
    check_listing(listing)
    if upload is None:
        lacking = missing_files(context.database, submission.project_id, listing)
        missing = list(islice(lacking, SHOWN + 1))
        if missing:
            raise FilesMissing(missing)
    with known_upload():
        archive = None if upload is None else stored_upload(context, upload)
        stored = context.store.put_file(listing)
        recipe = Recipe(listing=stored.sha256, archive=None if archive is None else archive.sha256)
        with context.database.write() as unit:
            if upload is not None:
                lock_named(unit.session, upload)
            origin = VersionOrigin.of_recipe(recipe, archive)
            return insert_submission(context, unit, submission, origin)
