"""Weights are checked before they are published: real files from a fake training."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.artifacts.repository import artifacts_of
from app.core.database import Database
from app.jobs.end_reasons import EndReason
from app.jobs.repository import attempts_of
from app.jobs.states import JobEvent, JobState
from tests.waiting import eventually
from tests.worlds.rows import job_row
from tests.worlds.worker import (
    PATIENT,
    Worker,
    a_worker,
    checks_of_weights,
    request,
    working,
)
from worker.processes.process import living_processes
from worker.tasks import work_on
from worker.trainer.environment import trainer_environment

pytestmark = pytest.mark.mostly_sqlite

MAKE_WEIGHTS = """
import sys
import torch
from ultralytics.models import YOLO

class FromHere(torch.nn.SiLU):
    pass

model = YOLO("yolo26n.yaml")
model.save("sound.pt")
first = next(model.model.parameters())
kept = first.detach().clone()
with torch.no_grad():
    first.fill_(float("nan"))
model.save("nan.pt")
with torch.no_grad():
    first.copy_(kept)
model.model.model[0].act = FromHere()
model.save("own class.pt")
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of real weights, made with Ultralytics configured as in a trainer process."""
    folder = tmp_path_factory.mktemp("weights")
    environment = trainer_environment(folder, gpu=None, base=os.environ)
    subprocess.run(
        [sys.executable, "-c", MAKE_WEIGHTS], env=environment, cwd=folder, check=True, timeout=100
    )
    return folder


class TestProof:
    def test_weights_that_pass_are_handed_out_with_what_was_proven(
        self, database: Database, tmp_path: Path, weights: Path
    ) -> None:
        made = (weights / "sound.pt", weights / "sound.pt")
        worker = a_worker(database, tmp_path).with_trainer("train", *made)
        job_id = worker.submit(customize={"metrics": {"per_class": True}})

        work_on(worker.context)

        with database.read() as unit:
            rows = {row.name: row for row in artifacts_of(unit.session, job_id)}
        assert {name: row.epoch for name, row in rows.items()} == {
            "best.pt": 3,
            "best_recall.pt": 1,
            "per_class.csv": None,
            "results.csv": None,
            "train.log": None,
        }
        for name in ("best.pt", "best_recall.pt"):
            checks = rows[name].checks or {}
            assert (checks["forward"], checks["safe_load"]) == (True, True)
            assert (checks["task"], checks["classes"]) == ("detect", 80)
        assert rows["results.csv"].checks is None
        table = rows["per_class.csv"]
        text = b"".join(worker.context.store.open_range(table.sha256, 0, table.size_bytes))
        assert text.decode().splitlines() == [
            "epoch,class,recall(B)",
            "1,circle,0.1",
            "1,square,",
            "2,circle,0.2",
            "2,square,",
            "3,circle,0.3",
            "3,square,",
        ]

    @pytest.mark.parametrize(
        "name", ["nan.pt", pytest.param("own class.pt", marks=pytest.mark.slow)]
    )
    def test_weights_of_which_one_fails_fail_the_job_and_none_is_handed_out(
        self,
        sqlite_url: str,
        open_database: Callable[[str], Database],
        tmp_path: Path,
        weights: Path,
        name: str,
    ) -> None:
        database = open_database(sqlite_url)
        made = (weights / "sound.pt", weights / name)
        worker = a_worker(database, tmp_path).with_trainer("train", *made)
        job_id = worker.submit()

        work_on(worker.context)

        job = job_row(database, job_id)
        assert (job.state, job.end_reason) == (JobState.FAILED, EndReason.NOT_PORTABLE)
        assert "best_recall.pt" in str(job.error_message)
        assert str(worker.context.settings.home) not in str(job.error_message)
        with database.read() as unit:
            assert [row.name for row in artifacts_of(unit.session, job_id)] == ["train.log"]


class TestInterruptedChecks:
    def test_a_killed_check_of_the_weights_is_made_again(
        self, database: Database, tmp_path: Path
    ) -> None:
        patient = PATIENT.model_copy(update={"restart_backoff_seconds": 60})
        worker = a_worker(database, tmp_path, timing=patient).with_trainer("train")
        job_id = worker.submit()

        with working(worker):
            eventually(lambda: checks_of_weights(f"{job_id}-1"), within=20)
            for pid in checks_of_weights(f"{job_id}-1"):
                os.kill(pid, signal.SIGKILL)

        with database.read() as unit:
            ended = attempts_of(unit.session, job_id)[0]
        assert ended.end_reason is EndReason.TRAINER_KILLED
        assert job_row(database, job_id).state is JobState.QUEUED

    def test_a_cancel_ends_the_check_of_the_weights_too(
        self, database: Database, worker: Worker
    ) -> None:
        worker = worker.with_trainer("train")
        job_id = worker.submit()

        with working(worker):
            eventually(lambda: checks_of_weights(f"{job_id}-1"), within=20)
            request(database, job_id, JobEvent.CANCEL)
            eventually(lambda: list(living_processes(f"{job_id}-1")) == [], within=5)

        assert job_row(database, job_id).state is JobState.CANCELLED
        with database.read() as unit:
            assert [row.name for row in artifacts_of(unit.session, job_id)] == ["train.log"]
