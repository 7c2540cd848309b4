"""One training with F1, a chosen best model and kept checkpoints, and others to compare with."""

import pytest

from tests.worker.trainer.customizations.cells import draw_cells, guessing_model
from tests.worker.trainer.customizations.hand_written import ByHand, Plain
from tests.worker.trainer.customizations.in_process import (
    Training,
    next_attempt,
    train_by_hand,
    train_here,
)
from tests.worker.trainer.jobs import a_job, weights
from worker.trainer.protocol import JobFile

STEADY = {"mosaic": 0.0, "scale": 0.0, "translate": 0.0}
"""Without what would tear the cells apart."""

CHOICES = {
    "metrics": {"f1": True, "per_class": True},
    "best_model": {"metric": "val/cls_loss"},
    "keep_best": [
        {"name": "tight", "metric": "val/l1_loss"},
        {"name": "sure", "metric": "metrics/mAP50(B)", "where": {"metrics/F1(B)": {"min": 0.01}}},
        {"name": "never", "metric": "metrics/recall(B)", "where": {"val/cls_loss": {"max": 0}}},
    ],
}


@pytest.fixture(scope="session")
def cells_job(tmp_path_factory: pytest.TempPathFactory) -> JobFile:
    """A detect job of four epochs whose metrics are above 0 from the first epoch on."""
    directory = tmp_path_factory.mktemp("cells")
    return a_job(
        draw_cells(directory),
        directory,
        train={"epochs": 4, "lr0": 0.03, **STEADY},
        customize=CHOICES,
        model=weights(guessing_model(directory / "guessing.pt"), "guessing.pt"),
    )


@pytest.fixture(scope="session")
def ours(cells_job: JobFile) -> Training:
    return train_here(cells_job)


@pytest.fixture(scope="session")
def resumed(ours: Training, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """The same job, killed after its second epoch and resumed."""
    return train_here(next_attempt(ours, tmp_path_factory.mktemp("resumed"), epoch=2))


@pytest.fixture(scope="session")
def by_hand(cells_job: JobFile, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """The same training by a trainer that a user would write for F1 and the best model."""
    return train_by_hand(ByHand, cells_job, tmp_path_factory.mktemp("by-hand"))


@pytest.fixture(scope="session")
def plain(cells_job: JobFile, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """The same training with Ultralytics' own choice of the best model."""
    return train_by_hand(Plain, cells_job, tmp_path_factory.mktemp("plain"))
