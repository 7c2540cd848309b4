"""`trainyard train` beside `yolo train`: the same numbers and weights, in the same places."""

import os
import subprocess
import zipfile
from pathlib import Path
from typing import Final

import pytest

from tests.datasets import builders
from tests.e2e.conftest import Plain
from tests.e2e.equal_runs import plain_arguments, rows_of
from tests.worlds.server import COMMAND, MODELS, TRAIN_IMAGES, VAL_IMAGES, Server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

SECONDS: Final = 600


def places(folder: Path) -> set[str]:
    return {str(it.relative_to(folder)) for it in folder.rglob("*") if it.is_file()}


def typed(server: Server, folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Type a command in a folder, as a person who has the server's key."""
    home = folder / "person"
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [COMMAND, *words],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TRAINYARD_URL": server.url,
            "TRAINYARD_API_KEY": server.key,
        },
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


class TestTrainCommand:
    @pytest.mark.parametrize(
        "task",
        ["detect", *(pytest.param(it, marks=pytest.mark.slow) for it in MODELS if it != "detect")],
    )
    def test_one_command_leaves_what_yolo_leaves(
        self, server: Server, plain: Plain, tmp_path: Path, task: str
    ) -> None:
        archive = builders.ZIPS[task](tmp_path / "set.zip", train=TRAIN_IMAGES, val=VAL_IMAGES)
        data = tmp_path / "set"
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(data)
        theirs = tmp_path / "theirs"
        overrides = plain_arguments(task, data, theirs)
        words = [f"{name}={value}" for name, value in overrides.items() if name != "save_dir"]

        finished = typed(server, tmp_path, "train", *words)

        assert finished.returncode == 0, finished.stderr
        mine = tmp_path / "runs" / task / "train"
        assert finished.stdout == f"{mine}/weights/best.pt\n"
        plain("train", {"task": task, "overrides": overrides})
        assert rows_of(mine / "results.csv") == rows_of(theirs / "results.csv")
        assert places(mine) == places(theirs)
        weights = {
            name: [str(folder / "weights" / name) for folder in (mine, theirs)]
            for name in ("best.pt", "last.pt")
        }
        digests = plain("digests", {"weights": [it for both in weights.values() for it in both]})
        assert all(digests[one] == digests[other] for one, other in weights.values())
