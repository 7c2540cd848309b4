"""The table of overridden arguments, compared with the installed Ultralytics, without training."""

import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import torch
import ultralytics
from hypothesis import given, settings
from hypothesis import strategies as st
from ultralytics.cfg import get_cfg
from ultralytics.data import augment, build
from ultralytics.data.dataset import ClassificationDataset
from ultralytics.data.utils import check_det_dataset
from ultralytics.engine.trainer import BaseTrainer
from ultralytics.models.yolo.detect import DetectionTrainer, DetectionValidator
from ultralytics.nn.tasks import DetectionModel, PoseModel
from ultralytics.utils import autobatch, checks, nms, torch_utils

from app.core.tasks import Task
from app.jobs.spec.job_spec import SpecFacts, TrainArguments
from app.jobs.spec.overridden_arguments import ROWS
from app.jobs.spec.override_answers import Row
from app.jobs.spec.override_conditions import (
    ADAM_FAMILY,
    BATCH_ON_CPU,
    DEFAULT_MAX_DET,
    STRIDE,
    AskedArguments,
    last_batch_has_one_image,
)
from app.jobs.spec.train_arguments import Optimizer
from tests.worker.trainer.drawn_datasets import draw_dataset, remove_flip_idx

INSTALLED = Path(ultralytics.__file__).parent
UPSTREAM: Any = SimpleNamespace(
    BaseTrainer=BaseTrainer,
    ClassificationDataset=ClassificationDataset,
    DetectionModel=DetectionModel,
    DetectionTrainer=DetectionTrainer,
    DetectionValidator=DetectionValidator,
    PoseModel=PoseModel,
    build=build,
    check_amp=checks.check_amp,
    check_imgsz=checks.check_imgsz,
)
"""Functions and classes of Ultralytics that have no types, or get stand-ins here."""
FOUR_POINTS = torch.tensor([[0.3, 0.3, 1], [0.7, 0.3, 1], [0.3, 0.7, 1], [0.7, 0.7, 1]])


class ReachedValidationError(Exception):
    """The training loader was accepted."""


def asked(**train: object) -> AskedArguments:
    images = train.pop("images", 0)
    facts = SpecFacts("dsv", "detect", images={"train": images})  # type: ignore[dict-item]
    arguments = TrainArguments(**train).effective("detect")  # type: ignore[arg-type]
    return AskedArguments(arguments, "yolo26n.yaml", None, has_plugin=False, facts=facts)


def dataset_of(folder: Path, task: Task, **arguments: object) -> Any:  # noqa: ANN401
    cfg = get_cfg(overrides={"task": task, "imgsz": 64, **arguments})
    found = check_det_dataset(str(folder / "data.yaml"))
    return UPSTREAM.build.build_yolo_dataset(cfg, found["train"], 4, found, mode="train")


def transforms_of(transform: Any) -> list[Any]:  # noqa: ANN401
    """Return all transforms inside a composition."""
    inside = getattr(transform, "transforms", None)
    if not isinstance(inside, list):
        return [transform]
    return [each for part in inside for each in transforms_of(part)]


def probabilities(dataset: Any, *kinds: str) -> list[float]:  # noqa: ANN401
    return [each.p for each in transforms_of(dataset.transforms) if type(each).__name__ in kinds]


def upstream_refuses(images: int, batch: int, imgsz: int, multi_scale: float) -> bool:
    """Return whether Ultralytics refuses the last batch of its training loader."""

    def loader(_path: str, batch_size: int, mode: str, **_: object) -> object:
        if mode == "val":
            raise ReachedValidationError
        return UPSTREAM.build.build_dataloader(
            list(range(images)), batch_size, workers=0, device="cpu"
        )

    rounded = UPSTREAM.check_imgsz(imgsz, stride=STRIDE, floor=STRIDE, max_dim=1)
    trainer = SimpleNamespace(
        args=SimpleNamespace(imgsz=rounded, multi_scale=multi_scale, split="val", task="detect"),
        batch_size=batch,
        data={"train": "", "val": ""},
        get_dataloader=loader,
        stride=STRIDE,
        world_size=0,
    )
    try:
        UPSTREAM.BaseTrainer._build_train_pipeline(trainer)
    except ReachedValidationError:
        return False
    except ValueError:
        return True
    raise AssertionError


def pose_loss(architecture: str, values: int, **gains: float) -> float:
    """Return the loss of one pose of four keypoints under these gains."""
    torch.manual_seed(0)
    model = UPSTREAM.PoseModel(architecture, nc=1, data_kpt_shape=[4, values], verbose=False)
    model.args = get_cfg(overrides={"task": "pose", **gains})
    batch = {
        "img": torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)),
        "batch_idx": torch.zeros(1),
        "cls": torch.zeros(1, 1),
        "bboxes": torch.tensor([[0.5, 0.5, 0.6, 0.6]]),
        "keypoints": FOUR_POINTS[None],
    }
    loss, _ = model.train()(batch)
    return float(loss.detach().sum())


def some_boxes(rows: int, columns: int) -> torch.Tensor:
    return torch.rand(1, rows, columns, generator=torch.Generator().manual_seed(0))


