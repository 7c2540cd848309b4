"""Queries and writes of datasets and their versions, for requests and for the verifier.

Queries for a caller are limited to the caller's projects: `visible_x` raises `DatasetNotFound`,
`x_of` returns None.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, defer

from app.core.database import database_now, upsert
from app.core.ids import new_id
from app.core.words import words_of
from app.datasets.errors import DatasetInUse, DatasetNotFound, DatasetNotReady, UnknownDataset
from app.datasets.named import REFERENCE, id_of
from app.datasets.tables import Dataset, DatasetVersion, DatasetWord, VersionState
from app.events.repository import append_version_event, replace_dataset_events

VERSION_PREFIX = "dsv_"


@dataclass(frozen=True)
class ListedDataset:
    """A dataset and one of its versions: the newest, or the requested one."""

    dataset: Dataset
    version: DatasetVersion


@dataclass(frozen=True)
class NewVersion:
    """What a version is made from, with all bytes in the artifact store, and how it is read.

    Without a `recipe` it is made from its archive alone. `archive_sha256` is the digest of the
    recipe if there is no archive.
    """

    archive_sha256: str
    archive_bytes: int
    declared_task: str | None
    options: Mapping[str, Any]
    recipe: Mapping[str, Any] | None = None
    listing_sha256: str | None = None


WITHOUT_CLASSES: Final = tuple(
    defer(column, raiseload=True)
    for column in (DatasetVersion.classes, DatasetVersion.report, DatasetVersion.training_facts)
)
"""Leaves out the columns whose size grows with the number of classes or images."""
LISTED: Final = (*WITHOUT_CLASSES, defer(DatasetVersion.recipe, raiseload=True))
"""What lists leave out."""

# Built once: every submit runs these, and building a statement takes longer than running it.
_NEWEST = (
    select(Dataset, DatasetVersion)
    .where(
        Dataset.project_id.in_(bindparam("project_ids", expanding=True)),
        DatasetVersion.dataset_id == Dataset.id,
    )
    .order_by(DatasetVersion.number.desc())
    .limit(1)
)
_IS_READY = DatasetVersion.state == VersionState.READY
_BY_VERSION = _NEWEST.where(DatasetVersion.id == bindparam("reference"))
_BY_DATASET = _NEWEST.where(Dataset.id == bindparam("reference"))
_READY_BY_VERSION, _READY_BY_DATASET = _BY_VERSION.where(_IS_READY), _BY_DATASET.where(_IS_READY)


def resolve_version(
    session: Session, project_ids: Collection[str], reference: str
) -> tuple[Dataset, DatasetVersion]:
    """Return the version to train on: a dataset's newest ready version, or the named version.

    Args:
        session: to read from.
        project_ids: the projects of the caller.
        reference: an id (`ds_…`, `dsv_…`), a name, or a name with a number (`bccd@3`).

    Raises:
        UnknownDataset: the caller's projects have no such dataset or version.
        AmbiguousDatasetName: several of the caller's projects have a dataset with the name.
        DatasetNotReady: there is no ready version, or the named version is not ready.
    """
    named, reference = reference, id_of(session, project_ids, reference)
    parameters = {"project_ids": list(project_ids), "reference": reference}
    is_version = reference.startswith(VERSION_PREFIX)
    ready = _READY_BY_VERSION if is_version else _READY_BY_DATASET
    for statement in (ready, _BY_VERSION if is_version else _BY_DATASET):
        row = session.execute(statement, parameters).first()
        if row is not None and row.DatasetVersion.state is VersionState.READY:
            return row.Dataset, row.DatasetVersion
    if row is None:
        raise UnknownDataset(None)
    raise DatasetNotReady(named, row.DatasetVersion.state)


def training_labels(version: DatasetVersion) -> dict[str, int]:
    """Count the labels of each class in the train split: objects, or masks that show the class."""
    report: Any = version.report or {}
    counts: dict[str, int] = report.get("class_counts", {}).get("train", {})
    return counts


def class_names(session: Session, version_id: str) -> Sequence[str]:
    """Return the class names of a version, in class order."""
    statement = select(DatasetVersion.classes).where(DatasetVersion.id == version_id)
    return session.scalars(statement).one() or ()


def visible_dataset(
    session: Session, project_ids: Collection[str], reference: str
) -> ListedDataset:
    """Return a dataset with its newest version (`ds_…`), or with the named version (`dsv_…`).

    Raises:
        DatasetNotFound: the caller's projects have no dataset or version with this id.
    """
    if REFERENCE.match(reference) is None:
        raise DatasetNotFound
    return _visible(session, select(Dataset, DatasetVersion), project_ids, reference)


def visible_row(session: Session, project_ids: Collection[str], reference: str) -> ListedDataset:
    """Return the same as `visible_dataset`, without the columns that lists leave out."""
    if REFERENCE.match(reference) is None:
        raise DatasetNotFound
    narrow = select(Dataset, DatasetVersion).options(*LISTED)
    return _visible(session, narrow, project_ids, reference)


def _visible(
    session: Session,
    columns: Select[Dataset, DatasetVersion],
    project_ids: Collection[str],
    reference: str,
) -> ListedDataset:
    statement = columns.where(*_named(project_ids, reference))
    row = session.execute(statement.order_by(DatasetVersion.number.desc()).limit(1)).first()
    if row is None:
        raise DatasetNotFound
    return ListedDataset(row.Dataset, row.DatasetVersion)


def lock_or_insert_dataset(
    session: Session, project_id: str, name: str, *, owner_id: str
) -> Dataset:
    """Return the project's dataset of this name with its row locked; create it if missing."""
    row = {
        "id": new_id("ds"),
        "project_id": project_id,
        "owner_id": owner_id,
        "name": name,
        "created_at": database_now(),
    }
    # The update changes nothing, but takes the lock in the same statement. With an insert that
    # ignores an existing row and a select, another transaction could delete the row in between.
    statement = upsert(
        session, Dataset, row, key=("project_id", "name"), update=lambda new: {"name": new.name}
    )
    dataset = session.scalars(statement.returning(Dataset)).one()
    rows = [
        {"dataset_id": dataset.id, "project_id": project_id, "word": word}
        for word in sorted(words_of(name))
    ]
    if rows:
        session.execute(upsert(session, DatasetWord, rows, key=("dataset_id", "word")))
    return dataset


