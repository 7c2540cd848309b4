"""Which version is verified next: fair between projects, oldest first within one."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from app.core.database import Database, database_now
from app.core.leased_rows import RowHold
from app.datasets.tables import DatasetVersion
from app.datasets.verification_queue import VERIFICATIONS, awaits_verification, claim_next_version
from tests.datasets.stored_uploads import an_upload
from tests.worlds.rows import Owner, an_owner

pytestmark = pytest.mark.integration

LEASE = timedelta(seconds=60)
GIB = 1024**3


def uploads(database: Database, owner: Owner, count: int) -> list[str]:
    return [an_upload(database, owner, sha256=f"{n:064}").id for n in range(count)]


def claim(database: Database, *, max_bytes: int | None = None) -> DatasetVersion | None:
    with database.write() as unit:
        return claim_next_version(unit.session, lease=LEASE, max_bytes=max_bytes)


def claimed(database: Database, count: int) -> list[str]:
    """Claim versions that stay claimed; return their ids."""
    taken = [claim(database) for _ in range(count)]
    return [version.id for version in taken if version is not None]


def verified(database: Database, count: int) -> list[str]:
    """Claim versions one after another, each released and out of the queue before the next."""
    taken = []
    for _ in range(count):
        version = claim(database)
        assert version is not None
        taken.append(version.id)
        with database.write() as unit:
            values = {"state": "invalid", "report": {}}
            assert VERIFICATIONS.finish(unit.session, RowHold.of(version), values)
    return taken


class TestFairness:
    def test_versions_of_one_project_are_claimed_oldest_first(self, database: Database) -> None:
        made = uploads(database, an_owner(database), 3)

        assert claimed(database, 4) == made

    def test_a_project_without_a_running_verification_precedes_one_with_many_uploads(
        self, database: Database
    ) -> None:
        many = uploads(database, an_owner(database, "many"), 6)
        one = uploads(database, an_owner(database, "one"), 2)

        assert claimed(database, 5) == [many[0], one[0], many[1], one[1], many[2]]

    def test_projects_take_turns_where_one_version_at_a_time_is_verified(
        self, database: Database
    ) -> None:
        many = uploads(database, an_owner(database, "many"), 4)
        few = uploads(database, an_owner(database, "few"), 2)
        late = uploads(database, an_owner(database, "late"), 1)

        assert verified(database, 7) == [many[0], few[0], late[0], many[1], few[1], *many[2:]]

    def test_an_expired_lease_does_not_count_as_a_running_verification(
        self, database: Database
    ) -> None:
        lost = uploads(database, an_owner(database, "lost"), 2)
        other = uploads(database, an_owner(database, "other"), 1)
        claimed(database, 2)
        with database.write() as unit:
            expired = {"lease_expires_at": database_now(-LEASE)}
            of_lost = DatasetVersion.id == lost[0]
            unit.session.execute(update(DatasetVersion).where(of_lost).values(expired))

        again = claimed(database, 2)

        assert again == lost
        assert other[0] not in again

    def test_a_released_version_waits_until_other_projects_had_their_turn(
        self, database: Database
    ) -> None:
        failing = uploads(database, an_owner(database, "failing"), 1)
        other = uploads(database, an_owner(database, "other"), 1)
        version = claim(database)
        assert version is not None
        with database.write() as unit:
            VERIFICATIONS.release(unit.session, RowHold.of(version))

        assert claimed(database, 2) == [*other, *failing]


class TestSize:
    def test_only_an_archive_up_to_the_given_size_is_claimed(self, database: Database) -> None:
        owner = an_owner(database)
        an_upload(database, owner, sha256="1" * 64, size_bytes=40 * GIB)
        small = an_upload(database, owner, sha256="2" * 64, size_bytes=GIB)

        version = claim(database, max_bytes=GIB)

        assert version is not None
        assert version.id == small.id
        assert claim(database, max_bytes=GIB) is None

    def test_a_version_waits_only_for_those_that_may_take_its_archive(
        self, database: Database
    ) -> None:
        an_upload(database, an_owner(database), size_bytes=40 * GIB)

        with database.read() as unit:
            waits = [
                awaits_verification(unit.session, max_bytes=most) for most in (None, GIB, 40 * GIB)
            ]

        assert waits == [True, False, True]
