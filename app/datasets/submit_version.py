"""Add the next version of a dataset: from an uploaded archive, or from another version."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sqlalchemy.orm import Session

from app.accounts.authentication import Principal
from app.accounts.tables import MemberRole
from app.audit.record import acting, record_change
from app.core.context import Context
from app.core.database import UnitOfWork
from app.core.storage import StoredObject
from app.datasets.errors import (
    DatasetNotFound,
    DatasetNotReady,
    DatasetTaskMismatch,
    ManifestMissing,
    UnknownFiles,
    UploadRemoved,
)
from app.datasets.reports.report import ImportOptions
from app.datasets.repository import (
    ListedDataset,
    NewVersion,
    insert_version,
    lock_or_insert_dataset,
    restore_upload,
    task_of_valid_versions,
    use_upload,
    valid_versions_of,
    visible_dataset,
)
from app.datasets.stored.inputs import Recipe
from app.datasets.stored.reading import stored_manifest
from app.datasets.tables import Dataset, DatasetVersion, VersionState
from app.quotas.repository import Consumer, Quota, check_room, check_within
from app.uploads.chunks import NamedUpload, stored_upload
from app.uploads.errors import UnknownUpload, UploadNotFound
from app.uploads.repository import lock_upload
from app.uploads.tables import Upload


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
        origin = VersionOrigin(stored.sha256, stored.size_bytes)
        return insert_submission(context, unit, submission, origin)


def submit_upload(
    context: Context,
    named: NamedUpload,
    *,
    name: str,
    project_id: str | None,
    options: ImportOptions,
) -> SubmittedVersion:
    """Insert the version of a finished upload without copying its bytes; see `submit_version`.

    Args:
        context: of the server.
        named: the upload, whose owner submits it.
        name: of the dataset.
        project_id: project of the dataset, in which the caller may write. Default: that of the
            upload.
        options: how the archive is read.

    Raises:
        UnknownUpload: the caller has no upload with this id.
        UploadExpired: it has expired.
        UploadIncomplete: bytes of it are missing.
        InsufficientRole, ProjectArchived: the caller may not write in the upload's project.
        DatasetTaskMismatch: a ready or validating version of the dataset has another task.
    """
    with known_upload():
        stored = stored_upload(context, named)
        with context.database.write() as unit:
            upload = lock_named(unit.session, named)
            if project_id is None:
                named.check_writable(upload)
            submission = Submission(
                project_id=project_id or upload.project_id,
                owner_id=named.owner_id,
                name=name,
                options=options,
            )
            origin = VersionOrigin(stored.sha256, stored.size_bytes)
            return insert_submission(context, unit, submission, origin)


def check_upload_quotas(context: Context, submission: Submission, size_bytes: int) -> None:
    """Check, before the bytes of an archive arrive, that the quotas leave room for them.

    Raises:
        QuotaExceeded: the project or the user has stored or verified too much.
    """
    consumer = Consumer(submission.project_id, submission.owner_id)
    with context.database.read() as unit:
        check_room(unit.session, consumer, Quota.STORED_BYTES, more=max(size_bytes, 1))
        check_room(unit.session, consumer, Quota.VERIFIER_SECONDS)


@contextmanager
def known_upload() -> Iterator[None]:
    """Raise an upload that the caller does not have as an error of the request's field."""
    try:
        yield
    except UploadNotFound:
        raise UnknownUpload from None


def lock_named(session: Session, named: NamedUpload) -> Upload:
    """Lock an upload: its row references the bytes until a version references them too."""
    return lock_upload(session, named.owner_id, named.project_ids, named.upload_id)


