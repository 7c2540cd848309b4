"""Uploaded archives are kept for some days after their last use; both databases."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app.core.database import database_now
from app.core.ids import new_id
from app.datasets.tables import DatasetVersion, VersionState
from app.ops.retention import UploadRetention, remove_unused_uploads
from tests.ops.stored_bytes import Instance, digest_of
from tests.worlds.rows import Rows, a_dataset, some_rows

pytestmark = pytest.mark.mostly_sqlite

DAY = timedelta(days=1)


@pytest.fixture
def rows(instance: Instance) -> Rows:
    return some_rows(instance.database)


def a_version(
    instance: Instance,
    rows: Rows,
    archive: int,
    *,
    state: VersionState = VersionState.READY,
    days: float | None = 31,
) -> str:
    """Add a version whose archive is object `archive`, used last some days ago."""
    digest = instance.put(archive)
    with instance.database.write() as unit:
        _, version_id = a_dataset(
            unit.session, rows.project_id, rows.user_id, name=new_id("set"), state=state
        )
        used_at = None if days is None else database_now(-days * DAY)
        values = {"archive_sha256": digest, "upload_used_at": used_at}
        of_version = DatasetVersion.id == version_id
        unit.session.execute(update(DatasetVersion).where(of_version).values(values))
    return version_id


def removed_in(instance: Instance) -> set[str]:
    """Return the ids of the versions that no longer reference their archive."""
    with instance.database.read() as unit:
        removed = DatasetVersion.upload_removed_at.is_not(None)
        return set(unit.session.scalars(select(DatasetVersion.id).where(removed)))


class TestUploads:
    @pytest.mark.parametrize(
        ("state", "days", "removed"),
        [
            (VersionState.READY, 29, 0),
            (VersionState.READY, 31, 1),
            (VersionState.INVALID, 6, 0),
            (VersionState.INVALID, 8, 1),
            (VersionState.VALIDATING, 400, 0),
        ],
    )
    def test_an_upload_goes_some_days_after_its_last_use(
        self, instance: Instance, rows: Rows, state: VersionState, days: float, removed: int
    ) -> None:
        version_id = a_version(instance, rows, 1, state=state, days=days)

        planned, collected = instance.collector().dry_run(), instance.collect()

        assert (planned.uploads, collected.uploads) == (removed, removed)
        assert removed_in(instance) == ({version_id} if removed else set())
        assert instance.condemned() == ({digest_of(1)} if removed else set())

    def test_the_bytes_of_an_unused_upload_are_set_aside_after_the_grace(
        self, instance: Instance, rows: Rows
    ) -> None:
        version_id = a_version(instance, rows, 1)
        instance.collect()
        before = instance.stored()

        instance.let_the_grace_pass()
        instance.collect()

        assert (before, instance.stored()) == ({digest_of(1)}, set())
        with instance.database.read() as unit:
            version = unit.session.get_one(DatasetVersion, version_id)
        assert version.archive_sha256 == digest_of(1), "an equal upload is still recognised"

    def test_bytes_that_another_version_still_uses_stay(
        self, instance: Instance, rows: Rows
    ) -> None:
        unused = a_version(instance, rows, 1)
        a_version(instance, rows, 1, days=2)

        instance.collect()
        instance.let_the_grace_pass()
        instance.collect()

        assert removed_in(instance) == {unused}
        assert instance.stored() == {digest_of(1)}

    def test_the_upload_of_a_row_without_a_use_is_kept_from_its_creation(
        self, instance: Instance, rows: Rows
    ) -> None:
        a_version(instance, rows, 1, days=None)
        old = a_version(instance, rows, 2, days=None)
        with instance.database.write() as unit:
            created = {"created_at": database_now(-31 * DAY)}
            of_old = DatasetVersion.id == old
            unit.session.execute(update(DatasetVersion).where(of_old).values(created))

        instance.collect()

        assert removed_in(instance) == {old}

    def test_an_upload_is_removed_once(self, instance: Instance, rows: Rows) -> None:
        a_version(instance, rows, 1)
        retention = UploadRetention(DAY, DAY)

        counts = [remove_unused_uploads(instance.database, retention, grace=DAY) for _ in range(2)]

        assert counts == [1, 0]
