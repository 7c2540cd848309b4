"""Trainers that are forked or caged write the numbers of a new process, to the last bit."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
import torch

from app.core.tasks import TASKS, Task
from tests.worker.trainer.drawn_datasets import draw_dataset
from tests.worker.trainer.jobs import THREADS, a_job, run
from tests.worker.trainer.resume.exactness import differences

IN_EVERY_RUN = {"detect"}
SLOWLY = [
    task if task in IN_EVERY_RUN else pytest.param(task, marks=pytest.mark.slow) for task in TASKS
]


def trained_both_ways(
    folder: Path,
    task: Task = "detect",
    train: Mapping[str, object] = MappingProxyType({}),
    threads: int = THREADS,
    ways: tuple[str, str] = ("cold", "warm"),
) -> tuple[Path, Path]:
    """Train one job in two ways; return the run directories."""
    dataset = draw_dataset(folder / "data", task)
    runs = []
    for way in ways:
        arguments = {"plots": True} | dict(train)
        job = a_job(
            dataset, folder / way, task=task, train=arguments, state_every=1, threads=threads
        )
        trainer = run(job, folder / way, way=way)
        assert trainer.process.exit_code == 0, trainer.log
        runs.append(job.run_directory)
    return runs[0], runs[1]


def tensors_of(value: object, place: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every tensor of a training state with its place."""
    if isinstance(value, torch.Tensor):
        yield place, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from tensors_of(part, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from tensors_of(part, f"{place}[{number}]")


def differing_parts_of_states(one: Path, other: Path) -> list[str]:
    files = [max((run / "outbox").glob("*-state.pt")) for run in (one, other)]
    states = [torch.load(file, weights_only=True) for file in files]
    first, second = (dict(tensors_of(state["parts"])) for state in states)
    assert first.keys() == second.keys()
    return [place for place, tensor in first.items() if not torch.equal(tensor, second[place])]


class TestEquality:
    @pytest.mark.parametrize("task", SLOWLY)
    @pytest.mark.slow
    def test_a_forked_training_equals_one_in_a_new_process(
        self, task: Task, tmp_path: Path
    ) -> None:
        cold, warm = trained_both_ways(tmp_path, task)

        assert differences(cold, warm) == []
        assert differing_parts_of_states(cold, warm) == []

    @pytest.mark.slow
    def test_a_forked_training_with_loader_workers_and_two_threads_equals_one_in_a_new_process(
        self, tmp_path: Path
    ) -> None:
        cold, warm = trained_both_ways(tmp_path, train={"loader_workers": 2}, threads=2)

        assert differences(cold, warm) == []
        assert differing_parts_of_states(cold, warm) == []

    @pytest.mark.parametrize("way", ["cold", "warm"])
    @pytest.mark.slow
    def test_a_caged_training_with_loader_workers_equals_a_free_one(
        self, way: str, tmp_path: Path
    ) -> None:
        train = {"loader_workers": 2}

        free, caged = trained_both_ways(tmp_path, train=train, ways=(way, f"{way} caged"))

        assert differences(free, caged) == []
        assert differing_parts_of_states(free, caged) == []

    def test_a_caged_training_of_one_epoch_equals_a_free_one(self, tmp_path: Path) -> None:
        train = {"epochs": 1, "plots": False}

        free, caged = trained_both_ways(tmp_path, train=train, ways=("warm", "warm caged"))

        assert differences(free, caged) == []

    @pytest.mark.slow
    def test_a_forked_training_with_one_thread_equals_one_in_a_new_process(
        self, tmp_path: Path
    ) -> None:
        cold, warm = trained_both_ways(tmp_path, threads=1)

        assert differences(cold, warm) == []

    @pytest.mark.slow
    def test_a_forked_training_draws_the_plots_of_one_in_a_new_process(
        self, tmp_path: Path
    ) -> None:
        cold, warm = trained_both_ways(tmp_path)

        assert sorted(each.name for each in cold.iterdir()) == sorted(
            each.name for each in warm.iterdir()
        )
