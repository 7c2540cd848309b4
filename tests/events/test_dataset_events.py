"""The states of dataset versions are rows of the event log."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.database import Database
from app.core.leased_rows import MAX_CRASHES, RowHold
from app.datasets.errors import DatasetInUse
from app.datasets.repository import NewVersion, delete_dataset, insert_version
from app.datasets.tables import DatasetVersion, VersionState
from app.datasets.verification_queue import (
    claim_next_version,
    finish_verification,
    record_crash,
)
from app.events.tables import EventRow
from tests.worlds.rows import SHA, Rows, a_job

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

LEASE = timedelta(seconds=90)
INVALID = {"state": VersionState.INVALID, "report": {}}


def in_one_transaction(database: Database, change: Callable[[Session], object]) -> None:
    with database.write() as unit:
        change(unit.session)


def dataset_events(database: Database) -> list[EventRow]:
    """Return the events of datasets, oldest first."""
    of_datasets = select(EventRow).where(EventRow.dataset_id.is_not(None))
    with database.read() as unit:
        return list(unit.session.scalars(of_datasets.order_by(EventRow.position)))


def types(database: Database) -> list[str]:
    return [row.type for row in dataset_events(database)]


@pytest.fixture
def version(database: Database, rows: Rows) -> DatasetVersion:
    """Return a version that waits for its verification."""
    with database.write() as unit:
        return insert_version(unit.session, rows.dataset_id, NewVersion(SHA, 40, None, {}))


class TestStates:
    def test_a_new_version_is_being_validated(
        self, database: Database, rows: Rows, version: DatasetVersion
    ) -> None:
        (event,) = dataset_events(database)

        assert (event.type, event.data) == ("dataset.validating", {})
        assert (event.dataset_id, event.version_id) == (rows.dataset_id, version.id)
        assert (event.project_id, event.job_id, event.seq) == (rows.project_id, None, None)

    def test_the_end_of_a_verification_is_an_event(
        self, database: Database, version: DatasetVersion
    ) -> None:
        hold = RowHold(version.id, 0)

        in_one_transaction(database, lambda session: finish_verification(session, hold, INVALID))

        assert types(database) == ["dataset.validating", "dataset.invalid"]

    def test_a_verification_that_lost_its_hold_writes_no_event(
        self, database: Database, version: DatasetVersion
    ) -> None:
        hold = RowHold(version.id, 7)

        in_one_transaction(database, lambda session: finish_verification(session, hold, INVALID))

        assert types(database) == ["dataset.validating"]

    def test_a_verification_that_begins_again_is_an_event(
        self, database: Database, version: DatasetVersion
    ) -> None:
        for lease in (-LEASE, LEASE):  # the first claim is expired when the second one looks
            with database.write() as unit:
                claim_next_version(unit.session, lease=lease)

        *_, again = dataset_events(database)
        assert (again.version_id, again.type) == (version.id, "dataset.validating")
        assert again.data == {"attempt": 2}

    def test_only_the_last_crash_of_a_verification_changes_its_state(
        self, database: Database, version: DatasetVersion
    ) -> None:
        hold = RowHold(version.id, 0)

        for _ in range(MAX_CRASHES):
            in_one_transaction(
                database, lambda session: record_crash(session, hold, verdict=INVALID)
            )

        assert types(database) == ["dataset.validating", "dataset.invalid"]


class TestRemoval:
    def test_a_removed_dataset_leaves_only_the_event_of_its_removal(
        self, database: Database, rows: Rows, version: DatasetVersion
    ) -> None:
        in_one_transaction(database, lambda session: delete_dataset(session, rows.dataset_id))

        (event,) = dataset_events(database)
        assert (event.type, event.version_id) == ("dataset.removed", None)
        assert (event.project_id, event.dataset_id) == (rows.project_id, version.dataset_id)

    def test_a_dataset_that_jobs_use_keeps_its_events(
        self, database: Database, rows: Rows, version: DatasetVersion
    ) -> None:
        a_job(database, rows)

        with pytest.raises(DatasetInUse):
            in_one_transaction(database, lambda session: delete_dataset(session, rows.dataset_id))

        assert [row.version_id for row in dataset_events(database)] == [version.id]
