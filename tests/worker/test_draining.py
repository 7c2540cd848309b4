"""Draining in real processes: `python -m worker` and the slot that it starts."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from app.core.broker import EmbeddedBroker
from app.core.database import Database
from app.jobs.end_reasons import EndReason
from app.jobs.states import JobState
from tests.architecture.sources import ROOT
from tests.waiting import eventually
from tests.worlds.rows import job_row
from tests.worlds.worker import FAKE_TRAINER, Worker, a_worker, attempts, epochs_of, working
from worker.processes.process import living_processes

pytestmark = pytest.mark.integration

CONTAINER_GRACE_SECONDS = 10.0
"""What container engines give a container from SIGTERM to SIGKILL, unless configured otherwise."""

FAKE_INSTEAD = """
import os, sys
if sys.orig_argv[1:3] == ["-m", "worker.trainer"]:
    os.execv(sys.executable, [sys.executable, {fake!r}, {scenario!r}, sys.orig_argv[-1]])
"""


@pytest.fixture
def worker(sqlite_url: str, open_database: Callable[[str], Database], tmp_path: Path) -> Worker:
    return a_worker(open_database(sqlite_url), tmp_path)


@contextmanager
def serving(
    worker: Worker, folder: Path, scenario: str, **settings: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker and its broker; each trainer that starts is replaced by the fake one."""
    packages = folder / "packages"
    packages.mkdir()
    fake = shutil.copy2(FAKE_TRAINER, packages)  # a cage shows this folder, and no tests
    program = FAKE_INSTEAD.format(fake=str(fake), scenario=scenario)
    (packages / "sitecustomize.py").write_text(program)
    home = worker.context.settings.home
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith("TRAINYARD_")},
        "PYTHONPATH": str(packages),
        "TRAINYARD_HOME": str(home),
        "TRAINYARD_DATABASE_URL": str(worker.context.database.engine.url),
        **settings,
    }
    broker = EmbeddedBroker(home)
    broker.start()
    with ExitStack() as stack:
        stack.callback(broker.stop)
        log = stack.enter_context((folder / "worker.log").open("wb"))
        process = subprocess.Popen(
            [sys.executable, "-m", "worker", "--slots", "cpu"],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=ROOT,
            start_new_session=True,
        )
        stack.callback(process.wait, 30)
        stack.callback(process.kill)
        yield process


class TestSigterm:
    @pytest.mark.slow
    def test_a_worker_gives_its_job_back_within_the_grace_of_a_container(
        self, worker: Worker, tmp_path: Path
    ) -> None:
        database, job_id = worker.context.database, worker.submit()
        with serving(worker, tmp_path, "hang after an epoch") as process:
            eventually(lambda: epochs_of(database, job_id), within=60)
            began = time.monotonic()

            process.terminate()

            assert process.wait(60) == 0
            seconds = time.monotonic() - began

        job = job_row(database, job_id)
        assert (job.state, job.restarts, job.not_before_at) == (JobState.QUEUED, 0, None)
        assert attempts(database, job_id)[0].end_reason is EndReason.WORKER_DRAINED
        assert list(living_processes(f"{job_id}-1")) == []
        assert seconds < CONTAINER_GRACE_SECONDS

    @pytest.mark.slow
    def test_a_second_sigterm_kills_a_stubborn_trainer_and_gives_the_job_back(
        self, worker: Worker, tmp_path: Path
    ) -> None:
        database, job_id = worker.context.database, worker.submit()
        patience = {"TRAINYARD_TIMING__KILL_GRACE_SECONDS": "120"}
        with serving(worker, tmp_path, "hang stubbornly", **patience) as process:
            eventually(lambda: epochs_of(database, job_id), within=60)
            process.terminate()
            log = tmp_path / "worker.log"
            eventually(lambda: b"trainer.leave_requested" in log.read_bytes(), within=20)

            process.send_signal(signal.SIGTERM)

            assert process.wait(30) == 0

        assert job_row(database, job_id).state is JobState.QUEUED
        assert attempts(database, job_id)[0].end_reason is EndReason.WORKER_DRAINED
        assert list(living_processes(f"{job_id}-1")) == []


class TestTheLastCheckpoint:
    def test_the_last_checkpoint_is_stored_before_the_job_is_given_back(
        self, worker: Worker
    ) -> None:
        database = worker.context.database
        worker = worker.with_trainer("hang after an epoch")
        job_id = worker.submit()

        with working(worker):
            attempt = worker.context.attempts_folder / f"{job_id}-1"
            eventually((attempt / "job.json").exists, within=20)
            eventually(lambda: any(living_processes(attempt.name)), within=20)
            with database.write():  # no other attempt can write, and the trainer continues
                run = attempt / "run"
                eventually((run / "results.csv").exists, within=20)
                worker.context.leaving.set()
                eventually(lambda: not any(living_processes(f"{job_id}-1")), within=20)

        assert job_row(database, job_id).state is JobState.QUEUED
        assert epochs_of(database, job_id) == [(1, 1)]
