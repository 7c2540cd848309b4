"""Versions from stored bytes: what keeps them, and what happens when they are gone."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, text, update

from app.core.context import Context
from app.core.database import Database, database_now
from app.core.pages import CursorSeal
from app.core.storage import ArtifactStore
from app.datasets.errors import DatasetNotFound, UploadRemoved
from app.datasets.reports.report import ImportOptions
from app.datasets.repository import delete_dataset, lock_visible_dataset
from app.datasets.submit_version import (
    FileChanges,
    Submission,
    SubmittedVersion,
    derive_version,
    submit_version,
)
from app.datasets.tables import Dataset, DatasetVersion
from app.settings import Settings
from tests.datasets.stored_uploads import version_row
from tests.waiting import eventually
from tests.worlds.rows import Owner, an_owner, principal_of

pytestmark = pytest.mark.integration

LONG_AGO = timedelta(days=-90)
STRICT = ImportOptions(policy="strict")
UNCHANGED = FileChanges()
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = "


@pytest.fixture
def context(database: Database, tmp_path: Path) -> Context:
    settings = Settings(home=tmp_path / "home")
    return Context(
        settings=settings,
        database=database,
        store=ArtifactStore.from_settings(settings),
        cursors=CursorSeal(b"of nobody"),
        ring=lambda *_: None,
        wake_verifier=lambda: None,
    )


@pytest.fixture
def owner(database: Database) -> Owner:
    return an_owner(database)


@pytest.fixture
def upload(context: Context, owner: Owner, tmp_path: Path) -> Callable[[], SubmittedVersion]:
    """Return a function that uploads always the same archive."""
    archive = tmp_path / "archive.zip"
    archive.write_bytes(b"an archive")
    submission = Submission(owner.project_id, owner.user_id, "shapes", ImportOptions())
    return lambda: submit_version(context, submission, archive)


def remove_upload(database: Database, version: DatasetVersion) -> None:
    """Let the version lose its archive, as the collector does."""
    values = {"upload_used_at": database_now(LONG_AGO), "upload_removed_at": database_now()}
    with database.write() as unit:
        of_version = DatasetVersion.id == version.id
        unit.session.execute(update(DatasetVersion).where(of_version).values(values))


def is_waiting_for_a_lock(database: Database) -> bool:
    """Return whether a statement waits for a row; on SQLite, the whole transaction waits."""
    if database.is_sqlite:
        return True
    with database.read() as unit:
        waiting = text(WAITING + "current_database()")
        return bool(unit.session.scalars(waiting).one())


class TestStoredBytes:
    def test_reading_an_archive_again_is_a_use_of_it(
        self,
        context: Context,
        owner: Owner,
        upload: Callable[[], SubmittedVersion],
    ) -> None:
        version = upload().listed.version
        with context.database.write() as unit:
            used = {"upload_used_at": database_now(LONG_AGO)}
            unit.session.execute(update(DatasetVersion).values(used))

        derive_version(context, principal_of(owner), (version.id, None), STRICT, UNCHANGED)

        used_at = version_row(context.database, version.id).upload_used_at
        assert used_at is not None
        assert used_at >= version.created_at

    def test_a_removed_archive_cannot_be_read_again(
        self,
        context: Context,
        owner: Owner,
        upload: Callable[[], SubmittedVersion],
    ) -> None:
        version = upload().listed.version
        remove_upload(context.database, version)

        named = (version.dataset_id, None)

        with pytest.raises(UploadRemoved) as refusal:
            derive_version(context, principal_of(owner), named, STRICT, UNCHANGED)

        assert refusal.value.extra == {"version": version.id}

    def test_an_equal_upload_finds_the_version_and_brings_its_archive_back(
        self,
        context: Context,
        owner: Owner,
        upload: Callable[[], SubmittedVersion],
    ) -> None:
        version = upload().listed.version
        remove_upload(context.database, version)

        again = upload()

        assert (again.created, again.listed.version.id) == (False, version.id)
        assert version_row(context.database, version.id).upload_removed_at is None
        named = (version.id, None)
        assert derive_version(context, principal_of(owner), named, STRICT, UNCHANGED).created


class TestDeletedMeanwhile:
    def test_bytes_are_not_read_again_for_a_dataset_that_is_being_deleted(
        self,
        context: Context,
        owner: Owner,
        upload: Callable[[], SubmittedVersion],
    ) -> None:
        version, principal = upload().listed.version, principal_of(owner)
        named = (version.dataset_id, None)

        with ThreadPoolExecutor(1) as thread:
            with context.database.write() as unit:
                lock_visible_dataset(unit.session, {owner.project_id}, version.dataset_id)
                delete_dataset(unit.session, version.dataset_id)
                reading = thread.submit(
                    derive_version, context, principal, named, STRICT, UNCHANGED
                )
                eventually(lambda: is_waiting_for_a_lock(context.database), within=20)

            with pytest.raises(DatasetNotFound):
                reading.result(timeout=20)

        with context.database.read() as unit:
            for table in (Dataset, DatasetVersion):
                assert unit.session.scalar(select(func.count()).select_from(table)) == 0
