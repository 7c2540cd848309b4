"""Data sets and their versions: reading, adding, and what a verification writes.

Every query of a caller is scoped by the caller's projects: `visible_x` raises `DatasetNotFound`,
`x_of` returns None. A verifier's writes are guarded by the version's attempt, as a worker's are by
the job's.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, bindparam, delete, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core.database import database_now, upsert
from app.core.ids import new_id
from app.core.leased_rows import LeasedRows, RowHold
from app.datasets.errors import DatasetInUse, DatasetNotFound, DatasetNotReady, UnknownDataset
from app.datasets.tables import Dataset, DatasetVersion, VersionState

VERSION_PREFIX = "dsv_"
REFERENCE = re.compile(r"(ds|dsv)_[0-9A-Z]{26}\Z")
"""What is no reference is not asked for: PostgreSQL, for one, fails on text that holds a NUL."""


@dataclass(frozen=True)
class DatasetFilter:
    """What a list is narrowed to; None means everything. `state` is the newest version's."""

    name: str | None = None
    state: VersionState | None = None


@dataclass(frozen=True)
class ListedDataset:
    """A data set and one version of it: the newest, or the one that was asked for."""

    dataset: Dataset
    version: DatasetVersion


@dataclass(frozen=True)
class NewVersion:
    """An upload whose bytes are in the artifact store."""

    archive_sha256: str
    archive_bytes: int
    declared_task: str | None


VERIFICATIONS: Final = LeasedRows(
    DatasetVersion,
    work="verification",
    id_field="version_id",
    waiting=DatasetVersion.state == VersionState.VALIDATING,
)
"""Versions that wait for their verification, whatever project they belong to."""


# Built once: every submit asks, and building a statement takes longer than running it.
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
    """Return what a job would train on: a data set's newest ready version, or a ready version.

    Raises:
        UnknownDataset: the caller has no data set or version of this id.
        DatasetNotReady: it is validating or invalid.
    """
    named = {"project_ids": list(project_ids), "reference": reference}
    is_version = reference.startswith(VERSION_PREFIX)
    ready = _READY_BY_VERSION if is_version else _READY_BY_DATASET
    for statement in (ready, _BY_VERSION if is_version else _BY_DATASET):
        row = session.execute(statement, named).first()
        if row is not None and row.DatasetVersion.state is VersionState.READY:
            return row.Dataset, row.DatasetVersion
    if row is None:
        raise UnknownDataset
    raise DatasetNotReady(reference, row.DatasetVersion.state)


def training_labels(version: DatasetVersion) -> dict[str, int]:
    """Return the labels of each class in the training split: objects, or masks that show it."""
    report: Any = version.report or {}
    counts: dict[str, int] = report.get("class_counts", {}).get("train", {})
    return counts


def class_names(session: Session, version_id: str) -> Sequence[str]:
    """Return the classes of the version that a job was made with, in their order."""
    statement = select(DatasetVersion.classes).where(DatasetVersion.id == version_id)
    return session.scalars(statement).one() or ()


def visible_dataset(
    session: Session, project_ids: Collection[str], reference: str
) -> ListedDataset:
    """Return a data set with its newest version (`ds_…`), or with the named one (`dsv_…`).

    Raises:
        DatasetNotFound: the caller has no data set or version of this id.
    """
    if REFERENCE.match(reference) is None:
        raise DatasetNotFound
    statement = select(Dataset, DatasetVersion).where(*_named(project_ids, reference))
    row = session.execute(statement.order_by(DatasetVersion.number.desc()).limit(1)).first()
    if row is None:
        raise DatasetNotFound
    return ListedDataset(row.Dataset, row.DatasetVersion)


def dataset_page(
    session: Session,
    project_ids: Collection[str],
    narrowed: DatasetFilter,
    *,
    after: str | None,
    limit: int,
) -> list[ListedDataset]:
    """Return up to `limit` data sets older than the id `after`, newest first."""
    newest = (
        select(func.max(DatasetVersion.number))
        .where(DatasetVersion.dataset_id == Dataset.id)
        .correlate(Dataset)
        .scalar_subquery()
    )
    statement = select(Dataset, DatasetVersion).where(
        Dataset.project_id.in_(project_ids),
        DatasetVersion.dataset_id == Dataset.id,
        DatasetVersion.number == newest,
    )
    if narrowed.name is not None:
        statement = statement.where(Dataset.name == narrowed.name)
    if narrowed.state is not None:
        statement = statement.where(DatasetVersion.state == narrowed.state)
    if after is not None:
        statement = statement.where(Dataset.id < after)
    rows = session.execute(statement.order_by(Dataset.id.desc()).limit(limit))
    return [ListedDataset(row.Dataset, row.DatasetVersion) for row in rows]


