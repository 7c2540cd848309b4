import os
from pathlib import Path

import pytest
import torch

from tests.counting import counted
from worker.trainer.state.file import FORMAT, Digests, StateHeader, read_state, write_state
from worker.trainer.state.not_exact import NotExact
from worker.trainer.state.parts import plain

HEADER = StateHeader(
    format=FORMAT,
    epoch=3,
    epochs=9,
    batch=4,
    batches=5,
    loader_workers=2,
    arguments={"optimizer": "SGD", "lr0": 0.01},
    environment={"torch": "2", "threads": 1, "albumentations": None},
    files={"best.pt": "0" * 64},
)


class Stranger:
    """A class whose objects no state may contain."""


class TestStateFile:
    def test_a_state_file_is_read_as_it_was_written(self, tmp_path: Path) -> None:
        weight = torch.rand(3)
        parts = {"model": {"weight": weight}, "best_fitness": None, "list": [1, 2.5, "x"]}

        size = write_state(tmp_path / "state.pt", HEADER, parts)
        header, found = read_state(tmp_path / "state.pt")

        assert header == HEADER
        assert torch.equal(found.pop("model")["weight"], weight)
        assert found == {"best_fitness": None, "list": [1, 2.5, "x"]}
        assert size == (tmp_path / "state.pt").stat().st_size
        assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]

    def test_a_state_file_is_not_synced(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with counted(monkeypatch, os, "fsync") as syncs:
            write_state(tmp_path / "state.pt", HEADER, {"model": torch.rand(100)})

        assert syncs == []

    @pytest.mark.parametrize("kept", [0, 10, 400])
    def test_a_truncated_state_file_is_unreadable(self, kept: int, tmp_path: Path) -> None:
        write_state(tmp_path / "state.pt", HEADER, {"model": torch.rand(100)})
        whole = (tmp_path / "state.pt").read_bytes()
        (tmp_path / "state.pt").write_bytes(whole[:kept])

        with pytest.raises(NotExact) as refused:
            read_state(tmp_path / "state.pt")

        assert refused.value.reason == "unreadable_state"

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ({"heading": {"format": FORMAT + 1}, "parts": {}}, "other_format"),
            ({"heading": {"format": FORMAT}, "parts": {}}, "unreadable_state"),
            ({"epoch": 3}, "unreadable_state"),
            ([], "unreadable_state"),
            (Stranger(), "unreadable_state"),
        ],
    )
    def test_a_file_of_anything_else_is_no_state_file(
        self, content: object, reason: str, tmp_path: Path
    ) -> None:
        torch.save(content, tmp_path / "state.pt")

        with pytest.raises(NotExact) as refused:
            read_state(tmp_path / "state.pt")

        assert refused.value.reason == reason


class TestPlain:
    @pytest.mark.parametrize("value", [Stranger(), {"a": [Stranger()]}, {Stranger(): 1}, {1, 2}])
    def test_a_part_that_is_no_plain_data_is_refused(self, value: object) -> None:
        with pytest.raises(TypeError):
            plain(value)


class TestDigests:
    def test_the_digest_of_a_file_that_was_replaced_is_read_again(self, tmp_path: Path) -> None:
        digests, file = Digests(), tmp_path / "best.pt"
        file.write_bytes(b"one")
        first = digests.of([file])
        (tmp_path / "fresh").write_bytes(b"two")
        (tmp_path / "fresh").replace(file)

        second = digests.of([file])

        assert first.keys() == second.keys() == {"best.pt"}
        assert first != second
        assert digests.of([file]) == second
