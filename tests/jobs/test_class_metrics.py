"""Per-class metrics are packed, and exported as one table of all epochs."""

import io

from hypothesis import given
from hypothesis import strategies as st

from app.core.database import Database
from app.jobs.class_metrics import (
    ROWS_AT_ONCE,
    Columns,
    class_series,
    packed,
    unpacked,
    write_class_table,
)
from app.jobs.life.recorded import recorded_of
from app.jobs.life.recording import EpochReport, record_epoch
from app.jobs.locks import Hold
from tests.worlds.rows import job_row

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.none()


def finish(database: Database, hold: Hold, epochs: dict[int, Columns]) -> None:
    with database.write() as unit:
        for epoch, columns in epochs.items():
            report = EpochReport(
                epoch=epoch, epochs=99, metrics={}, duration_seconds=1.0, classes=columns
            )
            record_epoch(unit.session, hold, report, recorded_of(unit.session, hold))


def table_of(database: Database, hold: Hold) -> tuple[bool, list[str]]:
    file = io.StringIO()
    with database.read() as unit:
        is_written = write_class_table(unit.session, job_row(database, hold.job_id), file)
    return is_written, file.getvalue().splitlines()


class TestPacked:
    @given(columns=st.dictionaries(st.text(max_size=20), st.lists(NUMBERS, max_size=5)))
    def test_packed_class_metrics_are_read_as_they_were(
        self, columns: dict[str, list[float | None]]
    ) -> None:
        assert unpacked(packed(columns)) == columns


class TestClassSeries:
    def test_reading_stops_after_the_epoch_with_too_many_values(
        self, database: Database, hold: Hold
    ) -> None:
        finish(database, hold, {epoch: {"f1": [epoch / 10, None]} for epoch in range(1, 6)})

        with database.read() as unit:
            job = job_row(database, hold.job_id)
            found = class_series(unit.session, job, first=2, last=None, most=3)

        assert found is not None
        assert (found.epochs, found.columns) == ([2, 3], {"f1": [[0.2, 0.3], [None, None]]})

    def test_epochs_without_class_metrics_have_no_series(
        self, database: Database, hold: Hold
    ) -> None:
        finish(database, hold, {1: {"f1": [0.5, 0.5]}})

        with database.read() as unit:
            job = job_row(database, hold.job_id)
            assert class_series(unit.session, job, first=2, last=9, most=99) is None


class TestWriteClassTable:
    def test_the_class_table_has_every_epoch_in_order_however_many_there_are(
        self, database: Database, hold: Hold
    ) -> None:
        count = 2 * ROWS_AT_ONCE + 1
        finish(database, hold, {epoch: {"f1": [0.5, None]} for epoch in range(1, count + 1)})

        _, lines = table_of(database, hold)

        expected = [f"{n},{row}" for n in range(1, count + 1) for row in ("circle,0.5", "square,")]
        assert lines == ["epoch,class,f1", *expected]

    def test_the_class_table_keeps_the_columns_of_the_first_epoch(
        self, database: Database, hold: Hold
    ) -> None:
        finish(database, hold, {1: {"f1": [0.5, 0.5]}, 2: {"recall": [0.1, 0.1]}})

        _, lines = table_of(database, hold)

        assert lines[3:] == ["2,circle,", "2,square,"]

    def test_no_class_table_is_written_for_a_job_without_class_metrics(
        self, database: Database, hold: Hold
    ) -> None:
        assert table_of(database, hold) == (False, [])