def task_of_valid_versions(session: Session, dataset_id: str) -> str | None:
    """Return the task of the newest ready or validating version that has or declares one."""
    task = func.coalesce(DatasetVersion.task, DatasetVersion.declared_task)
    statement = select(task).where(*_valid(dataset_id), task.is_not(None))
    return session.scalars(statement.order_by(DatasetVersion.number.desc()).limit(1)).first()


def valid_versions_of(
    session: Session, dataset_id: str, archive_sha256: str, listing_sha256: str | None
) -> Sequence[DatasetVersion]:
    """Return the ready and validating versions of one archive, recipe or list, newest first."""
    narrow = select(DatasetVersion).options(*WITHOUT_CLASSES)
    made_of = DatasetVersion.archive_sha256 == archive_sha256
    if listing_sha256 is not None:
        made_of |= DatasetVersion.listing_sha256 == listing_sha256
    statement = narrow.where(*_valid(dataset_id), made_of)
    return session.scalars(statement.order_by(DatasetVersion.number.desc())).all()


def _valid(dataset_id: str) -> tuple[ColumnElement[bool], ...]:
    return (DatasetVersion.dataset_id == dataset_id, DatasetVersion.state != VersionState.INVALID)


def version_page(
    session: Session,
    dataset_id: str,
    *,
    before: int | None,
    limit: int,
    state: VersionState | None = None,
) -> Sequence[DatasetVersion]:
    """Return up to `limit` versions of a visible dataset with a lower number, newest first."""
    statement = (
        select(DatasetVersion).options(*LISTED).where(DatasetVersion.dataset_id == dataset_id)
    )
    if before is not None:
        statement = statement.where(DatasetVersion.number < before)
    if state is not None:
        statement = statement.where(DatasetVersion.state == state)
    return session.scalars(statement.order_by(DatasetVersion.number.desc()).limit(limit)).all()


