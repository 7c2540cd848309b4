"""An upgrade completes the rows of an earlier release, so that lists and pages show them."""

from datetime import timedelta

import pytest
from sqlalchemy import (
    insert,
    select,
    update,
)

from app.core import migrations
from app.core.database import Database, database_now
from app.datasets.tables import DatasetVersion, DatasetWord
from app.fleet.repository import Registration, register_worker
from app.fleet.tables import Worker
from app.jobs.repository import insert_plan
from app.jobs.states import JobState
from app.jobs.tables import Attempt, Epoch, Job, JobWord
from app.quotas.repository import counted_jobs
from tests.core.empty_databases import take_down
from tests.jobs.trained import train
from tests.worlds.rows import a_job, some_rows

pytestmark = pytest.mark.integration


class TestEarlierRows:
    def test_an_upgrade_fills_in_what_lists_read(self, database_url: str) -> None:
        database = Database(database_url, pool_size=2)
        rows = some_rows(database)
        jobs = [a_job(database, rows) for _ in range(2)]
        finding = {"code": "label-class", "severity": "error"}
        report = {"findings": [finding], "finding_totals": {"label-class": 700}}
        with database.write() as unit:
            insert_plan(unit.session, jobs[0], {"estimate": {"seconds": 1.5}})
            unit.session.execute(update(DatasetVersion).values(report=report))

        take_down(database_url, "0019_integrity")
        migrations.upgrade(database_url)

        with database.read() as unit:
            estimates = unit.session.scalars(select(Job.estimated_seconds).order_by(Job.id)).all()
            words = unit.session.scalars(select(DatasetWord.word)).all()
            counts = unit.session.scalars(select(DatasetVersion.finding_counts)).all()
        database.dispose()
        assert (list(estimates), list(words)) == ([1.5, None], ["shapes"])
        assert list(counts) == [{"error": 700, "warning": 0, "info": 0}]

    def test_jobs_of_an_earlier_release_are_searched_ranked_and_counted(
        self, database_url: str
    ) -> None:
        database = Database(database_url, pool_size=1)
        rows = some_rows(database)
        plugin_spec = {
            "customize": {"best_model": {"metric": "val/sharpness", "direction": "higher"}}
        }
        best = {"best_epoch": 1, "best_value": 2.0, "state": JobState.CANCELLED}
        for name, metric, columns in (
            ("BloodCells Größe", "val/box_loss", {}),
            ("", "fitness", {"trashed_at": database_now()}),
            ("", "val/sharpness", {"trainer": "sharp", "resolved_spec": plugin_spec}),
        ):
            a_job(database, rows, name=name, best_metric=metric, **best, **columns)

        take_down(database_url, "0019_integrity")
        migrations.upgrade(database_url)

        with database.read() as unit:
            words = unit.session.scalars(select(JobWord.word).order_by(JobWord.word)).all()
            ranks = unit.session.execute(select(Job.best_metric, Job.best_rank)).all()
            counted = counted_jobs(unit.session, [rows.project_id], in_trash=False)
        database.dispose()
        assert words == ["bloodcells", "cells", "grösse"]
        assert dict(ranks) == {"val/box_loss": -2.0, "fitness": 2.0, "val/sharpness": 2.0}
        assert counted["cancelled"] == 2

    def test_rows_of_an_earlier_release_have_best_epoch_time_and_epochs_after_an_upgrade(
        self, database_url: str
    ) -> None:
        database = Database(database_url, pool_size=2)
        rows = some_rows(database)
        with database.write() as unit:
            slot = Registration(
                "node", "cpu", "inc", "gpu-a (pid 7)", ("default",), gpus=0, version="1"
            )
            register_worker(unit.session, slot)
            unit.session.execute(update(Worker).values(id="wrk_1"))
        job_id = a_job(database, rows)
        train(database, job_id, (0.1, 0.3, 0.2), states=(3,))
        a_job(database, rows)  # without an attempt
        with database.write() as unit:
            own = {"number": 2, "worker_id": "wrk_gone", "resumed": "exact"}
            ended = {"started_at": database_now(timedelta(seconds=-50)), "ended_at": database_now()}
            unit.session.execute(insert(Attempt).values(job_id=job_id, **own, **ended))
            unit.session.execute(update(Epoch).where(Epoch.epoch == 3).values(attempt=2))
            retried = {"attempt": 2, "ran_seconds": 0.0}  # an earlier release forgot the time
            unit.session.execute(update(Job).where(Job.id == job_id).values(**retried))

        take_down(database_url, "0019_integrity")
        migrations.upgrade(database_url)

        with database.read() as unit:
            job = unit.session.get_one(Job, job_id)
            attempts = unit.session.scalars(select(Attempt).order_by(Attempt.number)).all()
            others = unit.session.scalars(select(Job).where(Job.id != job_id)).one()
        database.dispose()
        assert job.best_at == {
            "epoch": 2,
            "direction": "higher",
            "metrics": {"metrics/mAP50-95(B)": 0.3},
        }
        assert job.earlier_seconds == pytest.approx(50, abs=20)
        assert [
            (it.worker_name, it.first_epoch, it.last_epoch, it.resumed_from) for it in attempts
        ] == [("gpu-a/cpu", 1, 2, None), (None, 3, 3, 2)]
        assert (others.best_at, others.earlier_seconds) == (None, 0)
