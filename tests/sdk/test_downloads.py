"""Download files of jobs, also over connections that break, beside parts of earlier downloads."""

import hashlib
import random
from pathlib import Path

import pytest
from trainyard import Client, NotFoundError

from app.artifacts.names import ArtifactKind
from app.artifacts.repository import insert_artifact
from app.core.storage import ArtifactStore
from app.settings import Settings
from tests.browser.site import Site
from tests.browser.training import a_training
from tests.faults.proxy import Direction, FaultProxy

pytestmark = pytest.mark.integration
BYTES = random.Random(5).randbytes(900_000)


@pytest.fixture
def job(site: Site, tmp_path: Path) -> str:
    """An ended job with a `best.pt`."""
    training = a_training(site, "with files")
    source = tmp_path / "source.pt"
    source.write_bytes(BYTES)
    stored = ArtifactStore.from_settings(Settings(home=site.home)).put_file(source)
    with site.database.write() as unit:
        insert_artifact(
            unit.session,
            training.job,
            stored,
            attempt=1,
            kind=ArtifactKind.WEIGHTS,
            name="best.pt",
            epoch=1,
        )
    training.succeed()
    return training.job


class TestDownloads:
    def test_best_weights_are_written_to_the_named_file(
        self, client: Client, job: str, tmp_path: Path
    ) -> None:
        path = client.jobs.get(job).best.download(tmp_path / "mine.pt")

        assert path.read_bytes() == BYTES
        assert [each.name for each in tmp_path.glob(".*.part")] == []

    @pytest.mark.faults
    def test_a_broken_download_continues_where_it_broke(
        self, far_client: Client, proxy: FaultProxy, job: str, tmp_path: Path
    ) -> None:
        handle = far_client.jobs.get(job)
        proxy.cut_after(random.Random(1).randrange(200_000, 400_000), Direction.TO_CLIENT)
        proxy.break_connections()
        told: list[int] = []

        path = handle.download("best.pt", tmp_path, on_bytes=lambda done, _: told.append(done))

        assert path.read_bytes() == BYTES
        assert told == sorted(told)

    def test_a_part_of_an_earlier_program_is_used(
        self, client: Client, job: str, tmp_path: Path
    ) -> None:
        digest = hashlib.sha256(BYTES).hexdigest()
        (tmp_path / f".best.pt.{digest[:16]}.part").write_bytes(BYTES[:800_000])
        told: list[int] = []

        client.jobs.get(job).download("best.pt", tmp_path, on_bytes=lambda n, _: told.append(n))

        assert told[0] > 800_000
        assert (tmp_path / "best.pt").read_bytes() == BYTES

    def test_a_damaged_part_is_replaced(self, client: Client, job: str, tmp_path: Path) -> None:
        digest = hashlib.sha256(BYTES).hexdigest()
        (tmp_path / f".best.pt.{digest[:16]}.part").write_bytes(b"damaged")

        client.jobs.get(job).download("best.pt", tmp_path)

        assert (tmp_path / "best.pt").read_bytes() == BYTES

    def test_a_file_that_the_job_does_not_have_leaves_nothing(
        self, client: Client, job: str, tmp_path: Path
    ) -> None:
        target = tmp_path / "empty"
        target.mkdir()

        with pytest.raises(NotFoundError):
            client.jobs.get(job).download("other.pt", target)

        assert list(target.iterdir()) == []
