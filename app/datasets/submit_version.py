"""Submitting a version: an uploaded archive becomes the next version of its data set, once."""

from dataclasses import dataclass
from pathlib import Path

from app.core.context import Context
from app.datasets.errors import DatasetTaskMismatch
from app.datasets.repository import (
    ListedDataset,
    NewVersion,
    insert_version,
    lock_or_insert_dataset,
    valid_versions,
)


@dataclass(frozen=True)
class Upload:
    """What an archive is uploaded as; `task` None: its labels say it."""

    project_id: str
    owner_id: str
    name: str
    task: str | None


@dataclass(frozen=True)
class SubmittedVersion:
    """The version that holds an upload's bytes, and whether this upload made it."""

    listed: ListedDataset
    created: bool


def submit_version(context: Context, upload: Upload, archive: Path) -> SubmittedVersion:
    """Keep an archive and make its version, or return the valid version of the same bytes.

    Raises:
        DatasetTaskMismatch: the data set is, or is becoming, one of another task.
        InsufficientStorage: the artifact store is full.
    """
    stored = context.store.put_file(archive)
    with context.database.write() as unit:
        dataset = lock_or_insert_dataset(
            unit.session, upload.project_id, upload.name, owner_id=upload.owner_id
        )
        versions = valid_versions(unit.session, dataset.id)
        task = next((each.task or each.declared_task for each in versions), None)
        if upload.task and task and upload.task != task:
            raise DatasetTaskMismatch(upload.name, task, upload.task)
        for version in versions:
            if version.archive_sha256 == stored.sha256:
                return SubmittedVersion(ListedDataset(dataset, version), created=False)
        new = NewVersion(stored.sha256, stored.size_bytes, declared_task=upload.task or task)
        version = insert_version(unit.session, dataset.id, new)
        unit.after_commit(context.wake_verifier)
    return SubmittedVersion(ListedDataset(dataset, version), created=True)
