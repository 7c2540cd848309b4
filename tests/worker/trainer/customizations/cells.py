"""A dataset and a model that match from the start: metrics are above 0 from the first epoch on.

Each image is a chessboard of 4 by 4 cells of 16 pixels, three of them filled. At each anchor of
stride 16, the model's box head predicts that cell from the start; it has to learn the classes.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from tests.ultralytics_models import a_detection_model
from tests.worker.trainer.drawn_datasets import CLASSES

CELL, CELLS = 16, 4
SHAPES = 3
TRAIN_IMAGES, VAL_IMAGES = 16, 12
_COLOURS = ((220, 60, 60), (60, 220, 60), (60, 60, 220))
_LOGIT_OF_A_GUESS, _LOGIT_OF_NEVER = -1.0, -12.0


def draw_cells(root: Path, *, seed: int = 0, classes_in_val: int = len(CLASSES)) -> Path:
    """Write the dataset below `root` and return its folder.

    Args:
        root: the parent of the new folder.
        seed: determines the filled cells and their classes.
        classes_in_val: number of first classes with ground truth in the validation set.
    """
    random = np.random.default_rng(seed)
    folder = root / "cells"
    for split, count in (("train", TRAIN_IMAGES), ("val", VAL_IMAGES)):
        kinds = len(CLASSES) if split == "train" else classes_in_val
        for number in range(count):
            drawn = random.choice(CELLS * CELLS, size=SHAPES, replace=False) if kinds else ()
            shown = [(int(each), int(random.integers(kinds))) for each in drawn]
            _write(folder, f"{split}/{number:03d}", random, shown)
    content = {"train": "images/train", "val": "images/val", "names": dict(enumerate(CLASSES))}
    (folder / "data.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


def guessing_model(file: Path, *, architecture: str = "yolo26n.yaml", seed: int = 0) -> Path:
    """Write weights that find cells and guess their classes, and return the file."""
    torch.manual_seed(seed)
    model: Any = a_detection_model(architecture, classes=len(CLASSES))
    model.names = dict(enumerate(CLASSES))
    head = model.model[-1]
    for boxes, classes in (head.one2many.values(), head.one2one.values()):
        for level in range(head.nl):
            box, kind = boxes[level][-1], classes[level][-1]
            torch.nn.init.zeros_(box.weight)
            torch.nn.init.constant_(box.bias, 0.5)  # strides, from the centre to each edge
            guesses = int(head.stride[level]) == CELL
            torch.nn.init.constant_(kind.bias, _LOGIT_OF_A_GUESS if guesses else _LOGIT_OF_NEVER)
    torch.save({"model": model.half(), "train_args": {}}, file)
    return file


def _write(
    folder: Path, name: str, random: np.random.Generator, shown: list[tuple[int, int]]
) -> None:
    image = random.integers(90, 130, size=(CELL * CELLS, CELL * CELLS, 3), dtype=np.uint8)
    lines = []
    for cell, kind in shown:
        row, column = divmod(cell, CELLS)
        y, x = row * CELL, column * CELL
        image[y : y + CELL, x : x + CELL] = _COLOURS[kind]
        side = 1 / CELLS
        lines.append(f"{kind} {(column + 0.5) * side} {(row + 0.5) * side} {side} {side}\n")
    picture = folder / "images" / f"{name}.png"
    label = folder / "labels" / f"{name}.txt"
    for file in (picture, label):
        file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(picture)
    label.write_text("".join(lines), encoding="utf-8")
