"""The rows of a plan. The trainer's tests check that a training follows its plan."""

from dataclasses import replace
from typing import Final

import pytest
from pydantic import ValidationError

from app.core.class_weights import balanced_weights
from app.jobs.plan.estimate import AlikeJob
from app.jobs.plan.plan import Capacity, TrainingData
from app.models.architectures import ARCHITECTURES
from app.models.layer_tables import layer_table
from tests.jobs.planning import LIVE, SHAPES, codes, planned

pytestmark = pytest.mark.unit

BACKBONE: Final = 11
GROUPS: Final = ("weight", "norm", "bias")


class TestLayers:
    def test_every_layer_is_listed_with_what_it_learns(self) -> None:
        model = planned().model

        assert model is not None
        assert [layer.index for layer in model.layers] == list(range(24))
        assert model.layers[23].module == "Detect"
        assert model.parameters == sum(layer.parameters for layer in model.layers)
        assert model.trainable_at_start == model.trainable_at_end == model.parameters

    def test_frozen_layers_say_until_when(self) -> None:
        model = planned(customize={"freeze": {"layers": "backbone", "epochs": 5}}).model

        assert model is not None
        until = [layer.frozen_until for layer in model.layers]
        frozen = sum(layer.parameters for layer in model.layers[:BACKBONE])
        assert until == [5] * BACKBONE + [None] * 13
        assert model.trainable_at_start == model.parameters - frozen
        assert model.trainable_at_end == model.parameters

    @pytest.mark.parametrize("epochs", [None, 20, 30])
    def test_layers_that_are_never_unfrozen_are_frozen_until_the_last_epoch(
        self, epochs: int | None
    ) -> None:
        model = planned(customize={"freeze": {"layers": [0], "epochs": epochs}}).model

        assert model is not None
        assert model.layers[0].frozen_until == 20
        assert model.trainable_at_end == model.trainable_at_start < model.parameters

    def test_distances_of_older_heads_never_learn(self) -> None:
        model = planned(architecture="yolov8n.yaml", model="yolov8n.yaml").model

        assert model is not None
        assert model.parameters - model.trainable_at_end == 16

    def test_the_last_selector_that_names_a_layer_gives_its_factor(self) -> None:
        factors = [{"layers": "backbone", "factor": 0.1}, {"layers": [0, 23], "factor": 2}]

        model = planned(customize={"layer_lrs": factors}).model

        assert model is not None
        assert [layer.lr_factor for layer in model.layers] == [2.0, *[0.1] * 10, *[1.0] * 12, 2.0]

    @pytest.mark.parametrize(
        ("data", "classes", "train"),
        [
            pytest.param(SHAPES, 2, {}, id="as-many-as-named"),
            pytest.param(SHAPES, 1, {"single_cls": True}, id="single_cls"),
            pytest.param(replace(SHAPES, adds_background=True), 3, {}, id="background"),
        ],
    )
    def test_the_head_is_that_of_the_classes(
        self, data: TrainingData, classes: int, train: dict[str, object]
    ) -> None:
        model = planned(data=data, train=train).model

        assert model is not None
        rows = layer_table("yolo26n.yaml", classes=classes)
        assert [layer.parameters for layer in model.layers] == [row.parameters for row in rows]

    def test_gray_images_make_the_first_layer_smaller(self) -> None:
        gray, colour = planned(data=replace(SHAPES, channels=1)).model, planned().model

        assert gray is not None
        assert colour is not None
        assert colour.layers[0].parameters - gray.layers[0].parameters == 2 * 9 * 16
        assert gray.layers[1:] == colour.layers[1:]

    @pytest.mark.parametrize("architecture", ARCHITECTURES)
    def test_groups_hold_every_parameter_once(self, architecture: str) -> None:
        task = ARCHITECTURES[architecture].task

        plan = planned(architecture=architecture, model=architecture, task=task)

        assert plan.model is not None
        assert sum(group.parameters for group in plan.optimizer.groups) == plan.model.parameters

    def test_weights_of_an_unknown_architecture_have_no_table(self) -> None:
        plan = planned(architecture=None, model="mine.pt")

        assert plan.model is None
        assert plan.optimizer.groups == []
        assert plan.extent.optimizer_steps == 1000
        assert codes(plan) == {"architecture_unknown"}


