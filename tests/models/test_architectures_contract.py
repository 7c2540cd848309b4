"""The offered architectures against the yaml files and asset names of the installed Ultralytics."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.core.tasks import TASKS
from app.models.architectures import (
    ARCHITECTURES,
    TASK_SUFFIXES,
    Architecture,
    architecture,
    architecture_of_pretrained,
)

FOLDERS = {"yolo26": "26", "yolo11": "11", "yolov8": "v8"}
HEADS = {
    "detect": "Detect",
    "segment": "Segment",
    "pose": "Pose",
    "obb": "OBB",
    "classify": "Classify",
    "semantic": "SemanticSegment",
    "depth": "Depth",
}


def installed_ultralytics() -> Path:
    """Return the folder of the package without importing it."""
    spec = importlib.util.find_spec("ultralytics")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def upstream_yaml(row: Architecture) -> dict[str, Any]:
    name = f"{row.family}{TASK_SUFFIXES[row.task]}.yaml"
    path = installed_ultralytics() / "cfg" / "models" / FOLDERS[row.family] / name
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


class TestRows:
    @pytest.mark.parametrize("row", ARCHITECTURES.values(), ids=lambda row: row.name)
    def test_a_row_agrees_with_the_file_of_upstream(self, row: Architecture) -> None:
        shipped = upstream_yaml(row)

        assert row.scale in shipped["scales"]
        assert row.backbone_layers == len(shipped["backbone"])
        assert row.layers == len(shipped["backbone"]) + len(shipped["head"])
        assert shipped["head"][-1][2].removesuffix("26") == HEADS[row.task]

    def test_every_task_and_scale_upstream_ships_is_offered(self) -> None:
        models = installed_ultralytics() / "cfg" / "models"
        files = [
            models / folder / f"{family}{suffix}.yaml"
            for family, folder in FOLDERS.items()
            for suffix in TASK_SUFFIXES.values()
        ]

        shipped = {
            f"{family}{scale}{dash}{suffix}.yaml"
            for path in files
            if path.exists()
            for family, dash, suffix in [path.stem.partition("-")]
            for scale in yaml.safe_load(path.read_text(encoding="utf-8"))["scales"]
        }

        assert shipped == set(ARCHITECTURES)

    def test_yolo26_has_seven_tasks_and_the_older_families_have_five(self) -> None:
        tasks = {
            family: {each.task for each in ARCHITECTURES.values() if each.family == family}
            for family in FOLDERS
        }

        assert tasks["yolo26"] == set(TASKS)
        assert tasks["yolo11"] == tasks["yolov8"] == set(TASKS) - {"semantic", "depth"}

    def test_every_task_has_its_suffix(self) -> None:
        assert tuple(TASK_SUFFIXES) == TASKS


class TestLookUp:
    def test_a_name_finds_its_row(self) -> None:
        found = architecture("yolo26n-sem.yaml")

        assert found == Architecture("yolo26n-sem.yaml", "semantic", "yolo26", "n", 11, 18)

    @pytest.mark.parametrize(
        "name",
        ["yolo26n.pt", "yolo26.yaml", "yolo11n-depth.yaml", "yolov8n-cls-resnet50.yaml", "", "x"],
    )
    def test_an_architecture_that_is_not_offered_is_not_found(self, name: str) -> None:
        assert architecture(name) is None

    def test_weights_find_the_row_that_they_fit(self) -> None:
        found = architecture_of_pretrained("yolov8x-pose.pt")

        assert found is architecture("yolov8x-pose.yaml")
        assert architecture_of_pretrained("yolo26n.yaml") is None

    def test_every_pretrained_name_is_an_asset_of_upstream(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("YOLO_OFFLINE", "true")
        monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
        from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

        names = {each.pretrained_name for each in ARCHITECTURES.values()}

        assert names <= set(GITHUB_ASSETS_NAMES)
        assert len(names) == len(ARCHITECTURES)


class TestBuiltModel:
    @pytest.mark.parametrize("name", ["yolo26n.yaml", "yolo26n-sem.yaml", "yolov8n-cls.yaml"])
    def test_a_built_model_has_as_many_layers(
        self, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("YOLO_OFFLINE", "true")
        monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
        from ultralytics.models import YOLO

        row = architecture(name)
        built: Any = YOLO(name, verbose=False)

        assert row is not None
        assert (len(built.model.model), built.task) == (row.layers, row.task)
