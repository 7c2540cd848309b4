"""The warnings of a plan, and plans without warnings."""

from dataclasses import replace
from typing import Any, Final

import pytest

from app.datasets.tables import DatasetVersion
from app.jobs.plan.plan import Capacity, TrainingData
from tests.jobs.planning import SHAPES, planned, with_labels

pytestmark = pytest.mark.unit


def frozen(layers: object, epochs: int | None = None, **others: object) -> dict[str, object]:
    return {"customize": {"freeze": {"layers": layers, "epochs": epochs}, **others}}


def kept(metric: str, **bounds: float) -> dict[str, object]:
    best = {"name": "a", "metric": "metrics/recall(B)", "where": {metric: bounds}}
    return {"customize": {"keep_best": [best]}}


FACTOR: Final[dict[str, Any]] = {"layer_lrs": [{"layers": "backbone", "factor": 2}]}
TWICE: Final = {"layer_lrs": [{"layers": [1], "factor": 2}, {"layers": 2, "factor": 3}]}
INVERSE: Final = {"customize": {"class_weights": {"mode": "inverse_frequency"}}}
UNSEEN: Final = with_labels(val={"circle": 3})
UNLEARNED: Final = with_labels(train={"circle": 3})
FEW: Final = replace(SHAPES, images={"train": 3, "val": 3})
SOME_DROPPED: Final = replace(SHAPES, dropped={"train": 4, "val": 0, "test": 1})
ON_A_GPU: Final = Capacity(has_live_slot=True, devices=("NVIDIA H200",))
WARNINGS: Final[dict[str, tuple[dict[str, Any], str, str]]] = {
    "frozen-for-good-with-a-factor": (
        frozen("backbone", **FACTOR),
        "factor_of_frozen_layers",
        "/customize/layer_lrs/0",
    ),
    "frozen-at-first-with-a-factor": (
        frozen([3], 4, **FACTOR),
        "factor_after_unfreezing",
        "/customize/layer_lrs/0",
    ),
    "patience-within-freeze": (
        frozen([3], 6) | {"train": {"patience": 5}},
        "patience_within_freeze",
        "/train/patience",
    ),
    "all-epochs-frozen": (frozen([3], 20), "freeze_covers_all", "/customize/freeze/epochs"),
    "factor-overridden": (
        {"customize": TWICE},
        "layer_lr_overridden",
        "/customize/layer_lrs/0",
    ),
    "images-dropped": ({"data": SOME_DROPPED}, "images_dropped", "/dataset"),
    "class-not-validated": (
        {"data": UNSEEN},
        "class_without_validation_labels",
        "/dataset",
    ),
    "class-not-trained": (
        {"data": UNLEARNED, **INVERSE},
        "class_without_training_labels",
        "/customize/class_weights",
    ),
    "few-steps": ({"train": {"epochs": 11, "nbs": 64}}, "few_optimizer_steps", "/train/epochs"),
    "batch-above-images": (
        {"data": FEW, "train": {"epochs": 200}},
        "batch_above_training_set",
        "/train/batch",
    ),
    "mosaic-never": (
        {"train": {"close_mosaic": 20}},
        "close_mosaic_covers_all",
        "/train/close_mosaic",
    ),
    "score-above-one": (
        kept("metrics/precision(B)", min=90),
        "bound_never_met",
        "/customize/keep_best/0/where/metrics~1precision(B)",
    ),
    "score-below-zero": (
        kept("metrics/mAP50(B)", max=-1),
        "bound_never_met",
        "/customize/keep_best/0/where/metrics~1mAP50(B)",
    ),
    "loss-below-zero": (
        kept("val/box_loss", max=-0.1),
        "bound_never_met",
        "/customize/keep_best/0/where/val~1box_loss",
    ),
    "no-slot": (
        {"capacity": Capacity(has_live_slot=False), "resources": {"gpus": 1}},
        "no_live_slot",
        "/resources",
    ),
    "batch-by-gpu": ({"train": {"batch": -1}}, "batch_chosen_by_gpu", "/train/batch"),
    "epochs-by-time": ({"train": {"time": 1.0}}, "time_sets_epochs", "/train/time"),
    "overridden": (
        {"train": {"rect": True, "mosaic": 1.0}},
        "argument_overridden",
        "/train/mosaic",
    ),
    "colours-of-gray": (
        {"data": replace(SHAPES, channels=1)},
        "argument_overridden",
        "/train/hsv_h",
    ),
    "bf16-on-a-cpu": ({"train": {"amp": "bf16"}}, "bf16_needs_a_gpu", "/resources/gpus"),
    "plugin": ({"trainer": {"name": "mine"}}, "plugin_may_differ", "/trainer"),
}


class TestWarnings:
    def test_an_ordinary_job_has_none(self) -> None:
        assert planned().warnings == []

    def test_the_warning_of_dropped_images_counts_those_of_each_split(self) -> None:
        data = replace(SHAPES, dropped={"train": 4, "val": 1})

        warning = planned(data=data).warnings[0]

        assert "4 of 204 images of train" in warning.message
        assert "1 of 21 images of val" in warning.message

    def test_dropped_images_are_those_that_the_report_counts(self) -> None:
        splits = {"train": {"images": 7, "dropped": 2}, "val": {"images": 3}}

        data = TrainingData.of(DatasetVersion(report={"splits": splits}))

        assert data.dropped == {"train": 2, "val": 0}

    @pytest.mark.parametrize("row", WARNINGS)
    def test_each_warning_is_the_only_one_and_points_at_its_field(self, row: str) -> None:
        changes, code, pointer = WARNINGS[row]

        warnings = planned(**changes).warnings

        assert [(warning.code, warning.pointer) for warning in warnings] == [(code, pointer)]

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param(frozen([3], 6) | {"train": {"patience": 0}}, id="no-early-stopping"),
            pytest.param(frozen([3], 6) | {"train": {"patience": 6}}, id="patience-as-long"),
            pytest.param(frozen([12], 4, **FACTOR), id="other-layers-frozen"),
            pytest.param({"train": {"close_mosaic": 19}}, id="mosaic-for-an-epoch"),
            pytest.param({"train": {"close_mosaic": 20, "mosaic": 0.0}}, id="no-mosaic-at-all"),
            pytest.param(
                {"train": {"amp": "bf16"}, "capacity": ON_A_GPU},
                id="bf16-on-a-gpu",
            ),
            pytest.param({"resources": {"gpus": 0}}, id="defaults-on-a-cpu"),
            pytest.param({"data": UNLEARNED}, id="absent-class-without-weights"),
            pytest.param(kept("metrics/precision(B)", min=1), id="bound-just-met"),
            pytest.param(kept("val/box_loss", min=90), id="high-loss"),
            pytest.param({"data": replace(SHAPES, labels={})}, id="nothing-counted"),
            pytest.param({"data": replace(SHAPES, dropped={"test": 9})}, id="test-images-dropped"),
        ],
    )
    def test_settings_that_are_meant_so_are_not_warned_of(self, changes: dict[str, Any]) -> None:
        assert planned(**changes).warnings == []
