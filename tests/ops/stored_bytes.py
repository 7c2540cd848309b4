"""A store beside a database: store bytes, add rows that name them, and let grace times pass."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import delete, insert, select, update

from app.artifacts.names import ArtifactKind
from app.artifacts.tables import Artifact, CondemnedObject
from app.core.database import Database, database_now
from app.core.ids import new_id
from app.core.storage import ArtifactStore
from app.core.stored_objects import aside_objects, stored_digests
from app.jobs.states import JobState
from app.jobs.tables import Job
from app.models.repository import NewWeights, insert_model
from app.models.tables import Model, ModelSource
from app.ops.collector import Collected, Collector
from app.settings import Settings
from app.settings.retention import GarbageSettings
from tests.worlds.rows import Rows, a_job

LONG_AGO = timedelta(days=-2)
A_WEEK_AND_MORE = timedelta(days=-8)


def content_of(number: int) -> bytes:
    return f"the bytes of object {number} ".encode() * 200


def digest_of(number: int) -> str:
    return hashlib.sha256(content_of(number)).hexdigest()


@dataclass(frozen=True)
class Instance:
    """A database and the local store of one home folder."""

    database: Database
    settings: Settings
    store: ArtifactStore

    def collector(self) -> Collector:
        return Collector(self.database, self.store, self.settings)

    def collect(self) -> Collected:
        return self.collector().collect()

    def put(self, number: int) -> str:
        """Store bytes that no row names; return their digest."""
        path = self.settings.home / f"source-{number}"
        path.write_bytes(content_of(number))
        digest = self.store.put_file(path).sha256
        path.unlink()
        return digest

    def name(self, number: int) -> None:
        """Commit a row that names the bytes."""
        digest = digest_of(number)
        weights = NewWeights(f"{number}.pt", "detect", ModelSource.FILE, digest, 1)
        with self.database.write() as unit:
            insert_model(unit.session, weights)

    def forget(self, number: int) -> None:
        """Delete the row that names the bytes."""
        with self.database.write() as unit:
            unit.session.execute(delete(Model).where(Model.sha256 == digest_of(number)))

    def named(self) -> set[str]:
        with self.database.read() as unit:
            return set(unit.session.scalars(select(Model.sha256)))

    def is_whole(self, number: int) -> bool:
        """Return whether a reader gets the bytes."""
        content = content_of(number)
        try:
            return b"".join(self.store.open_range(digest_of(number), 0, len(content))) == content
        except FileNotFoundError:
            return False

    def stored(self) -> set[str]:
        return {digest for page in stored_digests(self.store) for digest in page}

    def aside(self) -> set[str]:
        return {each.sha256 for page in aside_objects(self.store) for each in page}

    def condemned(self) -> set[str]:
        with self.database.read() as unit:
            return set(unit.session.scalars(select(CondemnedObject.sha256)))

    def let_the_grace_pass(self) -> None:
        """Backdate every condemned object: it was due two days ago."""
        with self.database.write() as unit:
            unit.session.execute(update(CondemnedObject).values(due_at=database_now(LONG_AGO)))

    def let_the_hold_pass(self) -> None:
        """Backdate every object that was set aside, beyond its hold of half an hour."""
        for path in self.settings.home.glob("store/aside/*/*"):
            path.rename(path.with_name(f"{path.name.partition('.')[0]}.1000"))


def an_instance(database: Database, home: Path, **garbage: float) -> Instance:
    settings = Settings(home=home, garbage=GarbageSettings.model_validate(garbage))
    home.mkdir(exist_ok=True)
    return Instance(database, settings, ArtifactStore.from_settings(settings))


def insert_artifact(instance: Instance, job_id: str, sha256: str) -> None:
    with instance.database.write() as unit:
        unit.session.execute(
            insert(Artifact).values(
                id=new_id("art"),
                job_id=job_id,
                attempt=1,
                kind=ArtifactKind.PLOT,
                name=f"{sha256}.png",
                size_bytes=1,
                sha256=sha256,
                created_at=database_now(),
            )
        )


def a_trashed_job(instance: Instance, rows: Rows, *, since: timedelta) -> str:
    return a_job(instance.database, rows, state=JobState.SUCCEEDED, trashed_at=database_now(since))


def jobs_in(instance: Instance) -> set[str]:
    with instance.database.read() as unit:
        return set(unit.session.scalars(select(Job.id)))
