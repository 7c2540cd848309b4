"""Exact resume with albumentations, whose transforms draw from their own random generators.

test_albumentations.py runs it in a separate process, as Ultralytics uses
albumentations wherever it is installed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import albumentations  # type: ignore[import-not-found] # test_albumentations.py installs it
import pytest
from ultralytics.data import augment

from app.core.tasks import Task
from tests.worker.trainer.customizations.in_process import Training, next_attempt
from tests.worker.trainer.resume.exactness import differences, first_difference
from tests.worker.trainer.resume.resume_cases import Case, job_of, trained
from worker.trainer.state import loader as state_loader

CASES = {
    workers: Case(workers=workers, train={"close_mosaic": 1}, kills=(1, 2)) for workers in (0, 2)
}


def strong_transforms() -> list[Any]:
    """Return frequent transforms; a short training may apply none of Ultralytics' rare ones."""
    blur = [albumentations.Blur(p=0.5), albumentations.MedianBlur(p=0.5)]
    return [albumentations.GaussNoise(p=0.7), albumentations.OneOf(blur, p=0.8)]


@pytest.fixture(autouse=True)
def _strong(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = augment.Albumentations.__init__

    def strong(self: Any, p: float = 1.0, *_: object, **__: object) -> None:  # noqa: ANN401 -- theirs
        plain(self, p=p, transforms=strong_transforms())

    monkeypatch.setattr(augment.Albumentations, "__init__", strong)


def twice(case: Case, dataset: Path, directory: Path) -> tuple[Training, Training]:
    """Train once without an interruption and once with two."""
    whole = trained(job_of(case, dataset, directory / "whole"), case)
    resumed = whole
    for epoch in case.kills:
        job = next_attempt(resumed, directory / f"from-{epoch}", epoch=epoch)
        resumed = trained(job, case)
    return whole, resumed


@pytest.mark.parametrize("workers", CASES)
class TestAlbumentations:
    def test_a_resumed_training_is_the_one_that_was_not_interrupted(
        self, workers: int, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        whole, resumed = twice(CASES[workers], drawn("detect"), tmp_path)

        assert [event.mode for event in resumed.of("resumed")] == ["exact"]
        assert first_difference(whole.trainer.trace, resumed.trainer.trace) is None
        assert differences(whole.directory, resumed.directory) == []

    def test_generators_of_albumentations_that_are_not_restored_are_missed(
        self,
        workers: int,
        drawn: Callable[[Task], Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(state_loader, "set_augmentation_state", lambda *_: None)

        whole, resumed = twice(CASES[workers], drawn("detect"), tmp_path)

        assert first_difference(whole.trainer.trace, resumed.trainer.trace) is not None
