import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.counting import counted
from worker.trainer.atomic_path import AtomicPath, equal_files_linked
from worker.trainer.mixins.checkpoints import portable_values

KILLED_WHILE_IT_WRITES = """
import os, random, signal, sys, time
from pathlib import Path
from worker.trainer.atomic_path import AtomicPath

SIZE, rng = 1_000_000, random.Random(0)
folder = Path(sys.argv[1])
file, links = AtomicPath(folder / "last.pt"), 0
for kill in range(15):
    writer = os.fork()
    if writer == 0:
        for turn in range(10**6):
            file.write_bytes(bytes([turn % 256]) * SIZE)
            os.link(file, folder / f"{kill}-{turn}.link")
    time.sleep(rng.uniform(0.005, 0.06))
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    for each in folder.glob("*.link"):
        links += 1
        assert len(each.read_bytes()) == SIZE and len(set(each.read_bytes())) == 1, each
        each.unlink()
    assert not file.exists() or len(file.read_bytes()) == SIZE
assert links, "none was written at all"
"""


class Exploding:
    """A buffer that cannot be written."""


class TestAtomicPath:
    def test_an_atomic_path_replaces_the_file_and_leaves_linked_bytes_alone(
        self, tmp_path: Path
    ) -> None:
        file = AtomicPath(tmp_path / "last.pt")
        file.write_bytes(b"first")
        (tmp_path / "link").hardlink_to(file)

        file.write_bytes(b"second")

        assert (file.read_bytes(), (tmp_path / "link").read_bytes()) == (b"second", b"first")

    def test_an_atomic_path_keeps_the_old_bytes_when_writing_fails(self, tmp_path: Path) -> None:
        file = AtomicPath(tmp_path / "last.pt")
        file.write_bytes(b"first")

        with pytest.raises(TypeError):
            file.write_bytes(Exploding())

        assert file.read_bytes() == b"first"

    @pytest.mark.slow
    def test_a_file_of_an_atomic_path_is_whole_whenever_its_process_is_killed(
        self, tmp_path: Path
    ) -> None:
        program = [sys.executable, "-c", KILLED_WHILE_IT_WRITES, str(tmp_path)]

        done = subprocess.run(program, capture_output=True, text=True, timeout=100, check=False)

        assert done.returncode == 0, done.stderr

    def test_an_atomic_path_is_not_synced(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with counted(monkeypatch, os, "fsync") as syncs:
            AtomicPath(tmp_path / "last.pt").write_bytes(b"first")

        assert syncs == []

    def test_children_of_an_atomic_path_are_atomic_paths(self, tmp_path: Path) -> None:
        assert isinstance(AtomicPath(tmp_path) / "epoch3.pt", AtomicPath)


class TestEqualFilesLinked:
    def test_a_second_path_of_the_same_bytes_becomes_a_link(self, tmp_path: Path) -> None:
        last, best = AtomicPath(tmp_path / "last.pt"), AtomicPath(tmp_path / "best.pt")
        best.write_bytes(b"of an earlier epoch")
        content = b"first"

        with equal_files_linked():
            sizes = [file.write_bytes(content) for file in (last, best)]

        assert sizes == [5, 5]
        assert best.samefile(last)
        assert {file.name for file in tmp_path.iterdir()} == {"last.pt", "best.pt"}

    def test_a_path_of_other_bytes_becomes_a_file_of_its_own(self, tmp_path: Path) -> None:
        last, best = AtomicPath(tmp_path / "last.pt"), AtomicPath(tmp_path / "best.pt")
        first, second = b"first", b"second"

        with equal_files_linked():
            last.write_bytes(first)
            last.write_bytes(second)
            best.write_bytes(first)

        assert (last.read_bytes(), best.read_bytes()) == (second, first)

    def test_the_next_checkpoint_leaves_a_linked_best_alone(self, tmp_path: Path) -> None:
        last, best = AtomicPath(tmp_path / "last.pt"), AtomicPath(tmp_path / "best.pt")
        content = b"first"
        with equal_files_linked():
            last.write_bytes(content)
            best.write_bytes(content)

        with equal_files_linked():
            last.write_bytes(b"second")

        assert best.read_bytes() == b"first"

    def test_bytes_that_may_change_are_not_linked(self, tmp_path: Path) -> None:
        last, best = AtomicPath(tmp_path / "last.pt"), AtomicPath(tmp_path / "best.pt")
        content = bytearray(b"first")

        with equal_files_linked():
            last.write_bytes(content)
            content[:] = b"second"
            best.write_bytes(content)

        assert (last.read_bytes(), best.read_bytes()) == (b"first", b"second")


class TestPortableValues:
    def test_portable_values_keep_names_and_no_paths(self) -> None:
        values = portable_values({"data": "/srv/sets/dsv_1/data.yaml"}, "yolo26n.pt")

        assert values["data"] == "data.yaml"
        assert values["model"] == "yolo26n.pt"
        assert not any("/" in str(value) for value in values.values())
