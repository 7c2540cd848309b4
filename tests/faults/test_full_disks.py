"""A full disk ends a job or request with a named error, shows no partial file, and recovers."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.datasets.builders import a_detect_zip
from tests.faults.invariants import violations
from tests.faults.small_disk import SmallDisk, small_disk
from tests.waiting import eventually
from tests.worlds.cluster import Cluster, a_cluster, null_job

pytestmark = [pytest.mark.integration, pytest.mark.faults]

JOB_SECONDS = 90.0
CHECKPOINT_BYTES = 512 * 1024
ENDLESS = null_job(epochs=1000, seconds_per_epoch=0.5, checkpoint_bytes=CHECKPOINT_BYTES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("full") / "cluster"


@pytest.fixture(scope="module")
def disks(folder: Path) -> Iterator[dict[str, SmallDisk]]:
    """Mount the disks of store and worker; a server with less than 256 MiB free is not ready."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(small_disk(folder / name, mebibytes=288))
            for name in ("store", "worker-0")
        }


@pytest.fixture(scope="module")
def cluster(disks: dict[str, SmallDisk], folder: Path, sqlite_template: Path) -> Iterator[Cluster]:
    assert disks
    database = folder / "trainyard.db"
    shutil.copyfile(sqlite_template, database)
    with a_cluster(folder, f"sqlite:///{database}") as cluster:
        cluster.add_worker().program.start()
        cluster.await_null_trainer()
        yield cluster


class TestAFullDisk:
    @pytest.mark.parametrize("where", ["store", pytest.param("worker-0", marks=pytest.mark.slow)])
    def test_s1_a_full_disk_fails_the_job_by_name_and_the_next_one_succeeds(
        self, cluster: Cluster, dataset: str, disks: dict[str, SmallDisk], where: str
    ) -> None:
        job_id = cluster.submit(dataset, **ENDLESS)
        eventually(
            lambda: cluster.job(job_id)["progress"], within=JOB_SECONDS, message=cluster.tails
        )

        disks[where].fill()
        eventually(lambda: cluster.job(job_id)["state"] == "failed", within=JOB_SECONDS)
        disks[where].make_room()

        assert cluster.job(job_id)["error"]["code"] == "disk_full"
        cluster.finish(cluster.submit(dataset, **null_job()), within=JOB_SECONDS)
        assert violations(cluster) == []

    def test_s1_a_full_disk_refuses_an_upload_with_507_and_takes_it_later(
        self, cluster: Cluster, tmp_path: Path, disks: dict[str, SmallDisk]
    ) -> None:
        archive = a_detect_zip(tmp_path / "other.zip", train=6, val=3)
        disks["store"].fill()
        with cluster.client() as client:
            answer = client.post(
                "/v1/datasets?name=later",
                content=archive.read_bytes(),
                headers={"Content-Type": "application/zip"},
            )
        disks["store"].make_room()

        assert answer.status_code == 507
        assert answer.json()["type"] == "urn:trainyard:problem:insufficient-storage"
        cluster.upload(archive, name="later")
        assert violations(cluster) == []
