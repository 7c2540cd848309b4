"""Arguments that Ultralytics overrides: what is refused, what is shown, and what is warned of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from pydantic import ValidationError

from app.core.tasks import Task
from app.jobs.spec.job_spec import JobSpec, SpecFacts, TrainArguments, asked_of, resolve_spec
from app.jobs.spec.overridden_arguments import ROWS
from app.jobs.spec.override_answers import OtherAnswer, Row
from app.jobs.spec.overriding import overridden
from app.jobs.spec.train_arguments import TASKS_OF_ARGUMENT, tasks_of
from tests.jobs.spec.documents import VERSION, a_document

IMAGES: Final = {"train": 8, "val": 4}
EVERY: Final = {"train": [(0, 1), (1, 3)], "val": [(0, 2)]}
SECOND_HALF: Final = {"train": [(4, 1)], "val": [(0, 1)]}
CROWDED: Final = {"train": [(0, 1), (5, 412)], "val": [(0, 350)]}
LEFT_OUT: Final = "left out"


@dataclass(frozen=True)
class Case:
    """A spec with facts, and the consequence.

    Args:
        train: the train arguments as submitted.
        shown: the values that the resolved spec has, or LEFT_OUT.
        warned: arguments that the plan warns of.
        refused: (path, code) of each problem.
        facts: facts that differ from a plain dataset.
        task: the task.
        spec: further fields of the spec.
    """

    train: Mapping[str, object] = field(default_factory=dict)
    shown: Mapping[str, object] = field(default_factory=dict)
    warned: frozenset[str] = frozenset()
    refused: frozenset[tuple[str, str]] = frozenset()
    facts: Mapping[str, Any] = field(default_factory=dict)
    task: Task = "detect"
    spec: Mapping[str, object] = field(default_factory=dict)

    @property
    def submitted(self) -> JobSpec:
        return JobSpec.model_validate(
            a_document(train=dict(self.train), task=self.task) | dict(self.spec)
        )

    @property
    def known(self) -> SpecFacts:
        plain: dict[str, Any] = {
            "images": IMAGES,
            "running_max_objects": EVERY,
            "has_flip_idx": True,
            "has_masks": False,
        }
        return SpecFacts(VERSION, self.task, **plain | dict(self.facts))


def refused(*fields: str, code: str) -> frozenset[tuple[str, str]]:
    return frozenset((name, code) for name in fields)


def warned(*names: str) -> frozenset[str]:
    return frozenset(names)


ON_CPU: Final = {"resources": {"gpus": 0}}
FROM_WEIGHTS: Final = {"model": "yolo26n.pt"}
OLD: Final = {"architecture": "yolo11n-pose.yaml"}
ONE_LEFT: Final = {"imgsz": 32, "batch": 7}
CASES: Final[dict[str, Case]] = {
    "last-batch-of-one": Case(
        ONE_LEFT, refused=refused("train/batch", "train/imgsz", code="final_batch_of_one")
    ),
    "last-batch-of-one-by-multi-scale": Case(
        {"imgsz": 64, "batch": 7, "multi_scale": 0.1},
        refused=refused(
            "train/batch", "train/imgsz", "train/multi_scale", code="final_batch_of_one"
        ),
    ),
    "last-batch-of-one-by-fraction": Case(
        {"imgsz": 32, "batch": 4, "fraction": 5},
        refused=refused("train/batch", "train/imgsz", "train/fraction", code="final_batch_of_one"),
    ),
    "batches-of-one": Case(
        {"imgsz": 32, "batch": 1},
        refused=refused("train/batch", "train/imgsz", code="final_batch_of_one"),
    ),
    "batch-of-one-image": Case(
        {"imgsz": 32, "batch": 16},
        facts={"images": {"train": 1, "val": 1}},
        refused=refused("train/batch", "train/imgsz", code="final_batch_of_one"),
    ),
    "batch-chosen-on-a-cpu": Case(
        {"imgsz": 32, "batch": -1},
        facts={"images": {"train": 17, "val": 1}},
        spec=ON_CPU,
        refused=refused("train/batch", "train/imgsz", code="final_batch_of_one"),
    ),
    "last-batch-of-two": Case({"imgsz": 32, "batch": 6}),
    "batch-above-the-images": Case({"imgsz": 32, "batch": 16}),
    "size-rounded-to-64": Case(
        {"imgsz": 40, "batch": 7},
        facts={"architecture": "yolo26n.yaml"},
        shown={"imgsz": 64},
        warned=warned("imgsz"),
    ),
    "last-batch-of-one-at-64": Case({"imgsz": 64, "batch": 7}),
    "batch-chosen-on-a-gpu": Case({"imgsz": 32, "batch": -1}, spec={"resources": {"gpus": 1}}),
    "images-not-known": Case(ONE_LEFT, facts={"images": {}}),
    "last-batch-of-one-of-a-plugin": Case(ONE_LEFT, spec={"trainer": {"name": "mine"}}),
    "backgrounds": Case(
        {"fraction": 0.5},
        facts={"running_max_objects": SECOND_HALF},
        refused=refused("train/fraction", code="only_backgrounds"),
    ),
    "backgrounds-by-number": Case(
        {"fraction": 4},
        facts={"running_max_objects": SECOND_HALF},
        task="semantic",
        refused=refused("train/fraction", code="only_backgrounds"),
    ),
    "one-object": Case({"fraction": 5}, facts={"running_max_objects": SECOND_HALF}),
    "backgrounds-not-known": Case({"fraction": 0.5}, facts={"running_max_objects": None}),
    "bf16-on-a-cpu": Case(
        {"amp": "bf16"},
        spec=ON_CPU,
        refused=refused("train/amp", "resources/gpus", code="needs_a_gpu"),
    ),
    "bf16-on-any-slot": Case({"amp": "bf16"}, shown={"amp": "bf16"}),
    "scale-pair-of-a-class": Case(
        {"scale": [0.5, 1.5]},
        task="classify",
        refused=refused("train/scale", code="not_for_this_task"),
    ),
    "hue-of-a-class": Case(
        {"auto_augment": None, "hsv_h": 0.51},
        task="classify",
        refused=refused("train/hsv_h", code="not_for_this_task"),
    ),
    "largest-hue-of-a-class": Case(
        {"auto_augment": None, "hsv_h": 0.5}, task="classify", shown={"hsv_h": 0.5}
    ),
    "scale-pair": Case({"scale": [0.5, 1.5]}, shown={"scale": (0.5, 1.5)}),
    "no-flip-idx": Case(
        {"flipud": 0.5},
        task="pose",
        facts={"has_flip_idx": False},
        shown={"fliplr": 0.0, "flipud": 0.0},
        warned=warned("flipud"),
    ),
    "no-flip-idx-by-default": Case(
        task="pose",
        facts={"has_flip_idx": False},
        shown={"fliplr": 0.0, "flipud": 0.0},
        warned=warned("fliplr"),
    ),
    "no-flip-idx-and-no-flip": Case(
        {"fliplr": 0.0}, task="pose", facts={"has_flip_idx": False}, shown={"fliplr": 0.0}
    ),
    "no-flip-idx-of-boxes": Case(facts={"has_flip_idx": False}, shown={"fliplr": 0.5}),
    "flip-idx-not-known": Case(task="pose", facts={"has_flip_idx": None}, shown={"fliplr": 0.5}),
    "gray": Case(
        {"bgr": 0.5, "hsv_v": 0.2},
        facts={"channels": 1},
        shown={"hsv_h": 0.0, "hsv_s": 0.0, "hsv_v": 0.0, "bgr": 0.0},
        warned=warned("hsv_v", "bgr"),
    ),
    "many-channels-by-default": Case(
        facts={"channels": 8}, shown={"hsv_h": 0.0, "bgr": 0.0}, warned=warned("hsv_h")
    ),
    "masks": Case(
        {"copy_paste": 0.5},
        task="semantic",
        facts={"has_masks": True, "running_max_objects": None},
        shown={"copy_paste": 0.0},
        warned=warned("copy_paste"),
    ),
    "outlines": Case({"copy_paste": 0.5}, task="semantic", shown={"copy_paste": 0.5}),
    "crowded": Case(
        facts={"running_max_objects": CROWDED}, shown={"max_det": 412}, warned=warned("max_det")
    ),
    "crowded-validation": Case(
        {"fraction": 5},
        facts={"running_max_objects": CROWDED},
        shown={"max_det": 350},
        warned=warned("max_det"),
    ),
    "crowded-with-a-limit": Case(
        {"max_det": 299}, facts={"running_max_objects": CROWDED}, shown={"max_det": 299}
    ),
    "no-visibility": Case(
        {"kobj": 2.0},
        task="pose",
        facts={"keypoints": (4, 2)},
        shown={"kobj": LEFT_OUT},
        warned=warned("kobj"),
    ),
    "visibility": Case({"kobj": 2.0}, task="pose", facts={"keypoints": (4, 3)}, shown={"kobj": 2}),
    "size-not-a-multiple": Case(
        {"imgsz": 100},
        facts={"architecture": "yolo26n.yaml"},
        shown={"imgsz": 128},
        warned=warned("imgsz"),
    ),
    "size-of-an-unknown-model": Case(
        {"imgsz": 100}, spec=FROM_WEIGHTS, shown={"imgsz": 128}, warned=warned("imgsz")
    ),
    "no-residual-loss": Case(
        {"rle": 2.0}, task="pose", facts=OLD, shown={"rle": LEFT_OUT}, warned=warned("rle")
    ),
    "residual-loss": Case(
        {"rle": 2.0},
        task="pose",
        facts={"architecture": "yolo26n-pose.yaml"},
        shown={"rle": 2.0},
    ),
    "no-nms-free-head": Case(
        {"nms": False}, task="pose", facts=OLD, shown={"nms": None}, warned=warned("nms")
    ),
    "nms-free-head": Case(
        {"nms": False, "iou": 0.5},
        facts={"architecture": "yolo26n.yaml"},
        shown={"nms": False, "iou": LEFT_OUT},
        warned=warned("iou"),
    ),
    "from-scratch": Case(
        {"cls_remap": True}, shown={"cls_remap": False}, warned=warned("cls_remap")
    ),
    "from-weights": Case({"cls_remap": True}, spec=FROM_WEIGHTS, shown={"cls_remap": True}),
    "by-shape": Case(
        {"rect": True, "cutmix": 0.5},
        shown={"mosaic": 0.0, "mixup": 0.0, "cutmix": 0.0},
        warned=warned("cutmix"),
    ),
    "policy": Case(
        {"hsv_s": 0.2},
        task="classify",
        shown={"hsv_h": 0.0, "hsv_s": 0.0, "hsv_v": 0.0},
        warned=warned("hsv_s"),
    ),
    "no-policy": Case({"hsv_s": 0.2, "auto_augment": None}, task="classify", shown={"hsv_s": 0.2}),
    "adam": Case(
        {"optimizer": "AdamW", "warmup_momentum": 0.5},
        shown={"warmup_momentum": LEFT_OUT, "momentum": 0.937},
        warned=warned("warmup_momentum"),
    ),
    "sgd": Case({"optimizer": "SGD"}, shown={"warmup_momentum": 0.8}),
    "auto": Case({"warmup_momentum": 0.5}, shown={"warmup_momentum": 0.5}),
    "no-warmup": Case(
        {"optimizer": "SGD", "warmup_epochs": 0, "warmup_bias_lr": 0.2},
        shown={"warmup_momentum": LEFT_OUT, "warmup_bias_lr": LEFT_OUT},
        warned=warned("warmup_bias_lr"),
    ),
    "one-class": Case(
        {"single_cls": True, "agnostic_nms": False},
        shown={"agnostic_nms": True},
        warned=warned("agnostic_nms"),
    ),
    "nothing-to-paste": Case(
        {"copy_paste_mode": "mixup"},
        task="segment",
        shown={"copy_paste_mode": "mixup"},
        warned=warned("copy_paste_mode"),
    ),
    "on-a-cpu": Case(
        {"channels_last": True, "loader_workers": 2, "batch": 0.5, "amp": True},
        spec=ON_CPU,
        shown={"channels_last": True, "loader_workers": 0, "batch": 16, "amp": False},
        warned=warned("channels_last", "loader_workers", "batch", "amp"),
    ),
    "on-a-cpu-by-default": Case(spec=ON_CPU, shown={"loader_workers": 0, "amp": False}),
    "on-any-slot": Case(
        {"loader_workers": 2, "batch": 0.5},
        shown={"loader_workers": 2, "batch": 0.5, "amp": True},
    ),
}
OWN_ROWS: Final = [row for row in ROWS if not isinstance(row.answer, OtherAnswer)]


def problems(case: Case) -> set[tuple[str, str]]:
    try:
        resolve_spec(case.submitted, case.known)
    except ValidationError as error:
        return {("/".join(map(str, each["loc"])), each["type"]) for each in error.errors()}
    return set()


def applying(case: Case) -> list[Row]:
    asked = asked_of(case.submitted, case.known)
    return [row for row in ROWS if row.applies(asked)]


class TestConsequences:
    @pytest.mark.parametrize("row", CASES)
    def test_a_job_that_can_never_train_is_refused_at_its_fields(self, row: str) -> None:
        assert problems(CASES[row]) == CASES[row].refused

    @pytest.mark.parametrize("row", [row for row, case in CASES.items() if not case.refused])
    def test_the_resolved_spec_shows_what_runs(self, row: str) -> None:
        case = CASES[row]

        train = resolve_spec(case.submitted, case.known).train

        names = train.model_fields_set
        assert {
            name: getattr(train, name) if name in names else LEFT_OUT for name in case.shown
        } == case.shown

    @pytest.mark.parametrize("row", [row for row, case in CASES.items() if not case.refused])
    def test_arguments_that_do_not_run_as_set_are_warned_of(self, row: str) -> None:
        case = CASES[row]

        found = overridden(asked_of(case.submitted, case.known), case.submitted.train)

        assert {each.argument for each in found} == case.warned
        assert all("{" not in each.message for each in found)

    @pytest.mark.parametrize("row", [row for row, case in CASES.items() if not case.refused])
    def test_resolving_again_changes_nothing(self, row: str) -> None:
        case = CASES[row]
        once = resolve_spec(case.submitted, case.known)

        again = resolve_spec(once, case.known)

        assert again == once

    def test_a_default_spec_is_never_warned_of_without_facts(self) -> None:
        spec = JobSpec.model_validate(a_document())

        assert overridden(asked_of(spec, SpecFacts(VERSION, "detect")), spec.train) == []


class TestTheTable:
    def test_every_row_with_an_answer_of_its_own_has_a_case(self) -> None:
        met = [row for case in CASES.values() for row in applying(case)]

        assert [row.says for row in OWN_ROWS if row not in met] == []

    def test_every_row_names_arguments_that_exist(self) -> None:
        named = {name for row in ROWS for name in row.arguments}

        assert named <= set(TrainArguments.model_fields)

    def test_every_argument_of_some_tasks_has_a_row(self) -> None:
        by_task = {
            name
            for row in ROWS
            if isinstance(row.answer, OtherAnswer) and "tasks" in row.answer.where
            for name in row.arguments
        }

        assert by_task == set(TASKS_OF_ARGUMENT)
        assert all(tasks_of(name) for name in by_task)