class TestFreezingEverything:
    def test_freezing_all_that_learns_is_refused_despite_layers_without_parameters(self) -> None:
        learning = [row.index for row in layer_table("yolo26n.yaml", classes=2) if row.parameters]

        with pytest.raises(ValidationError, match="everything_frozen") as refused:
            planned(customize={"freeze": {"layers": learning, "epochs": None}})

        assert len(learning) < 24
        assert refused.value.errors()[0]["loc"] == ("customize", "freeze", "layers")


class TestClasses:
    @pytest.mark.parametrize(
        ("weights", "expected"),
        [
            pytest.param(None, [None, None], id="none"),
            pytest.param({"mode": "explicit", "weights": {"square": 2}}, [1, 2], id="explicit"),
            pytest.param({"mode": "inverse_frequency"}, [1, 3], id="inverse"),
            pytest.param({"mode": "inverse_frequency", "cap": 2}, [1, 2], id="capped"),
            pytest.param({"mode": "balanced"}, [0.5, 1.5], id="balanced"),
        ],
    )
    def test_weights_stand_beside_the_labels(
        self, weights: dict[str, object] | None, expected: list[float | None]
    ) -> None:
        classes = planned(customize={"class_weights": weights}).classes

        assert [each.weight for each in classes.shown] == pytest.approx(expected)
        assert [each.training_labels for each in classes.shown] == [300, 100]
        assert [each.validation_labels for each in classes.shown] == [30, 10]
        assert classes.mode == (weights["mode"] if weights else "none")

    def test_labels_are_those_of_the_split_that_validates(self) -> None:
        classes = planned(train={"split": "test"}).classes

        assert [each.validation_labels for each in classes.shown] == [5, 0]

    @pytest.mark.parametrize(
        ("data", "train"),
        [
            pytest.param(SHAPES, {"fraction": 0.5}, id="a-part-of-the-labels"),
            pytest.param(replace(SHAPES, labels={}), {}, id="nothing-counted"),
            pytest.param(replace(SHAPES, classes=("circle", "circle")), {}, id="one-name-twice"),
        ],
    )
    def test_balanced_weights_that_the_run_computes_are_null_with_a_note(
        self, data: TrainingData, train: dict[str, object]
    ) -> None:
        chosen = {"class_weights": {"mode": "balanced"}}

        classes = planned(data=data, train=train, customize=chosen).classes

        assert {each.weight for each in classes.shown} == {None}
        assert classes.note is not None

    def test_balanced_weights_of_masks_depend_on_pixels(self) -> None:
        classes = planned(
            task="semantic",
            model="yolo26n-sem.yaml",
            architecture="yolo26n-sem.yaml",
            customize={"class_weights": {"mode": "balanced"}},
        ).classes

        assert {each.weight for each in classes.shown} == {None}
        assert "pixels" in str(classes.note)

    def test_no_more_than_a_thousand_are_shown(self) -> None:
        names = tuple(str(number) for number in range(1500))

        classes = planned(data=replace(SHAPES, classes=names)).classes

        assert (classes.total, len(classes.shown)) == (1500, 1000)


class TestBalancedWeights:
    @pytest.mark.parametrize(
        ("counts", "power", "expected"),
        [
            pytest.param({"a": 1, "b": 4}, 1.0, {"a": 1.6, "b": 0.4}, id="in-full"),
            pytest.param({"a": 1, "b": 4}, 0.5, {"a": 4 / 3, "b": 2 / 3}, id="dampened"),
            pytest.param({"a": 1, "b": 4, "c": 0}, 1.0, {"a": 1.6, "b": 0.4, "c": 1}, id="absent"),
            pytest.param({"a": 0}, 1.0, None, id="nothing"),
        ],
    )
    def test_balanced_weights_are_those_of_ultralytics(
        self, counts: dict[str, int], power: float, expected: dict[str, float] | None
    ) -> None:
        assert balanced_weights(counts, power) == (expected and pytest.approx(expected))


