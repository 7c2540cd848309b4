"""Machine clocks that are wrong or jump: leases and durations do not depend on them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.faults.invariants import violations
from tests.worlds.cluster import Cluster, a_cluster, null_job

pytestmark = [pytest.mark.integration, pytest.mark.faults]

JOB_SECONDS = 120.0
HOUR = 3600
CLOCKS = {"jumping": "next(steps)", "an hour fast": "3600.0", "an hour slow": "-3600.0"}
FAKE = '''
"""A FAKE clock, at the edge of a process: what Python tells of the time of day is shifted."""
import itertools, time
steps = itertools.cycle([0.0, 3600.0, -3600.0])
true_time, true_time_ns = time.time, time.time_ns
time.time = lambda: true_time() + {shift}
time.time_ns = lambda: true_time_ns() + int(1e9 * {shift})
'''


@pytest.fixture
def cluster(postgres_url: str, tmp_path: Path) -> Iterator[Cluster]:
    with a_cluster(tmp_path / "cluster", postgres_url) as cluster:
        yield cluster


@pytest.mark.slow
@pytest.mark.parametrize(
    "clock",
    CLOCKS,
)
def test_c1_c2_a_worker_with_a_wrong_clock_keeps_its_lease(
    cluster: Cluster, archive: Path, tmp_path: Path, clock: str
) -> None:
    fake = tmp_path / "clock"
    fake.mkdir()
    (fake / "sitecustomize.py").write_text(FAKE.format(shift=CLOCKS[clock]))
    cluster.add_worker().program.start(PYTHONPATH=str(fake))
    cluster.await_null_trainer()

    job_id = cluster.submit(cluster.upload(archive), **null_job(epochs=15, seconds_per_epoch=0.4))
    job = cluster.finish(job_id, within=JOB_SECONDS)

    attempts = cluster.get(f"/v1/jobs/{job_id}/attempts")["data"]
    assert [each["end_reason"] for each in attempts] == ["succeeded"]
    ended_at = datetime.fromisoformat(job["ended_at"])
    assert abs((datetime.now(UTC) - ended_at).total_seconds()) < HOUR / 4
    assert violations(cluster) == []
