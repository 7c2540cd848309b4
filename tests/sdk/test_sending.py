"""Send datasets and weights to a real server, also over connections that break."""

import random
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from trainyard import Client, DatasetInvalidError, LayoutError

if TYPE_CHECKING:
    from trainyard.operations.pushes import PushProgress

from tests.browser.site import Site
from tests.datasets.builders import a_classify_zip
from tests.faults.proxy import Direction, FaultProxy

pytestmark = pytest.mark.integration


class TestPush:
    def test_a_folder_becomes_a_ready_version(
        self, client: Client, shapes: Path, surface: str
    ) -> None:
        told: list[PushProgress] = []

        version = client.datasets.push(shapes, f"folder {surface}", progress=told.append)

        assert (version.state, version.images) == ("ready", {"train": 6, "val": 3})
        assert [step.step for step in told if step.done == 1.0][:2] == ["reading", "sending"]

    def test_an_unchanged_dataset_is_neither_sent_nor_verified_again(
        self, client: Client, shapes: Path, surface: str
    ) -> None:
        name = f"unchanged {surface}"
        first = client.datasets.push(shapes, name)

        second = client.datasets.push(shapes, name, wait=False)

        assert second.version == first.version

    @pytest.mark.slow
    def test_only_new_files_are_sent(self, client: Client, shapes: Path, surface: str) -> None:
        name = f"grows {surface}"
        client.datasets.push(shapes / "data.yaml", name)
        new = shapes / "images" / "train" / "new.png"
        new.write_bytes(next((shapes / "images" / "val").iterdir()).read_bytes() + b"\0")
        told: list[PushProgress] = []

        client.datasets.push(shapes / "data.yaml", name, progress=told.append, wait=False)

        sent = max(step.bytes_total for step in told if step.step == "sending")
        read = max(step.bytes_total for step in told if step.step == "reading")
        assert sent < read / 2

    def test_findings_are_printed_with_file_and_remedy(
        self, client: Client, shapes: Path, surface: str
    ) -> None:
        for label in (shapes / "labels" / "train").iterdir():
            label.write_text("7 0.5 0.5 0.1 0.1\n")

        with pytest.raises(DatasetInvalidError) as caught:
            client.datasets.push(shapes, f"wrong {surface}")

        assert "labels/train" in str(caught.value)
        assert caught.value.findings[0].remedy in str(caught.value)

    def test_nothing_is_sent_of_a_folder_without_labels(
        self, client: Client, shapes: Path, site: Site, surface: str
    ) -> None:
        for label in shapes.glob("labels/*/*.txt"):
            label.unlink()

        with pytest.raises(LayoutError, match="labels"):
            client.datasets.push(shapes, f"bare {surface}")

        with site.client as reader:
            assert reader.get("/v1/datasets", params={"q": f"bare {surface}"}).json()["data"] == []

    @pytest.mark.slow
    def test_an_archive_is_sent_as_it_is(
        self, client: Client, shapes_zip: Path, surface: str
    ) -> None:
        version = client.datasets.push(shapes_zip, f"archive {surface}")

        assert version.images == {"train": 6, "val": 3}

    @pytest.mark.faults
    def test_an_upload_whose_connections_break_arrives_whole(
        self, far_client: Client, proxy: FaultProxy, shapes: Path, surface: str
    ) -> None:
        chance = random.Random(surface)
        for number in range(3):
            picture = Image.frombytes("RGB", (256, 256), chance.randbytes(3 * 256 * 256))
            picture.save(shapes / "images" / "train" / f"noise{number}.png")
            (shapes / "labels" / "train" / f"noise{number}.txt").write_text("0 .5 .5 .5 .5\n")
        far_client.request("GET", "/v1/me")
        proxy.cut_after(chance.randrange(60_000, 120_000), Direction.TO_SERVER)

        version = far_client.datasets.push(shapes, f"broken {surface}")

        assert version.images == {"train": 9, "val": 3}

    @pytest.mark.slow
    def test_a_folder_that_is_called_as_one_of_another_task_becomes_a_dataset_of_its_own(
        self, client: Client, shapes: Path, surface: str, tmp_path: Path
    ) -> None:
        name = f"called alike {surface}"
        client.datasets.push(shapes, name)
        with zipfile.ZipFile(a_classify_zip(tmp_path / "classes.zip")) as archive:
            archive.extractall(tmp_path / name)

        job = client.train(data=tmp_path / name, model="yolo26n-cls.yaml", epochs=1)

        trained_on = client.datasets.get(job.view.dataset)
        assert (trained_on.name, trained_on.task) == (f"{name}-classify", "classify")

    def test_a_version_can_be_pulled(
        self, client: Client, shapes: Path, tmp_path: Path, surface: str
    ) -> None:
        version = client.datasets.push(shapes, f"pulled {surface}")

        path = client.datasets.pull(version.id, tmp_path)

        assert path.read_bytes()[:2] == b"PK"
        assert path.name == f"pulled {surface}.zip"