class TestSources:
    @pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.source.file}:{row.source.line}")
    def test_the_line_that_a_row_cites_says_so(self, row: Row) -> None:
        lines = (INSTALLED / row.source.file).read_text(encoding="utf-8").splitlines()

        assert row.source.text in lines[row.source.line - 1]


class TestWhatCannotTrain:
    @given(
        images=st.integers(1, 30),
        batch=st.integers(1, 10),
        imgsz=st.integers(32, 160),
        multi_scale=st.sampled_from([0.0, 0.1, 0.33, 0.5, 0.9]),
    )
    @settings(max_examples=200, deadline=None, derandomize=True)
    def test_a_last_batch_of_one_is_refused_where_ultralytics_refuses_it(
        self, images: int, batch: int, imgsz: int, multi_scale: float
    ) -> None:
        ours = asked(images=images, batch=batch, imgsz=imgsz, multi_scale=multi_scale)

        theirs = upstream_refuses(images, batch, imgsz, multi_scale)

        assert last_batch_has_one_image(ours) is theirs

    def test_images_without_label_files_are_no_training(self, tmp_path: Path) -> None:
        folder = draw_dataset(tmp_path, "detect")
        for label in sorted(folder.glob("labels/train/*.txt"))[:6]:
            label.unlink()

        with pytest.raises(ValueError, match="No labels found"):
            dataset_of(folder, "detect", fraction=6)

    def test_a_cpu_does_not_compute_in_bfloat16(self) -> None:
        with pytest.raises(RuntimeError, match="bfloat16"):
            torch_utils.autocast(torch.bfloat16, device="cpu")

    def test_classification_does_not_take_a_pair_of_scales(
        self, drawn: Callable[[Task], Path]
    ) -> None:
        cfg = get_cfg(overrides={"task": "classify", "imgsz": 64})
        cfg.scale = (0.5, 1.5)

        with pytest.raises(TypeError):
            UPSTREAM.ClassificationDataset(str(drawn("classify") / "train"), cfg, augment=True)


