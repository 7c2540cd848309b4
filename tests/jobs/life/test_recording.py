"""A worker records epochs, and a resume removes those after its checkpoint."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue
from sqlalchemy import insert, select

from app.core.database import Database
from app.events.repository import EventFilter, events_page
from app.jobs.life.epoch_columns import within
from app.jobs.life.recorded import recorded_of
from app.jobs.life.recording import (
    EpochReport,
    ProgressReport,
    finish_progress,
    record_epoch,
    record_progress,
    trim_epochs_after,
)
from app.jobs.locks import Hold
from app.jobs.spec.deciding_metric import DecidingMetric
from app.jobs.tables import Epoch, EpochClasses, Job, JobProgress, Joint
from tests.worlds.rows import job_row

LOSS = "val/box_loss"
DECIDING = DecidingMetric(LOSS, (LOSS,), direction="lower")


def finish(database: Database, hold: Hold, epoch: int, *, loss: float, is_best: bool) -> None:
    report = EpochReport(
        epoch=epoch,
        epochs=9,
        metrics={LOSS: loss},
        duration_seconds=1.0,
        classes={"f1(B)": [0.5, None]},
        deciding_metric=LOSS,
        direction="lower",
        value=loss,
        rank=-loss,
        is_best=is_best,
    )
    with database.write() as unit:
        record_epoch(unit.session, hold, report, recorded_of(unit.session, hold))


def show(database: Database, hold: Hold, *, epoch: int, eta_seconds: float | None = None) -> None:
    report = ProgressReport(
        epoch=epoch, epochs=9, batch=4, batches=8, losses={LOSS: 1.0}, eta_seconds=eta_seconds
    )
    with database.write() as unit:
        record_progress(unit.session, hold, report, lease=timedelta(minutes=1))


def trim(database: Database, hold: Hold, epoch: int, *, best_epoch: int | None) -> Job:
    with database.write() as unit:
        trim_epochs_after(unit.session, hold, epoch, best_epoch=best_epoch, deciding=DECIDING)
    return job_row(database, hold.job_id)


class TestTrimEpochsAfter:
    def test_rows_of_later_epochs_go_with_their_classes(
        self, database: Database, hold: Hold
    ) -> None:
        for epoch in (1, 2, 3):
            finish(database, hold, epoch, loss=3.0, is_best=False)

        trim(database, hold, 2, best_epoch=None)

        with database.read() as unit:
            for table in (Epoch, EpochClasses):
                assert sorted(unit.session.scalars(select(table.epoch))) == [1, 2]

    def test_the_best_is_again_that_of_the_best_pt_that_is_restored(
        self, database: Database, hold: Hold
    ) -> None:
        """A lower loss is better; epoch 2 has the higher one."""
        for epoch, loss in ((1, 2.0), (2, 2.5), (3, 1.0)):
            finish(database, hold, epoch, loss=loss, is_best=epoch != 2)

        job = trim(database, hold, 2, best_epoch=1)

        assert (job.best_epoch, job.best_metric, job.best_value) == (1, LOSS, 2.0)
        assert job.best_rank == -2.0
        assert job.best_at == {"epoch": 1, "direction": "lower", "metrics": {LOSS: 2.0}}

    def test_a_best_that_stands_is_left_alone(self, database: Database, hold: Hold) -> None:
        finish(database, hold, 1, loss=2.0, is_best=True)
        finish(database, hold, 2, loss=3.0, is_best=False)

        job = trim(database, hold, 1, best_epoch=1)

        assert (job.best_epoch, job.best_value) == (1, 2.0)

    @pytest.mark.parametrize(("of_best_pt", "best"), [(4, (4, LOSS, 2.5)), (3, (None, None, None))])
    def test_the_best_may_be_the_parent_s_of_an_extension(
        self,
        database: Database,
        hold: Hold,
        of_best_pt: int,
        best: tuple[int | None, str | None, float | None],
    ) -> None:
        with database.write() as unit:
            joint = {"epoch": 5, "best_epoch": 4, "best_value": 2.5}
            unit.session.execute(insert(Joint).values(job_id=hold.job_id, **joint))
        finish(database, hold, 6, loss=3.0, is_best=False)
        finish(database, hold, 7, loss=1.0, is_best=True)

        job = trim(database, hold, 6, best_epoch=of_best_pt)

        assert (job.best_epoch, job.best_metric, job.best_value) == best

    def test_nothing_is_the_best_of_a_new_start(self, database: Database, hold: Hold) -> None:
        finish(database, hold, 1, loss=2.0, is_best=True)

        job = trim(database, hold, 0, best_epoch=None)

        assert (job.best_epoch, job.best_metric, job.best_value) == (None, None, None)


def finished_epochs(database: Database, hold: Hold) -> list[dict[str, JsonValue]]:
    """Return the data of the events of finished epochs."""
    chosen = EventFilter(types=("epoch.finished",))
    with database.read() as unit:
        rows = events_page(unit.session, hold.job_id, chosen, after=None, limit=50)
        return [row.data for row in rows]


class TestEpochEvents:
    def test_the_event_of_an_epoch_has_its_columns_and_whether_it_is_the_best(
        self, database: Database, hold: Hold
    ) -> None:
        report = EpochReport(
            1,
            9,
            {LOSS: 2.0, "metrics/mAP50(B)": None},
            1.0,
            lr={"lr/all/weight": 0.01},
            system={"cpu": 1.5},
            is_best=True,
        )
        with database.write() as unit:
            before = recorded_of(unit.session, hold)
            after = record_epoch(unit.session, hold, report, before)
            record_epoch(unit.session, hold, report, after)  # repeated

        assert finished_epochs(database, hold) == [
            {
                "epoch": 1,
                "optimizer_steps": 0,
                "best": True,
                "metrics": {LOSS: 2.0, "metrics/mAP50(B)": None},
                "lr": {"lr/all/weight": 0.01},
                "system": {"cpu": 1.5},
            }
        ]

    def test_a_huge_table_of_a_plugin_is_cut_in_event_and_row(
        self, database: Database, hold: Hold
    ) -> None:
        metrics = {f"metrics/{number}": 0.5 for number in range(10_000)}
        report = EpochReport(1, 9, metrics, 1.0, lr={"lr": 1.0}, is_best=True, deciding_metric="x")
        with database.write() as unit:
            record_epoch(unit.session, hold, report, recorded_of(unit.session, hold))

        [data] = finished_epochs(database, hold)
        shown: Any = data["metrics"]
        assert len(json.dumps(data)) < 5000
        assert (len(shown) + data["omitted"], data["lr"]) == (10_001, {})  # type: ignore[operator] # JSON
        best = job_row(database, hold.job_id).best_at
        assert best is not None
        assert len(json.dumps(best)) < 5000

    @given(
        st.dictionaries(st.text(max_size=9), st.none() | st.floats(allow_nan=False), max_size=9),
        st.integers(0, 200),
    )
    def test_the_first_columns_that_fit_are_kept(
        self, columns: dict[str, float | None], room: int
    ) -> None:
        kept, left = within(columns, room)

        assert list(kept.items()) == list(columns.items())[: len(kept)]
        assert len(json.dumps(kept, separators=(",", ":"))) <= room + 2
        assert 0 <= left <= room


class TestRecordEpoch:
    @pytest.mark.parametrize(("reported", "told"), [(2, (3, 8)), (3, (3, 4)), (5, (5, 4))])
    def test_recording_an_epoch_too_short_for_a_report_moves_progress_to_its_end(
        self, database: Database, hold: Hold, reported: int, told: tuple[int, int]
    ) -> None:
        show(database, hold, epoch=reported)

        finish(database, hold, 3, loss=3.0, is_best=False)

        with database.read() as unit:
            progress = unit.session.get_one(JobProgress, hold.job_id)
            assert (progress.epoch, progress.batch) == told

    @pytest.mark.parametrize(
        ("last_epoch", "eta", "told"),
        [(None, 6.0, (9, 6.0)), (7, 4.0, (7, 4.0)), (3, None, (3, None))],
    )
    def test_an_epoch_too_short_for_a_report_updates_the_last_epoch_and_the_remaining_time(
        self,
        database: Database,
        hold: Hold,
        last_epoch: int | None,
        eta: float | None,
        told: tuple[int, float | None],
    ) -> None:
        show(database, hold, epoch=2, eta_seconds=50.0)
        report = EpochReport(3, 9, {}, 1.0, last_epoch=last_epoch, eta_seconds=eta)

        with database.write() as unit:
            record_epoch(unit.session, hold, report, recorded_of(unit.session, hold))

        with database.read() as unit:
            progress = unit.session.get_one(JobProgress, hold.job_id)
            assert (progress.epochs, progress.eta_seconds) == told

    def test_classes_of_an_epoch_recorded_twice_are_stored_once(
        self, database: Database, hold: Hold
    ) -> None:
        for _ in range(2):
            finish(database, hold, 1, loss=2.0, is_best=True)

        with database.read() as unit:
            assert list(unit.session.scalars(select(EpochClasses.epoch))) == [1]


class TestFinishProgress:
    @pytest.mark.parametrize("epoch", [3, 5], ids=["after-it", "after-a-lost-epoch"])
    def test_a_finished_training_is_at_the_last_batch_of_its_last_epoch(
        self, database: Database, hold: Hold, epoch: int
    ) -> None:
        show(database, hold, epoch=epoch, eta_seconds=50.0)

        with database.write() as unit:
            finish_progress(unit.session, hold, 3)

        with database.read() as unit:
            end = unit.session.get_one(JobProgress, hold.job_id)
            assert (end.epoch, end.epochs, end.batch, end.eta_seconds) == (3, 3, 8, None)