@dataclass(frozen=True)
class FileChanges:
    """What is different in the files of a new version: an upload with more, and removed paths."""

    upload: NamedUpload | None = None
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return whether anything is different."""
        return self.upload is not None or bool(self.removed)


@dataclass(frozen=True)
class VersionOrigin:
    """What a version is made from: an archive, or files that a recipe names."""

    sha256: str
    size_bytes: int
    recipe: Mapping[str, Any] | None = None
    listing: str | None = None

    @classmethod
    def of_recipe(cls, recipe: Recipe, archive: StoredObject | None) -> Self:
        """Return what a recipe names."""
        content = recipe.model_dump(mode="json", exclude_defaults=True)
        text = json.dumps(content, sort_keys=True).encode()
        if archive is not None:
            return cls(archive.sha256, archive.size_bytes, content, recipe.listing)
        return cls(hashlib.sha256(text).hexdigest(), 0, content, recipe.listing)

    @classmethod
    def of_version(cls, version: DatasetVersion) -> Self:
        """Return what a version was made from."""
        return cls(
            version.archive_sha256, version.archive_bytes, version.recipe, version.listing_sha256
        )

    def is_that_of(self, version: DatasetVersion) -> bool:
        """Return whether a version was made from the same files.

        Of a ready version, the list tells all files: it does not matter which of them an archive
        brought.
        """
        if self.listing is not None and version.state is VersionState.READY:
            return version.listing_sha256 == self.listing
        return self.of_version(version) == self


def derive_version(
    context: Context,
    principal: Principal,
    named: tuple[str, str | None],
    options: ImportOptions,
    changes: FileChanges,
) -> SubmittedVersion:
    """Insert a version that is made from another one: with other options, or with other files.

    `named` are the dataset, or one of its versions, and the version that it is made from; without
    it, the newest version. Without changes its archive is read again, or its verified files if the
    archive is gone. Returns the valid version
    that was made in the same way, if there is one.

    Raises:
        DatasetNotFound: the caller's projects have no dataset or version with this id.
        InsufficientRole, ProjectArchived: the caller may not write in its project.
        DatasetNotReady: files are changed, and the version is not ready.
        ManifestMissing: files are changed, and the version has no manifest yet.
        UnknownUpload, UploadExpired, UploadIncomplete: the upload cannot be used.
        UnknownFiles: `changes` removes files that the version does not have.
        DatasetTaskMismatch: a ready or validating version of the dataset has another task.
        UploadRemoved: the bytes of the archive are no longer kept.
    """
    reference, version_id = named
    with context.database.read() as unit:
        source = visible_dataset(unit.session, principal.project_ids, version_id or reference)
    if reference not in {source.dataset.id, source.version.id}:
        raise DatasetNotFound
    principal.require_role(source.dataset.project_id, MemberRole.MEMBER)
    with known_upload():
        made_from = _changed(context, source.version, changes) if changes else None
    with known_upload(), context.database.write() as unit:
        if changes.upload is not None:
            lock_named(unit.session, changes.upload)
        dataset = lock_or_insert_dataset(
            unit.session,
            source.dataset.project_id,
            source.dataset.name,
            owner_id=source.dataset.owner_id,
        )
        if dataset.id != source.dataset.id:  # deleted meanwhile, and made again by the lock
            raise DatasetNotFound
        if made_from is None:
            made_from = _again(unit.session, source.version)
            options = _still_to_apply(options, source.version, made_from)
        submitted = _add_version(unit.session, dataset, options, made_from)
        if submitted.created:
            unit.after_commit(context.wake_verifier)
    return submitted


def _again(session: Session, version: DatasetVersion) -> VersionOrigin:
    """Return what a version was made from, or its verified files if that is gone.

    Raises:
        UploadRemoved: what was sent is no longer kept, and the version is not ready.
    """
    recipe = Recipe.model_validate(version.recipe or {"archive": version.archive_sha256})
    is_sent = recipe.archive is not None or recipe.listing is not None
    if not is_sent or use_upload(session, version.id):
        return VersionOrigin.of_version(version)
    if version.state is not VersionState.READY or version.manifest_bytes is None:
        raise UploadRemoved(version.id)
    return VersionOrigin.of_recipe(Recipe(parent=version.id), None)


def _still_to_apply(
    options: ImportOptions, source: DatasetVersion, origin: VersionOrigin
) -> ImportOptions:
    """Leave out the options with which the verified files of a version were made already."""
    if (origin.recipe or {}).get("parent") != source.id:
        return options
    applied = source.options or {}
    asked = options.model_dump(mode="json", exclude_unset=True)
    kept = {name: value for name, value in asked.items() if applied.get(name) != value}
    return ImportOptions.model_validate(kept)


def _changed(context: Context, parent: DatasetVersion, changes: FileChanges) -> VersionOrigin:
    if parent.state is not VersionState.READY:
        raise DatasetNotReady(parent.id, parent.state)
    if parent.manifest_bytes is None:
        raise ManifestMissing(parent.id)
    _check_removed(context, parent, changes.removed)
    archive = None if changes.upload is None else stored_upload(context, changes.upload)
    recipe = Recipe(
        parent=parent.id,
        removed=sorted(changes.removed),
        archive=None if archive is None else archive.sha256,
    )
    return VersionOrigin.of_recipe(recipe, archive)


def _check_removed(context: Context, parent: DatasetVersion, removed: Collection[str]) -> None:
    if not removed:
        return
    missing = set(removed)
    for file in stored_manifest(context.store, parent):
        missing.discard(file.path)
        if not missing:
            return
    raise UnknownFiles(parent.id, sorted(missing))


def insert_submission(
    context: Context, unit: UnitOfWork, submission: Submission, origin: VersionOrigin
) -> SubmittedVersion:
    """Insert the next version of the dataset that a submission names, and create this if missing.

    Raises:
        DatasetTaskMismatch: a ready or validating version of the dataset has another task.
    """
    dataset = lock_or_insert_dataset(
        unit.session, submission.project_id, submission.name, owner_id=submission.owner_id
    )
    submitted = _add_version(unit.session, dataset, submission.options, origin)
    if submitted.created:
        unit.after_commit(context.wake_verifier)
    return submitted


def _add_version(
    session: Session, dataset: Dataset, options: ImportOptions, source: VersionOrigin
) -> SubmittedVersion:
    """Insert the next version, unless a valid version was made in this way.

    All bytes that it is made from are in the store.

    Raises:
        DatasetTaskMismatch: a ready or validating version of the dataset has another task.
        QuotaExceeded: the project or the dataset's owner has stored or verified too much.
    """
    task = task_of_valid_versions(session, dataset.id)
    if options.task and task and options.task != task:
        raise DatasetTaskMismatch(dataset.name, task, options.task)
    stored_options = options.model_dump(mode="json", exclude={"task"}, exclude_defaults=True)
    for version in valid_versions_of(session, dataset.id, source.sha256, source.listing):
        of_version = version.task or version.declared_task
        # As text: the order of colours is that of the classes.
        is_alike = json.dumps(version.options or {}) == json.dumps(stored_options)
        is_alike = is_alike and source.is_that_of(version)
        if is_alike and options.task in {None, of_version}:
            restore_upload(session, version.id)
            return SubmittedVersion(ListedDataset(dataset, version), created=False)
    consumer = Consumer(dataset.project_id, dataset.owner_id)
    check_room(session, consumer, Quota.VERIFIER_SECONDS)
    new = NewVersion(
        source.sha256,
        source.size_bytes,
        options.task or task,
        stored_options,
        recipe=source.recipe,
        listing_sha256=source.listing,
    )
    inserted = insert_version(session, dataset.id, new)
    check_within(session, consumer, Quota.STORED_BYTES)
    record_change(
        session,
        acting.get(),
        "dataset_version.created",
        target=inserted.id,
        project_id=dataset.project_id,
        details={"dataset": dataset.name, "number": inserted.number},
    )
    return SubmittedVersion(ListedDataset(dataset, inserted), created=True)
