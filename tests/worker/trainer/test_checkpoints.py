from pathlib import Path

import pytest

from worker.trainer.checkpoints import AtomicPath, portable_values


class Exploding:
    """A buffer that cannot be written."""


class TestAtomicPath:
    def test_replaces_the_file_and_leaves_linked_bytes_alone(self, tmp_path: Path) -> None:
        file = AtomicPath(tmp_path / "last.pt")
        file.write_bytes(b"first")
        (tmp_path / "link").hardlink_to(file)

        file.write_bytes(b"second")

        assert (file.read_bytes(), (tmp_path / "link").read_bytes()) == (b"second", b"first")

    def test_keeps_the_old_bytes_when_writing_fails(self, tmp_path: Path) -> None:
        file = AtomicPath(tmp_path / "last.pt")
        file.write_bytes(b"first")

        with pytest.raises(TypeError):
            file.write_bytes(Exploding())

        assert file.read_bytes() == b"first"

    def test_its_children_are_as_careful(self, tmp_path: Path) -> None:
        assert isinstance(AtomicPath(tmp_path) / "epoch3.pt", AtomicPath)


class TestPortableValues:
    def test_keeps_names_and_no_places(self) -> None:
        values = portable_values({"data": "/srv/sets/dsv_1/data.yaml"}, "yolo26n.pt")

        assert values["data"] == "data.yaml"
        assert values["model"] == "yolo26n.pt"
        assert not any("/" in str(value) for value in values.values())
