"""A worker's write is stored once, although the answer to its COMMIT was lost."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from app.core.database import Database
from app.jobs.end_reasons import EndReason
from app.jobs.states import JobState
from app.jobs.tables import Attempt
from tests.faults.first_attempt import FirstAttempt
from tests.faults.proxy import postgres_proxy
from tests.worlds.rows import job_row
from tests.worlds.worker import PATIENT, a_worker
from worker.tasks import work_on

pytestmark = pytest.mark.faults

SAID_AT_THE_COMMIT = {
    "claim": b"INSERT INTO attempts",
    "start": b"trainer.started",
    "epoch": b"INSERT INTO epochs",
    "checkpoint": b"INSERT INTO artifacts",
    "log": b"INSERT INTO log_chunks",
    "end": b"job.failed",
}
"""Per kind of write, bytes that only its transaction sends to the database."""


class TestLostCommit:
    @pytest.mark.parametrize("marker", SAID_AT_THE_COMMIT.values(), ids=SAID_AT_THE_COMMIT)
    def test_d2_a_lost_commit_of_a_worker_changes_nothing(
        self,
        marker: bytes,
        postgres_url: str,
        open_database: Callable[[str], Database],
        tmp_path: Path,
    ) -> None:
        direct = open_database(postgres_url)
        with postgres_proxy(postgres_url) as (proxy, url):
            worker = a_worker(open_database(url), tmp_path, timing=PATIENT).with_trainer(
                "train an epoch, then crash"
            )
            first = FirstAttempt(direct, worker.submit())
            proxy.lose_commit_answers(marker=marker)

            work_on(worker.context)

        row = job_row(direct, first.job_id)
        assert proxy.lost_commits == 1
        assert (row.state, row.end_reason) == (JobState.FAILED, EndReason.TRAINER_CRASHED)
        assert first.events() == ["job.started", "trainer.started", "epoch.finished", "job.failed"]
        assert first.epochs() == [1]
        assert first.checkpoints() == [("best.pt", 1), ("last.pt", 1), ("results.csv", 1)]
        with direct.read() as unit:
            attempts = unit.session.scalars(select(Attempt)).all()
        assert [(each.number, each.end_reason) for each in attempts] == [
            (1, EndReason.TRAINER_CRASHED)
        ]