class TestExtent:
    @pytest.mark.parametrize(
        ("train", "images", "batches", "steps"),
        [
            pytest.param({}, 200, 50, 1000, id="all"),
            pytest.param({"fraction": 0.25}, 50, 13, 260, id="share"),
            pytest.param({"fraction": 7}, 7, 2, 40, id="number"),
            pytest.param({"fraction": 1}, 200, 50, 1000, id="one-is-all"),
            pytest.param({"fraction": 0.0001}, 1, 1, 20, id="at-least-one"),
            pytest.param({"fraction": 900}, 200, 50, 1000, id="no-more-than-there-are"),
            pytest.param({"nbs": 8, "warmup_epochs": 0}, 200, 50, 500, id="accumulated"),
            pytest.param({"batch": -1}, 200, None, None, id="batch-by-gpu"),
            pytest.param({"time": 1.0}, 200, None, None, id="by-time"),
        ],
    )
    def test_batches_and_steps_follow_the_images(
        self, train: dict[str, object], images: int, batches: int | None, steps: int | None
    ) -> None:
        extent = planned(train=train).extent

        assert extent.training_images == images
        assert (extent.batches_per_epoch, extent.optimizer_steps) == (batches, steps)

    def test_the_images_are_those_of_the_split_that_validates(self) -> None:
        extent = planned(train={"split": "test"}).extent

        assert (extent.validation_images, extent.images["val"]) == (10, 20)


class TestOptimizer:
    def test_groups_have_the_names_of_the_metrics(self) -> None:
        factors = [{"layers": 10, "factor": 0.5}]

        optimizer = planned(customize={"layer_lrs": factors}).optimizer

        parts = ("layers[0:10]", "rest")
        expected = [f"lr/{part}/{group}" for group in GROUPS for part in parts]
        assert [group.name for group in optimizer.groups] == expected

    def test_rates_are_those_of_the_first_the_middle_and_the_last_epoch(self) -> None:
        optimizer = planned(train={"warmup_epochs": 0, "lr0": 0.1, "lrf": 0.5}).optimizer

        assert optimizer.epochs_shown == [1, 10, 20]
        assert optimizer.groups[0].rates == pytest.approx([0.1, 0.0775, 0.0525])

    @pytest.mark.parametrize("train", [{"batch": 0.6}, {"time": 2.0}], ids=["batch", "time"])
    def test_rates_that_only_the_run_knows_are_null(self, train: dict[str, object]) -> None:
        optimizer = planned(train=train).optimizer

        assert all(group.rates is None for group in optimizer.groups)
        assert optimizer.epochs_shown == []

    def test_the_optimizer_that_auto_chooses_is_named(self) -> None:
        plan = planned(train={"optimizer": "auto"})

        assert (plan.optimizer.name, plan.optimizer.lr0) == ("AdamW", 0.001667)
        assert codes(plan) == {"optimizer_chosen"}


class TestEstimate:
    ALIKE = tuple(AlikeJob(f"job_{number}", "cpu", number / 10) for number in (1, 2, 9))

    def test_the_median_of_past_jobs_counts_by_image(self) -> None:
        estimate = planned(capacity=replace(LIVE, alike=self.ALIKE)).estimate

        assert estimate.epoch_seconds == pytest.approx(0.2 * 220)
        assert estimate.seconds == pytest.approx(0.2 * 220 * 20)
        assert (estimate.device, estimate.jobs) == ("cpu", ["job_1", "job_2", "job_9"])

    def test_a_job_that_ends_by_the_clock_takes_that_long(self) -> None:
        assert planned(train={"time": 0.5}).estimate.seconds == 1800

    @pytest.mark.parametrize(
        ("capacity", "architecture"),
        [
            pytest.param(LIVE, "yolo26n.yaml", id="no-jobs-alike"),
            pytest.param(Capacity(has_live_slot=False), "yolo26n.yaml", id="no-device"),
            pytest.param(LIVE, None, id="no-architecture"),
        ],
    )
    def test_an_estimate_without_past_jobs_is_a_reason(
        self, capacity: Capacity, architecture: str | None
    ) -> None:
        estimate = planned(capacity=capacity, architecture=architecture).estimate

        assert estimate.seconds is None
        assert estimate.note


class TestSwitchedOn:
    def test_f1_is_switched_on_for_the_fields_that_need_it(self) -> None:
        kept = {"name": "f1", "metric": "metrics/recall(B)", "where": {"metrics/F1(B)": {"min": 0}}}

        plan = planned(customize={"best_model": {"metric": "metrics/F1(B)"}, "keep_best": [kept]})

        assert [(each.field, each.because) for each in plan.switched_on] == [
            ("/customize/metrics/f1", "/customize/best_model/metric"),
            ("/customize/metrics/f1", "/customize/keep_best/0/where/metrics~1F1(B)"),
        ]

    def test_metrics_that_the_user_chose_are_not_listed_as_switched_on(self) -> None:
        asked = {"metrics": {"f1": True}, "best_model": {"metric": "metrics/F1(B)"}}

        assert planned(customize=asked).switched_on == []