def insert_version(session: Session, dataset_id: str, new: NewVersion) -> DatasetVersion:
    """Insert the next version of a locked dataset; it waits for verification."""
    number = select(func.coalesce(func.max(DatasetVersion.number), 0) + 1).where(
        DatasetVersion.dataset_id == dataset_id
    )
    statement = (
        insert(DatasetVersion)
        .values(
            id=new_id("dsv"),
            dataset_id=dataset_id,
            number=number.scalar_subquery(),
            state=VersionState.VALIDATING,
            declared_task=new.declared_task,
            options=new.options,
            archive_sha256=new.archive_sha256,
            archive_bytes=new.archive_bytes,
            recipe=new.recipe,
            listing_sha256=new.listing_sha256,
            upload_used_at=database_now(),
            attempt=0,
            created_at=database_now(),
        )
        .returning(DatasetVersion)
    )
    version = session.scalars(statement).one()
    append_version_event(session, version.id, VersionState.VALIDATING)
    return version


def use_upload(session: Session, version_id: str) -> bool:
    """Note that the uploaded archive of a version is used now, which keeps its bytes.

    Returns False if this version no longer references the bytes. Until the transaction ends, no
    collector ends the reference.
    """
    statement = (
        update(DatasetVersion)
        .where(DatasetVersion.id == version_id, DatasetVersion.upload_removed_at.is_(None))
        .values(upload_used_at=database_now())
        .returning(DatasetVersion.id)
    )
    return session.scalars(statement).first() is not None


def restore_upload(session: Session, version_id: str) -> None:
    """Let a version reference its uploaded archive, whose bytes are in the store now."""
    statement = update(DatasetVersion).where(DatasetVersion.id == version_id)
    kept = {"upload_used_at": database_now(), "upload_removed_at": None}
    session.execute(statement.values(kept))


def lock_visible_dataset(
    session: Session, project_ids: Collection[str], dataset_id: str
) -> Dataset:
    """Return a dataset with its row locked.

    Raises:
        DatasetNotFound: the caller's projects have no dataset with this id.
    """
    if REFERENCE.match(dataset_id) is None:
        raise DatasetNotFound
    statement = select(Dataset).where(Dataset.project_id.in_(project_ids), Dataset.id == dataset_id)
    dataset = session.scalars(statement.with_for_update()).first()
    if dataset is None:
        raise DatasetNotFound
    return dataset


def delete_dataset(session: Session, dataset_id: str) -> None:
    """Delete a locked dataset with its versions; the garbage collector removes their bytes later.

    Raises:
        DatasetInUse: a job refers to one of its versions.
    """
    replace_dataset_events(session, dataset_id)
    try:
        session.execute(delete(DatasetVersion).where(DatasetVersion.dataset_id == dataset_id))
        session.execute(delete(Dataset).where(Dataset.id == dataset_id))
    except IntegrityError:
        # A delete can only violate foreign keys, and of other tables only jobs refer to these rows.
        raise DatasetInUse from None


def version_without_facts(
    session: Session, *, except_for: Collection[str]
) -> DatasetVersion | None:
    """Return the newest ready version without training facts or manifest, if there is one."""
    statement = select(DatasetVersion).where(
        DatasetVersion.state == VersionState.READY,
        or_(DatasetVersion.training_facts.is_(None), DatasetVersion.manifest_bytes.is_(None)),
        DatasetVersion.id.not_in(except_for),
    )
    return session.scalars(statement.order_by(DatasetVersion.id.desc()).limit(1)).first()


def record_facts(session: Session, version_id: str, facts: Mapping[str, object]) -> None:
    """Store the training facts of a version, unless another server has stored them."""
    statement = update(DatasetVersion).where(
        DatasetVersion.id == version_id, DatasetVersion.training_facts.is_(None)
    )
    session.execute(statement.values(training_facts=facts))


def ready_task(session: Session, dataset_id: str) -> str | None:
    """Return the task of the dataset's ready versions, or None if no version is ready."""
    statement = select(DatasetVersion.task).where(
        DatasetVersion.dataset_id == dataset_id, DatasetVersion.state == VersionState.READY
    )
    return session.scalars(statement.limit(1)).first()


def _named(project_ids: Collection[str], reference: str) -> tuple[ColumnElement[bool], ...]:
    column = DatasetVersion.id if reference.startswith(VERSION_PREFIX) else Dataset.id
    return (
        Dataset.project_id.in_(project_ids),
        DatasetVersion.dataset_id == Dataset.id,
        column == reference,
    )
