"""The collector removes expired uploads with their bytes, and keeps live ones."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from app.core.database import Database, database_now
from app.ops.storage_use import stored_bytes
from app.uploads.repository import NewUpload, finish_upload, insert_upload
from app.uploads.spool import UploadSpool
from app.uploads.tables import Upload
from tests.ops.stored_bytes import Instance, content_of, digest_of
from tests.worlds.rows import Owner, an_owner

DAY = timedelta(days=1)
TWO_DAYS_AGO = time.time() - 2 * 86_400


@pytest.fixture
def owner(database: Database) -> Owner:
    return an_owner(database)


def an_upload(instance: Instance, owner: Owner, *, keep: timedelta = DAY) -> str:
    """Insert a row that expires after `keep`, with a file that was written two days ago."""
    spool = UploadSpool(instance.settings.home)
    new = NewUpload(owner.project_id, owner.user_id, "a.zip", len(content_of(1)), None)
    with instance.database.write() as unit:
        upload_id = insert_upload(unit.session, new, spool_id=spool.id, keep=keep).id
    spool.path(upload_id).write_bytes(b"half")
    for path in (spool.path(upload_id), spool.folder):
        os.utime(path, (TWO_DAYS_AGO, TWO_DAYS_AGO))
    return upload_id


def finish(instance: Instance, upload_id: str) -> None:
    size = len(content_of(1))
    with instance.database.write() as unit:
        unit.session.execute(update(Upload).values(offset_bytes=size))
        finish_upload(unit.session, upload_id, digest_of(1))


def files(instance: Instance) -> set[str]:
    return set(UploadSpool(instance.settings.home).upload_ids())


def rows(instance: Instance) -> set[str]:
    with instance.database.read() as unit:
        return set(unit.session.scalars(select(Upload.id)))


class TestExpiredUploads:
    def test_an_expired_upload_goes_and_a_live_one_stays_however_old_its_file_is(
        self, instance: Instance, owner: Owner
    ) -> None:
        expired, live = an_upload(instance, owner, keep=-DAY), an_upload(instance, owner)

        counted = instance.collector().dry_run().expired_uploads
        collected = instance.collect().expired_uploads

        assert (counted, collected) == (1, 1)
        assert expired not in rows(instance) | files(instance)
        assert rows(instance) == files(instance) == {live}

    def test_the_stored_bytes_of_an_expired_upload_go_unless_a_dataset_needs_them(
        self, instance: Instance, owner: Owner
    ) -> None:
        instance.put(1)
        finish(instance, an_upload(instance, owner))
        before = instance.collect()
        with instance.database.write() as unit:
            unit.session.execute(update(Upload).values(expires_at=database_now(-DAY)))

        instance.collect()

        assert before.orphans_condemned == 0
        assert instance.condemned() == {digest_of(1)}

    def test_a_file_that_no_unfinished_upload_needs_goes(
        self, instance: Instance, owner: Owner
    ) -> None:
        finished = an_upload(instance, owner)
        finish(instance, finished)
        spool = UploadSpool(instance.settings.home)
        spool.path("upl_of_a_deleted_row").write_bytes(b"half")

        instance.collect()

        assert (rows(instance), files(instance)) == ({finished}, set())

    def test_the_bytes_of_finished_uploads_are_counted(
        self, instance: Instance, owner: Owner
    ) -> None:
        finish(instance, an_upload(instance, owner))

        with instance.database.read() as unit:
            assert stored_bytes(unit.session)["uploads"] == len(content_of(1))

    def test_the_id_of_the_spool_stays(self, instance: Instance, owner: Owner) -> None:
        an_upload(instance, owner, keep=-DAY)
        spool = UploadSpool(instance.settings.home)
        before = spool.id

        instance.collect()

        assert spool.id == before
        assert Path(spool.folder / ".id").exists()
