"""The generator of drawn shapes: repeatable, with correct labels and unequal classes."""

import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.architecture.sources import ROOT

pytestmark = pytest.mark.unit

SCRIPT = ROOT / "examples" / "shapes.py"
DIMMEST_SHAPE = 120
"""No channel of a shape is darker, and no channel of the background is as bright."""


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., zipfile.ZipFile]:
    def make(*options: str) -> zipfile.ZipFile:
        out = tmp_path / f"{'-'.join(options) or 'default'}.zip"
        subprocess.run([sys.executable, SCRIPT, out, *options], check=True, capture_output=True)
        return zipfile.ZipFile(out)

    return make


def contents(archive: zipfile.ZipFile) -> dict[str, bytes]:
    return {name: archive.read(name) for name in archive.namelist()}


class TestShapes:
    def test_the_same_seed_draws_the_same(self, make: Callable[..., zipfile.ZipFile]) -> None:
        few = ("--train", "2", "--val", "1")

        first, again = contents(make(*few)), contents(make(*few, "--seed", "0"))

        assert first == again
        assert first != contents(make(*few, "--seed", "1"))

    def test_classes_are_unequal_and_every_image_has_labels(
        self, make: Callable[..., zipfile.ZipFile]
    ) -> None:
        files = contents(make())

        labels = [text.decode() for name, text in files.items() if name.startswith("labels/")]
        counts = Counter(line.split()[0] for text in labels for line in text.splitlines())
        assert len(labels) == 80
        assert all(labels)
        assert counts["0"] > counts["1"] > counts["2"] > 20

    def test_shapes_stand_where_the_labels_say_and_nowhere_else(
        self, make: Callable[..., zipfile.ZipFile]
    ) -> None:
        files = contents(make("--train", "3", "--val", "1"))

        for name in (name for name in files if name.startswith("images/")):
            image = Image.open(BytesIO(files[name]))
            label = name.replace("images/", "labels/").replace(".png", ".txt")
            for line in files[label].decode().splitlines():
                x, y, width, _ = (float(word) * image.width for word in line.split()[1:])
                assert np.asarray(image)[int(y), int(x)].min() >= DIMMEST_SHAPE
                image.paste(0, box_around(x, y, width / 2 + 1))
            assert np.asarray(image).max() < DIMMEST_SHAPE


def box_around(x: float, y: float, half: float) -> tuple[int, int, int, int]:
    return round(x - half), round(y - half), round(x + half), round(y + half)
