"""Store an uploaded archive as the next version of its dataset, unless a valid version has it."""

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
class Submission:
    """The destination of an uploaded archive; without `task`, the files determine the task."""

    project_id: str
    owner_id: str
    name: str
    task: str | None


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
        versions = valid_versions(unit.session, dataset.id)
        task = next((version.task or version.declared_task for version in versions), None)
        if submission.task and task and submission.task != task:
            raise DatasetTaskMismatch(submission.name, task, submission.task)
        for version in versions:
            if version.archive_sha256 == stored.sha256:
                return SubmittedVersion(ListedDataset(dataset, version), created=False)
        new = NewVersion(stored.sha256, stored.size_bytes, declared_task=submission.task or task)
        version = insert_version(unit.session, dataset.id, new)
        unit.after_commit(context.wake_verifier)
    return SubmittedVersion(ListedDataset(dataset, version), created=True)
