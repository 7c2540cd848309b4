"""A server or worker that is killed at any named crash point loses and duplicates no record."""

import hashlib
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from app.core.crash_points import CRASH_AT_VARIABLE, CrashPoint
from tests.architecture.sources import ROOT
from tests.databases import shared_database
from tests.faults.invariants import violations
from tests.waiting import eventually
from tests.worlds.cluster import Cluster, Node, null_job
from tests.worlds.server import MODELS

pytestmark = [pytest.mark.integration, pytest.mark.faults]

TUS = {"Tus-Resumable": "1.0.0"}
DEATH_SECONDS = 60.0
JOB_SECONDS = 90.0

OF_A_WORKER = {
    CrashPoint.CLAIM_BEFORE_COMMIT: 1,
    CrashPoint.CLAIM_AFTER_COMMIT: 1,
    CrashPoint.ATTEMPT_DIRECTORY_MADE: 1,
    CrashPoint.DATASET_BROUGHT: 1,
    CrashPoint.JOB_FILE_WRITTEN: 1,
    CrashPoint.TRAINER_SPAWNED: 1,
    CrashPoint.CHECKPOINT_STORED: 2,
    CrashPoint.EPOCH_BEFORE_COMMIT: 2,
    CrashPoint.EPOCH_AFTER_COMMIT: 3,
    CrashPoint.FINALIZING_SET: 1,
    CrashPoint.WEIGHTS_PROVED: 1,
    CrashPoint.ARTIFACTS_STORED: 1,
    CrashPoint.END_BEFORE_COMMIT: 1,
    CrashPoint.END_AFTER_COMMIT: 1,
}
"""The pass at which the process dies; from the third epoch on, an old checkpoint is dropped."""
LIKE_ANOTHER = {
    CrashPoint.JOB_FILE_WRITTEN,
    CrashPoint.TRAINER_SPAWNED,
    CrashPoint.EPOCH_AFTER_COMMIT,
    CrashPoint.WEIGHTS_PROVED,
    CrashPoint.FINALIZING_SET,
    CrashPoint.CLAIM_AFTER_COMMIT,
    CrashPoint.DATASET_BROUGHT,
    CrashPoint.ARTIFACTS_STORED,
    CrashPoint.BELL_BEFORE_SENDING,
    CrashPoint.VERIFICATION_CLAIMED,
    CrashPoint.CHECKPOINT_STORED,
    CrashPoint.END_AFTER_COMMIT,
    CrashPoint.SUBMIT_AFTER_COMMIT,
    CrashPoint.ATTEMPT_DIRECTORY_MADE,
    CrashPoint.END_BEFORE_COMMIT,
    CrashPoint.CLAIM_BEFORE_COMMIT,
    CrashPoint.UPLOAD_SAVED,
    CrashPoint.UPLOAD_STORED,
    CrashPoint.UPLOAD_FINISHED,
}
"""Only `make test-slow` runs these: a neighbouring point leaves the same state behind."""
OF_A_SUBMIT = (
    CrashPoint.SUBMIT_BEFORE_COMMIT,
    CrashPoint.SUBMIT_AFTER_COMMIT,
    CrashPoint.BELL_BEFORE_SENDING,
)
OF_A_VERIFICATION = (CrashPoint.VERIFICATION_CLAIMED, CrashPoint.VERIFICATION_JUDGED)
OF_AN_UPLOAD = {
    CrashPoint.UPLOAD_SYNCED: 2,
    CrashPoint.UPLOAD_SAVED: 1,
    CrashPoint.UPLOAD_STORED: 1,
    CrashPoint.UPLOAD_FINISHED: 1,
}
"""The pass at which the server dies: in the second of two requests, or after the first."""
OF_THE_RECONCILER = (CrashPoint.RECONCILER_HAS_READ,)


