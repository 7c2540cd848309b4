"""Add the next version of a dataset: from an uploaded archive, or from stored bytes."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from app.core.context import Context
from app.datasets.archives.report import ImportOptions
from app.datasets.errors import DatasetNotFound, DatasetTaskMismatch
from app.datasets.repository import (
    ListedDataset,
    NewVersion,
    insert_version,
    lock_or_insert_dataset,
    valid_versions,
    visible_dataset,
)
from app.datasets.tables import Dataset


@dataclass(frozen=True)
class Submission:
    """The destination of an uploaded archive, and how it is read."""

    project_id: str
    owner_id: str
    name: str
    options: ImportOptions


@dataclass(frozen=True)
class SubmittedVersion:
    """The version with the bytes of an upload, and whether this upload created it."""

    listed: ListedDataset
    created: bool


def submit_version(context: Context, submission: Submission, archive: Path) -> SubmittedVersion:
    """Store an archive and insert its version, or return the valid version with the same bytes.

    Raises:
        DatasetTaskMismatch: a ready or validating version of the dataset has another task.
        InsufficientStorage: the artifact store is full.
    """
    stored = context.store.put_file(archive)
    with context.database.write() as unit:
        dataset = lock_or_insert_dataset(
            unit.session, submission.project_id, submission.name, owner_id=submission.owner_id
        )
        submitted = _add_version(
            unit.session, dataset, submission.options, stored.sha256, stored.size_bytes
        )
        if submitted.created:
            unit.after_commit(context.wake_verifier)
    return submitted


def read_again(
    context: Context,
    project_ids: Collection[str],
    named: tuple[str, str | None],
    options: ImportOptions,
) -> SubmittedVersion:
    """Insert a version with the stored bytes of another one, read with other options.

    `named` are the dataset, or one of its versions, and the version whose bytes are read; without
    it, they are those of the newest version. Returns the valid version with the same bytes and
    options, if there is one.

    Raises:
        DatasetNotFound: the caller's projects have no dataset or version with this id.
        DatasetTaskMismatch: a ready or validating version of the dataset has another task.
    """
    with context.database.write() as unit:
        reference, version_id = named
        source = visible_dataset(unit.session, project_ids, version_id or reference)
        if reference not in {source.dataset.id, source.version.id}:
            raise DatasetNotFound
        dataset = lock_or_insert_dataset(
            unit.session,
            source.dataset.project_id,
            source.dataset.name,
            owner_id=source.dataset.owner_id,
        )
        if dataset.id != source.dataset.id:  # deleted meanwhile, and made again by the lock
            raise DatasetNotFound
        version = source.version
        submitted = _add_version(
            unit.session, dataset, options, version.archive_sha256, version.archive_bytes
        )
        if submitted.created:
            unit.after_commit(context.wake_verifier)
    return submitted


def _add_version(
    session: Session, dataset: Dataset, options: ImportOptions, sha256: str, size_bytes: int
) -> SubmittedVersion:
    """Insert the next version, unless a valid version was read from these bytes in this way."""
    versions = valid_versions(session, dataset.id)
    task = next((version.task or version.declared_task for version in versions), None)
    if options.task and task and options.task != task:
        raise DatasetTaskMismatch(dataset.name, task, options.task)
    stored_options = options.model_dump(mode="json", exclude={"task"}, exclude_defaults=True)
    for version in versions:
        of_version = version.task or version.declared_task
        is_alike = (version.options or {}) == stored_options
        if version.archive_sha256 == sha256 and is_alike and options.task in {None, of_version}:
            return SubmittedVersion(ListedDataset(dataset, version), created=False)
    new = NewVersion(sha256, size_bytes, options.task or task, stored_options)
    return SubmittedVersion(
        ListedDataset(dataset, insert_version(session, dataset.id, new)), created=True
    )
