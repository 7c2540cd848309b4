"""Doorbells ring many times and in many processes, but a job starts once."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from app.core.database import Database
from app.jobs.repository import attempts_of
from tests.worlds.rows import a_job, some_rows

ROOT = Path(__file__).parents[2]
PROCESSES = 8
JOBS = 200

CLAIM_EVERYTHING = """
import json, os, random, sys
from datetime import timedelta
from app.core.database import Database
from app.jobs.life.claim import SlotOffer, claim_job

def claim_everything(url, name, bells):
    database, claimed = Database(url, pool_size=2), []
    offer = SlotOffer(name, ("default",), gpus=0)
    random.shuffle(bells)
    for bell in bells:
        with database.write() as unit:
            job = claim_job(unit.session, offer, lease=timedelta(seconds=90), rung_for=bell)
        if job is None:
            break
        claimed.append(job.id)
    return claimed

url, count, *bells = sys.argv[1:]
for number in range(int(count)):
    if os.fork() == 0:
        claimed = claim_everything(url, f"wrk_{number}", bells)
        os.write(1, json.dumps(claimed).encode() + b"\\n")
        os._exit(0)
codes = [os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(int(count))]
raise SystemExit(any(codes))
"""


@pytest.mark.integration
class TestClaiming:
    @pytest.mark.mostly_sqlite
    def test_one_of_eight_processes_that_hear_every_bell_starts_each_of_200_jobs(
        self, database: Database, database_url: str
    ) -> None:
        rows = some_rows(database)
        jobs = [a_job(database, rows) for _ in range(JOBS)]

        finished = subprocess.run(
            [sys.executable, "-c", CLAIM_EVERYTHING, database_url, str(PROCESSES), *jobs],
            cwd=ROOT,
            capture_output=True,
            timeout=120,
            check=False,
        )

        assert finished.returncode == 0, finished.stderr.decode()
        starts = Counter(job for line in finished.stdout.splitlines() for job in json.loads(line))
        assert starts == dict.fromkeys(jobs, 1)
        with database.read() as unit:
            attempts = [len(attempts_of(unit.session, job)) for job in jobs]
        assert attempts == [1] * JOBS
