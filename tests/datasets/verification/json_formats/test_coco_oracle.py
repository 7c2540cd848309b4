"""Rows of COCO JSON equal those of Ultralytics' own conversion."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.core.tasks import Task
from app.datasets.verification.formats.json_formats import coco
from tests.datasets.json_uploads import coco as a_coco
from tests.datasets.json_uploads import pictures
from tests.datasets.oracle import Oracle
from tests.datasets.verification.json_formats.conftest import Read

NAMES = {number: f"{number}.jpg" for number in range(1, 9)}
CATEGORIES = [
    {"id": 1, "name": "disc", "keypoints": ["a", "b"]},
    {"id": 2, "name": "ring", "keypoints": ["a", "b"]},
]


def annotations(seed: int) -> list[dict[str, Any]]:
    """Draw objects of one to four outlines with two keypoints; one is a crowd, one has no size."""
    chance = np.random.default_rng(seed)
    drawn: list[dict[str, Any]] = []
    for image in (*NAMES, *NAMES):
        left, top = chance.integers(0, 60), chance.integers(0, 20)
        outlines = [
            (chance.random((chance.integers(3, 9), 2)) * (30, 20) + (left, top)).round(2)
            for _ in range(chance.integers(1, 5))
        ]
        drawn.append(
            {
                "image_id": image,
                "category_id": int(chance.integers(1, 3)),
                "bbox": [int(left), int(top), 30, 20],
                "segmentation": [outline.reshape(-1).tolist() for outline in outlines],
                "keypoints": [int(left), int(top), 2, int(left) + 9, int(top) + 9, 0],
                "iscrowd": 0,
            }
        )
    drawn[2]["iscrowd"] = 1
    drawn[3]["bbox"] = [5, 5, 0, 9]
    drawn[3]["segmentation"] = []
    drawn[4]["segmentation"] = []
    drawn[5]["keypoints"] = [0] * 6
    return drawn


@pytest.mark.parametrize("task", ["detect", "segment", "pose"])
def test_rows_equal_those_of_ultralytics(
    read: Read, oracle: Oracle, tmp_path: Path, task: Task
) -> None:
    body = a_coco(NAMES, annotations(7), CATEGORIES)
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "instances_train.json").write_bytes(body)

    reading = read(coco, {**pictures(*NAMES.values()), "instances_train.json": body}, task=task)

    labels = oracle.ask(
        "coco", tmp_path / "json", tmp_path / "labels", task == "segment", task == "pose"
    )
    for name in NAMES.values():
        rows = [[float(value) for value in line.split()] for line in _lines(labels, name)]
        assert len(reading.rows(name)) == len(rows)
        for ours, theirs in zip(reading.rows(name), rows, strict=True):
            assert ours == pytest.approx(theirs, abs=2e-6)


def _lines(labels: dict[str, str], name: str) -> list[str]:
    return labels.get(name.removesuffix(".jpg"), "").splitlines()
