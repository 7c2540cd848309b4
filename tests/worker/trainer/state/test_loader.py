"""Ultralytics' loaders, without a trainer, continue at the position of another loader."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, RandomSampler, WeightedRandomSampler
from ultralytics.data.build import InfiniteDataLoader, build_dataloader

from worker.trainer.state.generators import random_state, set_random_state
from worker.trainer.state.loader import RecordedLoader

BATCH, EPOCHS = 4, 6
Batch = list[list[float]]


class Drawing(Dataset[dict[str, Any]]):
    """Each sample depends on every generator, and on the samples loaded before it."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.buffer: list[int] = []

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.load_image(index)
        drawn = [random.random(), float(np.random.rand()), float(torch.rand(1))]  # noqa: NPY002
        return {"drawn": [float(index), float(random.choice(self.buffer)), *drawn]}

    def load_image(self, index: int) -> None:
        if index not in self.buffer:
            self.buffer.append(index)
        if len(self.buffer) > 5:
            self.buffer.pop(0)

    @staticmethod
    def collate_fn(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {"drawn": [sample["drawn"] for sample in samples]}


@dataclass
class Run:
    """A loader that has run for some epochs; Ultralytics restarts it before epoch `reset_at`."""

    loader: Any
    recorded: RecordedLoader
    reset_at: int | None

    def epoch(self, number: int) -> list[Batch]:
        if number == self.reset_at:
            self.loader.reset()
        batches = []
        for batch in self.loader:
            self.recorded.take(batch)
            batches.append(batch["drawn"])
            assert batch.keys() == {"drawn"}
        return batches

    def state(self) -> tuple[Any, ...]:
        return random_state(), self.recorded.order(), self.recorded.worker_states()

    def go_on(self, state: tuple[Any, ...], *, epoch: int) -> None:
        drawn, order, worker_states = state
        anew = epoch == self.reset_at
        set_random_state(drawn)
        self.recorded.start_order_at(order, restarting=anew)
        self.recorded.start_workers_at(worker_states, restarting=anew)
        if self.reset_at is not None and epoch > self.reset_at:
            self.reset_at = epoch  # as Ultralytics does in the first epoch after a resume


def a_run(length: int, workers: int, reset_at: int | None) -> Run:
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 -- Ultralytics uses it
    loader: Any = build_dataloader(Drawing(length), BATCH, workers, device="cpu")
    return Run(loader, RecordedLoader(loader), reset_at)


class TestRecordedLoader:
    @pytest.mark.parametrize("workers", [0, 2])
    @pytest.mark.parametrize("length", [8, 13])  # with and without a short last batch
    @pytest.mark.parametrize("reset_at", [None, 3])
    def test_a_loader_resumed_twice_makes_the_batches_of_one_that_was_not(
        self, workers: int, length: int, reset_at: int | None
    ) -> None:
        whole, states = [], []
        run = a_run(length, workers, reset_at)
        for epoch in range(EPOCHS):
            whole.append(run.epoch(epoch))
            states.append(run.state())
        run.loader.close()

        for first in range(1, EPOCHS - 1):
            once = a_run(length, workers, reset_at)
            once.go_on(states[first - 1], epoch=first)
            assert once.epoch(first) == whole[first], first
            state = once.state()
            once.loader.close()
            twice = a_run(length, workers, reset_at)
            twice.go_on(state, epoch=first + 1)
            rest = [twice.epoch(epoch) for epoch in range(first + 1, EPOCHS)]
            twice.loader.close()
            assert rest == whole[first + 1 :], first

    def test_a_loader_that_only_begins_again_makes_other_batches(self) -> None:
        run = a_run(13, 0, None)
        whole = [run.epoch(epoch) for epoch in range(2)]

        again = a_run(13, 0, None)

        assert again.epoch(1) == whole[0] != whole[1]


def a_generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


class TestIsKnown:
    @pytest.mark.parametrize("shuffle", [True, False])
    def test_a_loader_that_ultralytics_makes_is_known(self, *, shuffle: bool) -> None:
        loader = build_dataloader(Drawing(8), batch=BATCH, workers=0, shuffle=shuffle)

        assert RecordedLoader.is_known(loader)

    @pytest.mark.parametrize(
        "options",
        [
            pytest.param({"shuffle": True}, id="no generator"),
            pytest.param(
                {
                    "sampler": WeightedRandomSampler([1.0] * 8, 8, generator=a_generator()),
                    "generator": a_generator(),
                },
                id="weighted",
            ),
            pytest.param(
                {
                    "sampler": RandomSampler(range(8), generator=a_generator()),
                    "generator": a_generator(),
                },
                id="another generator",
            ),
        ],
    )
    def test_a_loader_whose_order_is_not_in_its_generator_is_unknown(
        self, options: dict[str, Any]
    ) -> None:
        loader = InfiniteDataLoader(Drawing(8), batch_size=BATCH, **options)

        assert not RecordedLoader.is_known(loader)