class TestWhatTheDataSwitchesOff:
    def test_no_image_is_flipped_without_flip_idx(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        folder = draw_dataset(tmp_path, "pose")
        remove_flip_idx(folder)

        without = dataset_of(folder, "pose", fliplr=0.9, flipud=0.5)

        assert probabilities(without, "RandomFlip") == [0.0, 0.0]
        with_it = dataset_of(drawn("pose"), "pose", fliplr=0.9, flipud=0.5)
        assert probabilities(with_it, "RandomFlip") == [0.5, 0.9]

    @pytest.mark.parametrize(("channels", "changes"), [(1, False), (3, True), (4, False)])
    def test_only_three_channels_have_colours(self, channels: int, *, changes: bool) -> None:
        image = np.random.default_rng(0).integers(0, 255, (8, 8, channels), dtype=np.uint8)

        hsv = augment.RandomHSV(1.0, 1.0, 1.0).apply_image({"img": image.copy()})["img"]
        plain, swapped = (augment.Format(bgr=share)._format_img(image) for share in (0.0, 1.0))

        assert (hsv != image).any() == changes
        assert bool((plain != swapped).any()) == changes

    def test_a_dataset_with_masks_has_no_outlines_to_paste(
        self, drawn: Callable[[Task], Path]
    ) -> None:
        dataset = dataset_of(drawn("semantic"), "semantic", copy_paste=1.0)

        assert len(dataset.get_image_and_label(0)["instances"].segments) == 0

    @pytest.mark.parametrize(("asked_for", "runs"), [(DEFAULT_MAX_DET, 412), (299, 299)])
    def test_the_default_of_max_det_grows_to_the_most_objects(
        self, asked_for: int, runs: int
    ) -> None:
        arguments = SimpleNamespace(max_det=asked_for)
        crowded = SimpleNamespace(labels=[{"cls": np.zeros((412, 1))}])

        UPSTREAM.DetectionValidator._check_max_det(arguments, {"train": crowded})

        assert arguments.max_det == runs

    @pytest.mark.parametrize("architecture", ["yolo26n-pose.yaml", "yolo11n-pose.yaml"])
    @pytest.mark.slow
    def test_keypoints_without_visibility_have_no_loss_of_it(self, architecture: str) -> None:
        losses = {pose_loss(architecture, 2, kobj=gain) for gain in (0.0, 1000.0)}

        assert len(losses) == 1
        assert pose_loss(architecture, 3, kobj=1000.0) != pose_loss(architecture, 3, kobj=0.0)


class TestWhatTheModelDecides:
    @given(imgsz=st.integers(32, 4096))
    def test_sizes_are_rounded_up_to_the_stride(self, imgsz: int) -> None:
        rounded = UPSTREAM.check_imgsz(imgsz, stride=STRIDE, floor=STRIDE, max_dim=1)

        assert asked(imgsz=imgsz).imgsz == rounded

    @pytest.mark.parametrize("family", ["yolo11n", "yolov8n"])
    def test_older_families_have_no_residual_loss_of_keypoints(self, family: str) -> None:
        assert pose_loss(f"{family}-pose.yaml", 3, rle=0.0) == pose_loss(
            f"{family}-pose.yaml", 3, rle=1000.0
        )

    @pytest.mark.parametrize(
        ("architecture", "has_it"),
        [("yolo26n.yaml", True), ("yolo11n.yaml", False), ("yolov8n.yaml", False)],
    )
    def test_only_yolo26_has_an_nms_free_head(self, architecture: str, *, has_it: bool) -> None:
        model = UPSTREAM.DetectionModel(architecture, verbose=False)

        model.end2end = True

        assert model.end2end is has_it

    def test_without_nms_no_overlap_is_too_large(self) -> None:
        boxes = some_boxes(300, 6)

        kept = [nms.non_max_suppression(boxes, 0.1, iou, end2end=True)[0] for iou in (0.0, 1.0)]

        assert torch.equal(*kept)

    def test_training_from_scratch_remaps_nothing(self) -> None:
        trainers = [
            SimpleNamespace(args=get_cfg(overrides={"cls_remap": remap}), data=data)
            for remap in (True, False)
            for data in [{"nc": 2, "names": {0: "person", 1: "car"}, "channels": 3}]
        ]
        models = []
        for trainer in trainers:
            trainer.set_model_names_for_load = (
                UPSTREAM.DetectionTrainer.set_model_names_for_load.__get__(trainer)
            )
            torch.manual_seed(0)
            trainer.model = UPSTREAM.DetectionTrainer.get_model(
                trainer, "yolo26n.yaml", verbose=False
            )
            UPSTREAM.DetectionTrainer.set_model_attributes(trainer)
            models.append(trainer.model)

        states = [model.state_dict() for model in models]
        assert models[0].names == models[1].names
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


class TestWhatOtherArgumentsDecide:
    def test_batches_by_shape_mix_nothing(self, drawn: Callable[[Task], Path]) -> None:
        mixing = {"mosaic": 1.0, "mixup": 1.0, "cutmix": 1.0}

        dataset = dataset_of(drawn("detect"), "detect", rect=True, **mixing)

        assert set(probabilities(dataset, "Mosaic", "MixUp", "CutMix")) == {0.0}

    def test_a_policy_of_classification_replaces_changes_of_colours(self) -> None:
        policy, none = (
            [type(each).__name__ for each in transforms_of(augmentations)]
            for augmentations in (
                augment.classify_augmentations(64, auto_augment="randaugment", hsv_h=0.5),
                augment.classify_augmentations(64, auto_augment=None, hsv_h=0.5),
            )
        )

        assert "ColorJitter" not in policy
        assert "ColorJitter" in none

    @pytest.mark.parametrize("name", [name for name in get_args(Optimizer) if name != "auto"])
    @pytest.mark.slow
    def test_only_some_optimizers_have_a_momentum_to_warm_up(self, name: str) -> None:
        trainer = SimpleNamespace(args=get_cfg(), data={"nc": 2})
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
        wrapped = SimpleNamespace(model=model, named_modules=model.named_modules)
        wrapped.parameters = model.parameters

        optimizer = UPSTREAM.BaseTrainer.build_optimizer(trainer, wrapped, name=name)

        has_momentum = {"momentum" in group for group in optimizer.param_groups}
        assert has_momentum == {name not in ADAM_FAMILY}

    def test_no_warmup_epochs_are_no_warmup_batches(self) -> None:
        trainer = SimpleNamespace(args=SimpleNamespace(warmup_epochs=0), epochs=5)

        assert UPSTREAM.BaseTrainer._get_warmup_iterations(trainer, 100) == 0

    def test_boxes_of_one_class_all_suppress_each_other(self) -> None:
        boxes = some_boxes(5, 200) * 64

        kept = [
            nms.non_max_suppression(boxes.clone(), 0.1, 0.5, nc=1, agnostic=agnostic)[0]
            for agnostic in (True, False)
        ]

        assert torch.equal(*kept)

    def test_nothing_is_pasted_from_nowhere(self, drawn: Callable[[Task], Path]) -> None:
        dataset = dataset_of(drawn("segment"), "segment")
        labels = dataset.get_image_and_label(0)
        random.seed(0)
        before = random.getstate()

        pasted = augment.CopyPaste(dataset, p=0.0, mode="mixup")(labels)

        assert pasted is labels
        assert random.getstate() == before


class TestWhatTheDeviceDecides:
    def test_a_cpu_trains_in_fp32_in_batches_of_16(self) -> None:
        model = UPSTREAM.DetectionModel("yolo26n.yaml", verbose=False)

        assert UPSTREAM.check_amp(model) is False
        assert autobatch.check_train_batch_size(model, 64, amp=False, batch=-1) == BATCH_ON_CPU

    def test_a_cpu_loads_images_in_its_own_process(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        arguments = {
            "model": "yolo26n.yaml",
            "data": str(drawn("detect") / "data.yaml"),
            "device": "cpu",
            "workers": 8,
            "save_dir": str(tmp_path / "run"),
        }

        trainer = UPSTREAM.DetectionTrainer(overrides=arguments)

        assert trainer.args.workers == 0