def lock_or_insert_dataset(
    session: Session, project_id: str, name: str, *, owner_id: str
) -> Dataset:
    """Return the project's data set of that name, made where it is missing, its row locked."""
    row = {
        "id": new_id("ds"),
        "project_id": project_id,
        "owner_id": owner_id,
        "name": name,
        "created_at": database_now(),
    }
    # An update that changes nothing takes the lock in the same statement: between an insert that
    # found the row and a select, another transaction could delete it.
    statement = upsert(
        session, Dataset, row, key=("project_id", "name"), update=lambda new: {"name": new.name}
    )
    return session.scalars(statement.returning(Dataset)).one()


def valid_versions(session: Session, dataset_id: str) -> Sequence[DatasetVersion]:
    """Return a visible data set's versions that are ready or may become so, newest first."""
    statement = select(DatasetVersion).where(
        DatasetVersion.dataset_id == dataset_id, DatasetVersion.state != VersionState.INVALID
    )
    return session.scalars(statement.order_by(DatasetVersion.number.desc())).all()


def insert_version(session: Session, dataset_id: str, new: NewVersion) -> DatasetVersion:
    """Add the next version of a locked data set; its verification is due."""
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
            archive_sha256=new.archive_sha256,
            archive_bytes=new.archive_bytes,
            attempt=0,
            created_at=database_now(),
        )
        .returning(DatasetVersion)
    )
    return session.scalars(statement).one()


def delete_dataset(session: Session, project_ids: Collection[str], dataset_id: str) -> None:
    """Remove a data set with all its versions; their bytes are left to the garbage collection.

    Raises:
        DatasetNotFound: the caller has no data set of this id.
        DatasetInUse: a job was made with it.
    """
    if REFERENCE.match(dataset_id) is None:
        raise DatasetNotFound
    statement = select(Dataset.id).where(
        Dataset.project_id.in_(project_ids), Dataset.id == dataset_id
    )
    if session.scalars(statement.with_for_update()).first() is None:
        raise DatasetNotFound
    try:
        session.execute(delete(DatasetVersion).where(DatasetVersion.dataset_id == dataset_id))
        session.execute(delete(Dataset).where(Dataset.id == dataset_id))
    except IntegrityError:
        # A delete can break foreign keys only, and only jobs refer to these rows from outside.
        raise DatasetInUse from None


def awaits_verification(session: Session) -> bool:
    """Whether a verifier could claim a version now, of any project."""
    statement = select(DatasetVersion.id).where(*VERIFICATIONS.claimable())
    return session.scalars(statement.limit(1)).first() is not None


def finish_verification(session: Session, hold: RowHold, values: Mapping[str, object]) -> bool:
    """Write what the verification found and end it; False: the hold is not valid any more.

    `values` are columns of the version: `state` (ready or invalid), `report` and what goes with it.
    """
    return VERIFICATIONS.finish(session, hold, _verified(values))


def record_crash(session: Session, hold: RowHold, *, verdict: Mapping[str, object]) -> int | None:
    """Give a version back at once, its verification broken off; the third time end it.

    `verdict` holds the columns for that, as in `finish_verification`. Returns the crashes so far;
    None: the hold is not valid any more.
    """
    return VERIFICATIONS.record_crash(session, hold, last=_verified(verdict))


def ready_task(session: Session, dataset_id: str) -> str | None:
    """Return the task that the data set's ready versions are labelled for."""
    statement = select(DatasetVersion.task).where(
        DatasetVersion.dataset_id == dataset_id, DatasetVersion.state == VersionState.READY
    )
    return session.scalars(statement.limit(1)).first()


def lock_dataset_of(session: Session, hold: RowHold) -> Dataset | None:
    """Return the data set of a held version, its row locked against other versions' ends."""
    statement = (
        select(Dataset)
        .join(DatasetVersion, DatasetVersion.dataset_id == Dataset.id)
        .where(*VERIFICATIONS.held_by(hold))
    )
    return session.scalars(statement.with_for_update(of=Dataset)).first()


def _named(project_ids: Collection[str], reference: str) -> tuple[ColumnElement[bool], ...]:
    column = DatasetVersion.id if reference.startswith(VERSION_PREFIX) else Dataset.id
    return (
        Dataset.project_id.in_(project_ids),
        DatasetVersion.dataset_id == Dataset.id,
        column == reference,
    )


def _verified(values: Mapping[str, object]) -> dict[str, object]:
    return {**values, "verified_at": database_now()}
