"""Snapshots of a real training: what they contain, when they are written, and without memory."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import pytest
import torch

from app.core.tasks import Task
from tests.worker.trainer.customizations.in_process import train_here
from tests.worker.trainer.jobs import a_job
from worker.trainer.mixins import training_states
from worker.trainer.protocol import ArchitectureSource, JobFile
from worker.trainer.run import TrainerMixin
from worker.trainer.state.file import read_state
from worker.trainer.state.memory import SnapshotMemory
from worker.trainer.state.parts import parts_of

Drawn = Callable[[Task], Path]
SMALL = ArchitectureSource(name="yolov8n.yaml")


class FailingInTheFourthEpoch(TrainerMixin):
    """Copies the state at the end of each epoch, tensor by tensor, until it fails."""

    copies: ClassVar[dict[int, list[object]]] = {}

    def hook_after_epoch(self) -> None:
        super().hook_after_epoch()
        self.copies[self.epoch + 1] = [copied(leaf) for leaf in leaves_of(parts_of(self))]

    def hook_after_batch(self) -> None:
        super().hook_after_batch()
        if self.epoch == 3:
            raise ZeroDivisionError


class NoMemory(SnapshotMemory):
    """Memory that cannot be allocated."""

    def copy_of(self, _state: object) -> NoReturn:
        raise MemoryError


def a_small_job(dataset: Path, directory: Path, *, every: int | None = None) -> JobFile:
    # Two batches make a step and an epoch has five, so that gradients are pending at its end.
    train = {"epochs": 4, "imgsz": 32, "nbs": 8, "optimizer": "AdamW"}
    facts = {"architecture": SMALL.name}
    return a_job(dataset, directory, train=train, model=SMALL, facts=facts, state_every=every)


def leaves_of(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield key
            yield from leaves_of(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from leaves_of(part)
    else:
        yield value


def copied(leaf: object) -> object:
    return leaf.clone() if isinstance(leaf, torch.Tensor) else leaf


def is_equal(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        same_kind = (one.dtype, one.stride()) == (other.dtype, other.stride())
        return same_kind and torch.equal(one, other)
    return one == other


class TestSnapshots:
    def test_states_are_what_they_were_at_the_end_of_their_epochs_although_the_training_went_on(
        self, drawn: Drawn, tmp_path: Path
    ) -> None:
        """That of epoch 2 is written while epoch 3 trains, that of epoch 3 after an error."""
        copies = FailingInTheFourthEpoch.copies
        events: list[Any] = []
        job = a_small_job(drawn("detect"), tmp_path, every=1)

        with pytest.raises(ZeroDivisionError):
            train_here(job, watching=(FailingInTheFourthEpoch,), events=events)

        states = [event for event in events if event.type == "state"]
        assert [event.epoch for event in states] == [2, 3]
        for event in states:
            header, parts = read_state(job.run_directory / event.file)
            found = list(leaves_of(parts))
            assert header.epoch == event.epoch
            assert len(found) == len(copies[event.epoch]) > 1000
            assert all(map(is_equal, found, copies[event.epoch]))

    def test_the_first_state_of_a_job_is_handed_over_with_its_epoch(
        self, drawn: Drawn, tmp_path: Path
    ) -> None:
        trained = train_here(a_small_job(drawn("detect"), tmp_path))

        assert "state.pt" in trained.of("checkpoint")[0].files

    @pytest.mark.slow
    def test_a_training_without_memory_for_snapshots_writes_due_states_at_once_and_says_so(
        self, drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(training_states, "SnapshotMemory", NoMemory)
        job = a_small_job(drawn("detect"), tmp_path, every=2)

        trained = train_here(job)

        handed = trained.of("checkpoint")
        assert [event.epoch for event in handed if "state.pt" in event.files] == [2, 4]
        assert trained.of("state") == []
        assert [event.code for event in trained.of("warning")] == ["state_not_copied"]
