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
class Submission:
    """Where an uploaded archive belongs; without `task` its labels decide."""

    project_id: str
    owner_id: str
    name: str
    task: str | None


@dataclass(frozen=True)
class SubmittedVersion:
    """The version that holds an upload's bytes, and whether this upload made it."""

    listed: ListedDataset
    created: bool


def submit_version(context: Context, submission: Submission, archive: Path) -> SubmittedVersion:
    """Keep an archive and make its version, or return the valid version of the same bytes.

    Raises:
        DatasetTaskMismatch: the data set is, or is becoming, one of another task.
        InsufficientStorage: the artifact store is full.
    """
    stored = context.store.put_file(archive)
    with context.database.write() as unit:
        dataset = lock_or_insert_dataset(
            unit.session, submission.project_id, submission.name, owner_id=submission.owner_id
        )
        versions = valid_versions(unit.session, dataset.id)
        task = next((each.task or each.declared_task for each in versions), None)
        if submission.task and task and submission.task != task:
            raise DatasetTaskMismatch(submission.name, task, submission.task)
        for version in versions:
            if version.archive_sha256 == stored.sha256:
                return SubmittedVersion(ListedDataset(dataset, version), created=False)
        new = NewVersion(stored.sha256, stored.size_bytes, declared_task=submission.task or task)
        version = insert_version(unit.session, dataset.id, new)
        unit.after_commit(context.wake_verifier)
    return SubmittedVersion(ListedDataset(dataset, version), created=True)
