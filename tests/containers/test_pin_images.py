"""`make pin-images` adds a digest to every image, and touches nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT

FILES = ("docker/server.Dockerfile", "docker/worker.Dockerfile", "docker-compose.yml")
DIGEST = "sha256:" + "a1" * 32
OLDER = "sha256:" + "b2" * 32


@pytest.fixture
def copies(tmp_path: Path) -> list[Path]:
    """Return copies of our own files."""
    for name in FILES:
        (tmp_path / Path(name).name).write_text((ROOT / name).read_text())
    return [tmp_path / Path(name).name for name in FILES]


def pin(paths: list[Path], docker: str) -> subprocess.CompletedProcess[str]:
    """Run the command with a fake docker, which stands for a registry that is not there."""
    fake = paths[0].with_name("docker")
    fake.write_text(f"#!/bin/sh\n{docker}\n")
    fake.chmod(0o755)
    return subprocess.run(
        [sys.executable, ROOT / "docker/pin_images.py", *paths],
        env={"PATH": f"{fake.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def images(path: Path) -> list[str]:
    """Return the images that a file takes from a registry."""
    lines = [line.split() for line in path.read_text().splitlines()]
    named = [words[1] for words in lines if words[:1] in (["FROM"], ["image:"])]
    return [name for name in named if ":" in name]


def test_every_image_of_a_registry_gets_its_digest(copies: list[Path]) -> None:
    before = [name for path in copies for name in images(path)]

    made = pin(copies, f"echo {DIGEST}")

    assert made.returncode == 0, made.stderr
    assert len(before) == 6
    assert [name for path in copies for name in images(path)] == [
        f"{name.partition('@')[0]}@{DIGEST}" for name in before
    ]


def test_an_older_digest_is_replaced(copies: list[Path]) -> None:
    pin(copies, f"echo {OLDER}")
    pin(copies, f"echo {DIGEST}")

    assert all(name.endswith(f"@{DIGEST}") for path in copies for name in images(path))
    assert OLDER not in "".join(path.read_text() for path in copies)


@pytest.mark.parametrize("docker", ["exit 1", "echo not-a-digest"])
def test_without_a_digest_no_file_is_changed(copies: list[Path], docker: str) -> None:
    before = [path.read_text() for path in copies]

    made = pin(copies, docker)

    assert made.returncode == 1
    assert "docker gave no digest for python:" in made.stderr
    assert [path.read_text() for path in copies] == before
