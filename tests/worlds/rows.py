"""The world `rows`: rows with good defaults, for tests that start from an existing job."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from app.accounts.authentication import Principal
from app.accounts.keys import ALL_SCOPES
from app.accounts.repository import ProjectRole, insert_user_with_project
from app.accounts.tables import MemberRole, Membership
from app.artifacts.names import ArtifactKind
from app.artifacts.repository import insert_artifact
from app.core.database import Database, database_now
from app.core.ids import new_id
from app.core.storage import ArtifactStore, StoredObject
from app.core.words import words_of
from app.datasets.tables import Dataset, DatasetVersion, DatasetWord, VersionState
from app.events.repository import EventFilter, events_page
from app.events.tables import EventRow
from app.jobs.life.claim import SlotOffer, claim_job
from app.jobs.locks import Hold
from app.jobs.repository import insert_job
from app.jobs.tables import Job
from app.settings import Settings

SHA = "ab" * 32
NO_JOB = "job_" + "0" * 26
"""An id that no job has."""
FACTS = {"running_max_objects": None, "has_flip_idx": False, "has_masks": False}
"""Facts of a dataset that decide nothing."""
SPEC = {"dataset": "ds_" + "0" * 26, "model": "yolo26n.yaml", "train": {"epochs": 3}}


WORKER_ID = "wrk_test"
OFFER = SlotOffer(WORKER_ID, ("default",), gpus=0)


@dataclass(frozen=True)
class Owner:
    """A user and their project."""

    user_id: str
    project_id: str


@dataclass(frozen=True)
class Rows(Owner):
    """A user with a project and a ready dataset in it."""

    dataset_id: str
    version_id: str


@pytest.fixture
def rows(database: Database) -> Rows:
    return some_rows(database)


@pytest.fixture
def hold(database: Database, rows: Rows) -> Hold:
    """Return the hold of a job that was just claimed."""
    a_job(database, rows)
    return claim(database)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """Return a local store for the bytes that rows name."""
    return ArtifactStore.from_settings(Settings(home=tmp_path / "home"))


def some_rows(database: Database, *, name: str = "default", task: str = "detect") -> Rows:
    """Make a user, a project and a ready dataset."""
    with database.write() as unit:
        owner = insert_owner(unit.session, name)
        dataset_id, version_id = a_dataset(unit.session, owner.project_id, owner.user_id, task=task)
    return Rows(owner.user_id, owner.project_id, dataset_id, version_id)


def an_owner(database: Database, name: str = "default") -> Owner:
    """Make a user and a project without a dataset."""
    with database.write() as unit:
        return insert_owner(unit.session, name)


def principal_of(rows: Owner, role: MemberRole = MemberRole.ADMIN) -> Principal:
    """Return the caller whom these rows belong to."""
    return Principal(
        user_id=rows.user_id,
        user_name="user of default",
        is_administrator=True,
        scopes=frozenset(ALL_SCOPES),
        projects=(ProjectRole("default", rows.project_id, role),),
        credential="0" * 12,
    )


def insert_owner(session: Session, name: str) -> Owner:
    user_id = insert_user_with_project(session, user=f"user of {name}", project=name)
    membership = select(Membership.project_id).where(Membership.user_id == user_id)
    return Owner(user_id, session.scalars(membership).one())


def a_ready_dataset(database: Database) -> Rows:
    """Add a ready dataset to the first user's project."""
    with database.write() as unit:
        membership = unit.session.scalars(select(Membership)).one()
        dataset_id, version_id = a_dataset(unit.session, membership.project_id, membership.user_id)
    return Rows(membership.user_id, membership.project_id, dataset_id, version_id)


def a_dataset(
    session: Session,
    project_id: str,
    user_id: str,
    *,
    name: str = "shapes",
    task: str = "detect",
    state: VersionState = VersionState.READY,
) -> tuple[str, str]:
    dataset_id, version_id = new_id("ds"), new_id("dsv")
    session.execute(
        insert(Dataset).values(
            id=dataset_id,
            project_id=project_id,
            owner_id=user_id,
            name=name,
            created_at=database_now(),
        )
    )
    for word in words_of(name):
        found_by = {"dataset_id": dataset_id, "project_id": project_id, "word": word}
        session.execute(insert(DatasetWord).values(found_by))
    ready = state is VersionState.READY
    session.execute(
        insert(DatasetVersion).values(
            id=version_id,
            dataset_id=dataset_id,
            number=1,
            state=state,
            task=task if ready else None,
            archive_sha256=SHA,
            archive_bytes=1,
            pack_sha256=SHA if ready else None,
            pack_bytes=1 if ready else None,
            manifest_digest=SHA if ready else None,
            classes=["circle", "square"] if ready else None,
            class_count=2 if ready else None,
            first_classes=["circle", "square"] if ready else None,
            images={"train": 4, "val": 2} if ready else None,
            training_facts=FACTS if ready else None,
            attempt=1,
            created_at=database_now(),
        )
    )
    return dataset_id, version_id


def a_job(database: Database, rows: Rows, **columns: Any) -> str:  # noqa: ANN401
    """Add a queued job; `columns` override or extend its columns."""
    job_id = new_id("job")
    values = {
        "id": job_id,
        "project_id": rows.project_id,
        "owner_id": rows.user_id,
        "name": "",
        "notes": "",
        "queue": "default",
        "gpus": None,
        "priority": 0,
        "max_restarts": 5,
        "dataset_id": rows.dataset_id,
        "dataset_version_id": rows.version_id,
        "model": "yolo26n.yaml",
        "task": "detect",
        "spec": SPEC,
        "resolved_spec": SPEC,
        "spec_version": 1,
    }
    later = {name: value for name, value in columns.items() if name not in values}
    now = {name: value for name, value in columns.items() if name in values}
    with database.write() as unit:
        insert_job(unit.session, values | now, {})
        if later:
            unit.session.execute(update(Job).where(Job.id == job_id).values(**later))
    return job_id


def a_checkpoint(
    database: Database,
    job_id: str,
    *,
    epoch: int = 1,
    name: str = "last.pt",
    sha256: str = SHA,
) -> None:
    """Add the row of a file that a resume could start from; no bytes are stored."""
    with database.write() as unit:
        insert_artifact(
            unit.session,
            job_id,
            StoredObject(sha256, 1),
            attempt=1,
            kind=ArtifactKind.CHECKPOINT,
            name=name,
            epoch=epoch,
        )


def job_row(database: Database, job_id: str) -> Job:
    """Return the current row of a job."""
    with database.read() as unit:
        return unit.session.scalars(select(Job).where(Job.id == job_id)).one()


def events_of(database: Database, job_id: str, *types: str) -> Sequence[EventRow]:
    """Return the events of these types in order, or all events without a type."""
    with database.read() as unit:
        return events_page(unit.session, job_id, EventFilter(types), after=None, limit=10_000)


def claim(database: Database, *, offer: SlotOffer = OFFER, lease_seconds: float = 30) -> Hold:
    """Claim the best pending job."""
    with database.write() as unit:
        job = claim_job(unit.session, offer, lease=timedelta(seconds=lease_seconds))
    assert job is not None
    return Hold(job.id, job.attempt)