def marked(points: Iterable[CrashPoint]) -> list[Any]:
    return [
        pytest.param(point, marks=pytest.mark.slow if point in LIKE_ANOTHER else ())
        for point in points
    ]


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]
)
def module_database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Each point starts two processes, so `make test` has time for one database only."""
    yield from shared_database(request, tmp_path_factory)


@pytest.fixture(scope="module")
def worker(cluster: Cluster) -> Node:
    worker = cluster.add_worker()
    worker.program.start()
    cluster.await_null_trainer()
    return worker


class TestAWorkerKilledAt:
    @pytest.mark.parametrize("point", marked(OF_A_WORKER), ids=str)
    def test_a_job_succeeds_after_its_worker_was_killed_at_any_crash_point(
        self, cluster: Cluster, dataset: str, worker: Node, point: CrashPoint
    ) -> None:
        worker.program.kill()
        worker.program.start(**{CRASH_AT_VARIABLE: f"{point}:{OF_A_WORKER[point]}"})

        job_id = cluster.submit(dataset, **null_job(epochs=4))
        assert worker.program.died(DEATH_SECONDS) == -signal.SIGKILL
        worker.program.start()

        cluster.finish(job_id, within=JOB_SECONDS)
        assert violations(cluster) == []


class TestAServerKilledAt:
    @pytest.mark.parametrize("point", marked(OF_A_SUBMIT), ids=str)
    def test_a_submit_survives_a_server_killed_at_any_crash_point(
        self, cluster: Cluster, dataset: str, worker: Node, point: CrashPoint
    ) -> None:
        (server,) = cluster.servers
        _make_run(worker)
        server.program.kill()
        server.program.started(**{CRASH_AT_VARIABLE: point})

        _submit_once(cluster, dataset, key=point)
        assert server.program.died(DEATH_SECONDS) == -signal.SIGKILL
        server.program.start()

        job_id = cluster.submit(dataset, key=point, **null_job())
        cluster.finish(job_id, within=JOB_SECONDS)
        assert violations(cluster) == []

    @pytest.mark.parametrize("point", marked(OF_A_VERIFICATION), ids=str)
    @pytest.mark.slow
    def test_a_verification_survives_a_server_killed_at_any_crash_point(
        self, cluster: Cluster, archive: Path, point: CrashPoint
    ) -> None:
        (server,) = cluster.servers
        server.program.kill()
        server.program.started(**{CRASH_AT_VARIABLE: point})

        with cluster.client() as client, suppress(httpx.HTTPError):
            client.post(
                f"/v1/datasets?name={point.name.lower()}",
                content=archive.read_bytes(),
                headers={"Content-Type": "application/zip"},
            )
        assert server.program.died(DEATH_SECONDS) == -signal.SIGKILL
        server.program.start()

        cluster.upload(archive, name=point.name.lower())
        assert violations(cluster) == []

    @pytest.mark.parametrize("point", marked(OF_AN_UPLOAD), ids=str)
    def test_an_upload_survives_a_server_killed_at_any_crash_point(
        self, cluster: Cluster, archive: Path, point: CrashPoint
    ) -> None:
        (server,) = cluster.servers
        content = archive.read_bytes() + point.encode()
        created = cluster.insist(
            "POST", "/v1/uploads", headers={**TUS, "Upload-Length": str(len(content))}
        )
        path = created.headers["Location"]
        server.program.kill()
        server.program.started(**{CRASH_AT_VARIABLE: f"{point}:{OF_AN_UPLOAD[point]}"})

        with suppress(httpx.HTTPError):
            _send_halves(cluster, path, content)
        assert server.program.died(DEATH_SECONDS) == -signal.SIGKILL
        server.program.start()
        _send_halves(cluster, path, content)

        upload = cluster.get(path)
        assert upload["sha256"] == hashlib.sha256(content).hexdigest()
        assert violations(cluster) == []

    @pytest.mark.parametrize("point", OF_THE_RECONCILER, ids=str)
    @pytest.mark.slow
    def test_a_reconciliation_survives_a_server_killed_at_any_crash_point(
        self, cluster: Cluster, dataset: str, worker: Node, point: CrashPoint
    ) -> None:
        (server,) = cluster.servers
        _make_run(worker)
        job_id = cluster.submit(dataset, **null_job(epochs=20, seconds_per_epoch=0.2))
        eventually(lambda: cluster.job(job_id)["state"] == "running", within=JOB_SECONDS)
        server.program.kill()
        worker.program.kill()

        server.program.start(**{CRASH_AT_VARIABLE: point})
        assert server.program.died(DEATH_SECONDS) == -signal.SIGKILL
        server.program.start()
        worker.program.start()

        cluster.finish(job_id, within=JOB_SECONDS)
        assert violations(cluster) == []


def test_every_point_has_its_kill() -> None:
    here = {
        *OF_A_WORKER,
        *OF_A_SUBMIT,
        *OF_A_VERIFICATION,
        *OF_AN_UPLOAD,
        *OF_THE_RECONCILER,
    }
    elsewhere = ("ops/test_racing.py", "webhooks/test_fan_out.py", "webhooks/test_sender.py")
    others = "".join((ROOT / "tests" / name).read_text() for name in elsewhere)

    missing = [point for point in CrashPoint if point not in here]

    assert [point for point in missing if f"CrashPoint.{point.name}" not in others] == []


def _make_run(worker: Node) -> None:
    if not worker.program.is_alive:
        worker.program.start()


def _submit_once(cluster: Cluster, dataset: str, *, key: str) -> None:
    spec = {"dataset": dataset, "model": MODELS["detect"], **null_job()}
    with cluster.client() as client, suppress(httpx.HTTPError):
        client.post("/v1/jobs", json=spec, headers={"Idempotency-Key": key})


def _send_halves(cluster: Cluster, path: str, content: bytes) -> None:
    """Send what the server lacks: first up to the half, then the rest, or an empty last chunk."""
    for end in (len(content) // 2, len(content)):
        answer = cluster.insist("HEAD", path, headers=TUS)
        offset = int(answer.headers["Upload-Offset"])
        headers = {
            **TUS,
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": str(offset),
        }
        with cluster.client() as client:
            client.patch(path, content=content[offset:end], headers=headers).raise_for_status()
