"""The stored layer tables against models that the installed Ultralytics builds."""

import importlib

import pytest
from torch import nn

from app.models.architectures import ARCHITECTURES, Architecture
from app.models.layer_tables import TABLES, layer_table
from tests.models.generate_layer_tables import Parsed, generate, rows_of, written

CLASSES = (1, 3, 80, 150)
KEYPOINTS = (None, (1, 2), (5, 3), (21, 2), (68, 3))
SMALLEST = [each for each in ARCHITECTURES.values() if each.scale == "n"]
MODEL_OF_TASK = {
    "detect": "DetectionModel",
    "segment": "SegmentationModel",
    "pose": "PoseModel",
    "obb": "OBBModel",
    "classify": "ClassificationModel",
    "semantic": "SemanticSegmentationModel",
    "depth": "DepthModel",
}


def real_model(row: Architecture, *, classes: int) -> nn.Module:
    """Build the whole model, as the trainer of its task does."""
    tasks = importlib.import_module("ultralytics.nn.tasks")
    model: nn.Module = getattr(tasks, MODEL_OF_TASK[row.task])(row.name, nc=classes, verbose=False)
    return model


class TestSmallestOfEachFamilyAndTask:
    @pytest.mark.parametrize("classes", [each for each in CLASSES if each != 3])
    @pytest.mark.parametrize("row", SMALLEST, ids=lambda row: row.name)
    def test_every_number_of_the_table_is_that_of_the_layers(
        self, row: Architecture, classes: int
    ) -> None:
        layers = Parsed(row.name, classes)

        assert layer_table(row.name, classes=classes) == rows_of(layers)

    @pytest.mark.parametrize("keypoints", KEYPOINTS, ids=str)
    @pytest.mark.parametrize("name", ["yolo26n-pose.yaml", "yolov8n-pose.yaml"])
    @pytest.mark.slow
    def test_every_number_of_a_pose_model_holds_for_any_keypoints(
        self, name: str, keypoints: tuple[int, int] | None
    ) -> None:
        layers = Parsed(name, 2, keypoints or (17, 3))

        assert layer_table(name, classes=2, keypoints=keypoints) == rows_of(layers)

    @pytest.mark.parametrize("channels", [1, 4])
    def test_the_first_layer_knows_the_channels_of_the_images(self, channels: int) -> None:
        layers = Parsed("yolo26n.yaml", 2, channels=channels)

        assert layer_table("yolo26n.yaml", classes=2, channels=channels) == rows_of(layers)


@pytest.mark.slow
class TestAll:
    @pytest.mark.parametrize("classes", CLASSES)
    @pytest.mark.parametrize("row", ARCHITECTURES.values(), ids=lambda row: row.name)
    def test_a_whole_model_has_the_layers_of_the_table(
        self, row: Architecture, classes: int
    ) -> None:
        model = real_model(row, classes=classes)

        assert layer_table(row.name, classes=classes) == rows_of(model)

    @pytest.mark.timeout(900)
    def test_the_file_is_what_the_generator_writes(self) -> None:
        assert TABLES.read_text() == written(generate())
