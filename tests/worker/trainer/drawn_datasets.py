"""Small datasets of drawn shapes, with a folder for each task, as Trainyard writes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from PIL import Image, ImageDraw

from app.core.tasks import Task

CLASSES = ("disc", "square", "triangle")
TRAIN_IMAGES, VAL_IMAGES = 18, 8
WIDTH, HEIGHT = 96, 80
MILLIMETRES_FAR = 5000


@dataclass(frozen=True)
class Shape:
    """A drawn shape: its class, and its centre and half its side in pixels."""

    kind: int
    x: int
    y: int
    half: int

    @property
    def corners(self) -> list[tuple[int, int]]:
        """Return the corners of the shape's box, clockwise from the upper left."""
        x, y, half = self.x, self.y, self.half
        return [
            (x - half, y - half),
            (x + half, y - half),
            (x + half, y + half),
            (x - half, y + half),
        ]


def draw_dataset(
    root: Path,
    task: Task,
    *,
    classes: Sequence[str] = CLASSES,
    oks_sigmas: float | None = None,
    seed: int = 0,
) -> Path:
    """Write a dataset for the task below `root` and return its folder.

    Args:
        root: the parent of the new folder.
        task: determines the kind of labels.
        classes: names; a shape's class is its kind modulo their number.
        oks_sigmas: the tolerance of each key point (pose); None uses Ultralytics' default.
        seed: determines the drawn shapes.
    """
    random = np.random.default_rng(seed)
    folder = root / f"drawn-{task}"
    for split, count in (("train", TRAIN_IMAGES), ("val", VAL_IMAGES)):
        for number in range(count):
            shapes = _some_shapes(random, count=1 if task == "classify" else 3)
            image = _image_of(random, shapes)
            _write(folder, task, _Sample(split, number, image, shapes, classes))
    if task != "classify":
        _write_yaml(folder, task, classes, oks_sigmas)
    return folder


def spoil_labels(folder: Path) -> None:
    """Make Ultralytics drop every label: its class is not in the list, or its box is outside."""
    for file in folder.glob("labels/*/*.txt"):
        file.write_text("99 3.0 3.0 9.0 9.0\n", encoding="utf-8")


def remove_flip_idx(folder: Path) -> None:
    """Leave out of a pose dataset which keypoints change places in a mirror."""
    file = folder / "data.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    del content["flip_idx"]
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


@dataclass(frozen=True)
class _Sample:
    split: str
    number: int
    image: Image.Image
    shapes: list[Shape]
    classes: Sequence[str]

    @property
    def stem(self) -> str:
        return f"{self.split}{self.number:03d}"


def _some_shapes(random: np.random.Generator, *, count: int) -> list[Shape]:
    return [
        Shape(
            kind=int(random.integers(len(CLASSES))),
            x=int(random.integers(20, WIDTH - 20)),
            y=int(random.integers(20, HEIGHT - 20)),
            half=int(random.integers(8, 18)),
        )
        for _ in range(count)
    ]


def _image_of(random: np.random.Generator, shapes: list[Shape]) -> Image.Image:
    noise = random.integers(90, 130, size=(HEIGHT, WIDTH, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    for shape in shapes:
        colour = [20, 20, 20]
        colour[shape.kind] = 230
        _draw(image, shape, tuple(colour))
    return image


def _draw(image: Image.Image, shape: Shape, ink: tuple[int, ...] | int) -> None:
    draw = ImageDraw.Draw(image)
    upper_left, upper_right, lower_right, lower_left = shape.corners
    if shape.kind == 0:
        draw.ellipse([upper_left, lower_right], fill=ink)
    elif shape.kind == 1:
        draw.rectangle([upper_left, lower_right], fill=ink)
    else:
        top = (shape.x, upper_right[1])
        draw.polygon([top, lower_right, lower_left], fill=ink)


def _write(folder: Path, task: Task, sample: _Sample) -> None:
    if task == "classify":
        kind = sample.classes[sample.number % len(sample.classes)]
        _saved(sample.image, folder / sample.split / kind / f"{sample.stem}.png")
        return
    _saved(sample.image, folder / "images" / sample.split / f"{sample.stem}.png")
    if task == "semantic":
        _saved(_mask_of(sample.shapes), folder / "masks" / sample.split / f"{sample.stem}.png")
    elif task == "depth":
        _saved(_depth_of(sample.shapes), folder / "depth" / sample.split / f"{sample.stem}.png")
    else:
        lines = [_label(task, shape, len(sample.classes)) for shape in sample.shapes]
        file = folder / "labels" / sample.split / f"{sample.stem}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _label(task: Task, shape: Shape, classes: int) -> str:
    box = [shape.x / WIDTH, shape.y / HEIGHT, 2 * shape.half / WIDTH, 2 * shape.half / HEIGHT]
    corners = [part for x, y in shape.corners for part in (x / WIDTH, y / HEIGHT)]
    points = [part for x, y in shape.corners for part in (x / WIDTH, y / HEIGHT, 2)]
    values = {"detect": box, "segment": corners, "obb": corners, "pose": [*box, *points]}[task]
    return " ".join([str(shape.kind % classes), *(f"{value:.6f}" for value in values)])


def _mask_of(shapes: list[Shape]) -> Image.Image:
    mask = Image.new("L", (WIDTH, HEIGHT), 255)
    for shape in shapes:
        _draw(mask, shape, shape.kind)
    return mask


def _depth_of(shapes: list[Shape]) -> Image.Image:
    depth = np.tile(np.linspace(1000, MILLIMETRES_FAR, HEIGHT)[:, None], (1, WIDTH))
    for shape in shapes:
        depth[shape.y - shape.half : shape.y + shape.half] -= 300 * (shape.kind + 1)
    return Image.fromarray(np.clip(depth, 500, MILLIMETRES_FAR).astype(np.uint16))


def _saved(image: Image.Image, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file)


def _write_yaml(folder: Path, task: Task, classes: Sequence[str], oks_sigmas: float | None) -> None:
    content: dict[str, object] = {
        "train": "images/train",
        "val": "images/val",
        "names": dict(enumerate(classes)),
    }
    if task == "pose":
        content |= {"kpt_shape": [4, 3], "flip_idx": [1, 0, 3, 2]}
    if oks_sigmas is not None:
        content["kpt_oks_sigmas"] = [oks_sigmas] * 4
    if task == "semantic":
        content["masks_dir"] = "masks"
    if task == "depth":
        content |= {"names": {0: "depth"}, "depth_scale": 1000, "max_depth": 10.0}
    text = yaml.safe_dump(content, sort_keys=False)
    (folder / "data.yaml").write_text(text, encoding="utf-8")
