"""The inspecting process reports on real model files, and on files that only look like one."""

import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ultralytics.models import YOLO
from ultralytics.nn.tasks import DetectionModel

from tests.ultralytics_models import a_detection_model, model_yaml
from worker.trainer.environment import trainer_environment
from worker.trainer.weights.inspection import Inspection, read_inspection
from worker.trainer.weights.reading import inspect

pytestmark = pytest.mark.integration


class Touches:
    """The content of a hostile file: ordinary unpickling creates a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.path),)


class OwnLayer(torch.nn.Conv2d):
    """A class that is installed only for its author."""


def save(model: Any, path: Path) -> Path:  # noqa: ANN401
    torch.save({"model": model, "epoch": -1}, path)
    return path


def a_detector(**changes: object) -> DetectionModel:
    return a_detection_model(model_yaml("yolo26n.yaml") | {"nc": 2, **changes})


def refusal(file: Path) -> str:
    said = inspect(file)
    assert said.found is None
    assert said.refusal
    return said.refusal


class TestInspect:
    @pytest.mark.parametrize(
        ("name", "task"),
        [
            ("yolo26n.yaml", "detect"),
            ("yolo26n-seg.yaml", "segment"),
            ("yolo11n-pose.yaml", "pose"),
            ("yolo26n-obb.yaml", "obb"),
            ("yolov8n-cls.yaml", "classify"),
            ("yolo26n-sem.yaml", "semantic"),
            ("yolo26n-depth.yaml", "depth"),
        ],
    )
    @pytest.mark.slow
    def test_what_ultralytics_saves_is_known_by_task_and_architecture(
        self, tmp_path: Path, name: str, task: str
    ) -> None:
        YOLO(name).save(tmp_path / "weights.pt")

        found = inspect(tmp_path / "weights.pt").found

        assert found is not None
        assert (found.task, found.architecture) == (task, name)

    def test_classes_come_in_their_order_and_parameters_are_counted(self, tmp_path: Path) -> None:
        model = a_detector()
        model.names = {1: "square", 0: "circle"}

        found = inspect(save(model, tmp_path / "weights.pt")).found

        assert found is not None
        assert (found.classes, found.architecture) == (("circle", "square"), "yolo26n.yaml")
        assert found.parameters == sum(each.numel() for each in model.parameters())

    def test_a_changed_layer_is_another_architecture_whatever_the_file_claims(
        self, tmp_path: Path
    ) -> None:
        backbone = model_yaml("yolo26n.yaml")["backbone"]
        backbone[0][3][1] = 5  # the first convolution's kernel
        model: Any = a_detector(backbone=backbone)
        assert model.yaml["yaml_file"] == "yolo26n.yaml"

        found = inspect(save(model, tmp_path / "weights.pt")).found

        assert found is not None
        assert (found.task, found.architecture) == ("detect", None)

    def test_other_inputs_of_a_layer_are_another_architecture(self, tmp_path: Path) -> None:
        model: Any = a_detector()
        model.model[12].f = [-1, 4]

        found = inspect(save(model, tmp_path / "weights.pt")).found

        assert found is not None
        assert found.architecture is None

    @pytest.mark.parametrize(
        "claimed",
        ["yolo26s.yaml", "yolo99n.yaml", "https://a.example/yolo26n.yaml/", "../x.yaml"],
    )
    def test_a_claimed_name_that_is_not_its_own_is_no_architecture(
        self, tmp_path: Path, claimed: str
    ) -> None:
        model: Any = a_detector()
        model.yaml["yaml_file"] = claimed

        found = inspect(save(model, tmp_path / "weights.pt")).found

        assert found is not None
        assert found.architecture is None

    def test_a_hostile_pickle_does_nothing_and_is_refused(self, tmp_path: Path) -> None:
        torch.save({"model": Touches(tmp_path / "touched")}, tmp_path / "weights.pt")

        said = refusal(tmp_path / "weights.pt")

        assert "mkdir" in said
        assert not (tmp_path / "touched").exists()
        torch.load(tmp_path / "weights.pt", weights_only=False)
        assert (tmp_path / "touched").exists()

    def test_a_class_of_ones_own_is_refused_by_its_name(self, tmp_path: Path) -> None:
        model: Any = a_detector()
        model.model[0].conv.__class__ = OwnLayer

        assert "OwnLayer" in refusal(save(model, tmp_path / "weights.pt"))

    def test_half_a_file_is_refused(self, tmp_path: Path) -> None:
        whole = save(a_detector(), tmp_path / "whole.pt").read_bytes()
        (tmp_path / "weights.pt").write_bytes(whole[: len(whole) // 2])

        assert "truncated" in refusal(tmp_path / "weights.pt")

    def test_an_archive_of_something_else_is_refused(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "weights.pt", "w") as archive:
            archive.writestr("data.pkl", pickle.dumps({"hello": 1}))

        assert refusal(tmp_path / "weights.pt")

    def test_bare_tensors_are_refused(self, tmp_path: Path) -> None:
        torch.save(a_detector().state_dict(), tmp_path / "weights.pt")

        assert "no Ultralytics model" in refusal(tmp_path / "weights.pt")

    def test_weights_that_are_no_numbers_are_refused(self, tmp_path: Path) -> None:
        model: Any = a_detector()
        model.model[0].conv.weight.data.fill_(float("nan"))

        assert "finite" in refusal(save(model, tmp_path / "weights.pt"))

    def test_classes_without_names_are_refused(self, tmp_path: Path) -> None:
        model = a_detector()
        model.names = {"a": 1}

        assert "classes" in refusal(save(model, tmp_path / "weights.pt"))


class TestTheProcess:
    def test_the_process_of_an_inspection_writes_what_it_found(self, tmp_path: Path) -> None:
        file = save(a_detector(), tmp_path / "weights.pt")
        report = tmp_path / "report.json"

        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "worker.trainer.weights",
                file,
                report,
                str(16 * 2**30),
            ],
            env=trainer_environment(tmp_path, gpu=None, base=os.environ),
            cwd=tmp_path,
            capture_output=True,
            timeout=100,
            check=False,
        )

        assert done.returncode == 0, done.stderr
        assert read_inspection(report) == inspect(file)

    def test_nothing_written_is_no_inspection(self, tmp_path: Path) -> None:
        assert read_inspection(tmp_path / "missing.json") is None
        (tmp_path / "report.json").write_text("{}")
        assert read_inspection(tmp_path / "report.json") == Inspection()
