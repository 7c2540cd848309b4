"""Each part of a training state is needed: without it some training continues differently."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from app.core.tasks import Task
from tests.worker.trainer.customizations.in_process import Training, next_attempt
from tests.worker.trainer.resume.exactness import differences, first_difference
from tests.worker.trainer.resume.resume_cases import CASES, job_of, trained
from worker.trainer.mixins import exact_resume as exact_resuming
from worker.trainer.state import loader as state_loader
from worker.trainer.state.parts import AT_FIRST_EPOCH, AT_SETUP, Part

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Missed:
    """The case whose resume needs a part, and the epoch after which it is resumed."""

    case: str
    epoch: int = 2


MISSED: Final[Mapping[str, Missed]] = {
    "model": Missed("plain"),
    "ema": Missed("plain"),
    "optimizer": Missed("plain"),
    "criterion": Missed("plain"),
    "best_fitness": Missed("customized"),
    "stopper": Missed("patience"),
    "gradients": Missed("plain", epoch=1),
    "last_step": Missed("three-a-step"),
    "random": Missed("plain"),
    "train_order": Missed("plain"),
    "makers": Missed("workers"),
    "val_order": Missed("classify"),
}
ON_A_GPU: Final = {"scaler"}
"""Without mixed precision there is no scaling."""
AT_THE_END: Final = {"first_losses"}
"""Needed by tests/worker/trainer/mixins/test_divergence.py: it decides how the training ends."""
IN_PLUGINS: Final = {"plugin"}
"""Needed by tests/worker/trainer/plugins/test_plugin_state.py."""


@pytest.fixture(scope="module")
def whole(
    drawn: Callable[[Task], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Training]:
    done: dict[str, Training] = {}

    def train(name: str) -> Training:
        if name not in done:
            case = CASES[name]
            job = job_of(case, drawn(case.task), tmp_path_factory.mktemp(name))
            done[name] = trained(job, case)
        return done[name]

    return train


def without(parts: tuple[Part, ...], name: str) -> tuple[Part, ...]:
    return tuple(part for part in parts if part.name != name)


def goes_on_as(whole: Training, resumed: Training) -> bool:
    """Return whether a resumed training equals the uninterrupted one."""
    return (
        first_difference(whole.trainer.trace, resumed.trainer.trace) is None
        and differences(whole.directory, resumed.directory) == []
    )


class TestParts:
    def test_every_part_has_a_case_that_misses_it(self) -> None:
        parts = {part.name for part in (*AT_SETUP, *AT_FIRST_EPOCH)}

        assert parts == MISSED.keys() | ON_A_GPU | AT_THE_END | IN_PLUGINS

    @pytest.mark.parametrize("name", MISSED)
    def test_a_part_that_is_left_out_is_missed(
        self,
        name: str,
        whole: Callable[[str], Training],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        missed = MISSED[name]
        for table, parts in (("AT_SETUP", AT_SETUP), ("AT_FIRST_EPOCH", AT_FIRST_EPOCH)):
            monkeypatch.setattr(exact_resuming, table, without(parts, name))
        job = next_attempt(whole(missed.case), tmp_path, epoch=missed.epoch)

        resumed = trained(job, CASES[missed.case])

        assert [event.mode for event in resumed.of("resumed")] == ["exact"]
        assert not goes_on_as(whole(missed.case), resumed)

    @pytest.mark.parametrize("case", ["plain", "workers"])
    def test_images_at_hand_for_a_mosaic_that_are_left_out_are_missed(
        self,
        case: str,
        whole: Callable[[str], Training],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(state_loader, "_set_dataset_state", lambda _dataset, _state: None)

        resumed = trained(next_attempt(whole(case), tmp_path, epoch=2), CASES[case])

        assert not goes_on_as(whole(case), resumed)

    @pytest.mark.parametrize("case", ["workers"])
    def test_generators_of_loader_workers_that_are_left_out_are_missed(
        self,
        case: str,
        whole: Callable[[str], Training],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(state_loader, "set_random_state", lambda _state: None)

        resumed = trained(next_attempt(whole(case), tmp_path, epoch=2), CASES[case])

        assert not goes_on_as(whole(case), resumed)

    @pytest.mark.parametrize("case", sorted({missed.case for missed in MISSED.values()}))
    def test_all_together_are_enough(
        self, case: str, whole: Callable[[str], Training], tmp_path: Path
    ) -> None:
        resumed = trained(next_attempt(whole(case), tmp_path, epoch=2), CASES[case])

        assert goes_on_as(whole(case), resumed)
