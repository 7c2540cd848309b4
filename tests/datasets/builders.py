"""Builders of small zips of drawn shapes for every task; a model can learn them at 64 pixels."""

import io
import random
import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import cos, pi, sin
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image, ImageDraw

NAMES = ("disc", "square", "triangle")
COLOURS = ((230, 60, 50), (60, 200, 80), (70, 90, 230))
CORNERS = (24, 4, 3)
SIDE = 64

Files = dict[str, bytes]


@dataclass(frozen=True)
class Shape:
    """A shape in pixels: class, centre, radius and rotation in radians."""

    number: int
    x: float
    y: float
    radius: float
    turn: float

    def points(self) -> list[tuple[float, float]]:
        count = CORNERS[self.number]
        angles = [self.turn + 2 * pi * corner / count for corner in range(count)]
        return [(self.x + self.radius * cos(a), self.y + self.radius * sin(a)) for a in angles]

    def box(self) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom."""
        xs, ys = zip(*self.points(), strict=True)
        return min(xs), min(ys), max(xs), max(ys)


def shapes_of(seed: int, side: int = SIDE, classes: int = len(NAMES)) -> list[Shape]:
    """Return one or two shapes, well inside the picture."""
    chance = random.Random(seed)
    return [
        Shape(
            number=(seed + extra) % classes,
            x=chance.uniform(0.3, 0.7) * side,
            y=chance.uniform(0.25, 0.4) * side + extra * 0.35 * side,
            radius=chance.uniform(0.15, 0.22) * side,
            turn=chance.uniform(0, pi),
        )
        for extra in range(1 + seed % 2)
    ]


def a_picture(shapes: list[Shape], side: int = SIDE, seed: int = 0) -> Image.Image:
    """Draw the shapes on a noisy background."""
    noise = np.random.default_rng(seed).integers(90, 140, (side, side, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    draw = ImageDraw.Draw(picture)
    for shape in shapes:
        draw.polygon(shape.points(), fill=COLOURS[shape.number])
    return picture


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def an_image(seed: int = 0, side: int = SIDE, kind: str = "JPEG") -> bytes:
    return encoded(a_picture(shapes_of(seed, side), side, seed), kind)


def numbers(values: list[float], side: int = SIDE) -> str:
    return " ".join(f"{min(max(value / side, 0), 1):.6f}" for value in values)


def detect_row(shape: Shape) -> str:
    left, top, right, bottom = shape.box()
    centre = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
    return f"{shape.number} {numbers(centre)}"


def segment_row(shape: Shape) -> str:
    return f"{shape.number} {numbers([value for point in shape.points() for value in point])}"


def obb_row(shape: Shape) -> str:
    turned = Shape(1, shape.x, shape.y, shape.radius * 1.2, shape.turn)
    return f"{shape.number} {numbers([value for point in turned.points() for value in point])}"


def pose_row(shape: Shape) -> str:
    """Return the box and four keypoints: left, right, top, bottom, all visible."""
    left, top, right, bottom = shape.box()
    points = [(left, shape.y), (right, shape.y), (shape.x, top), (shape.x, bottom)]
    keypoints = " ".join(f"{numbers(list(point))} 2" for point in points)
    return f"{detect_row(shape)} {keypoints}"


ROWS = {"detect": detect_row, "segment": segment_row, "obb": obb_row, "pose": pose_row}
POSE_KEYS: Mapping[str, Any] = {"kpt_shape": [4, 3], "flip_idx": [1, 0, 2, 3]}


def a_yaml(**keys: object) -> bytes:
    """Return the data.yaml of a plain dataset, without the keys that are None."""
    content = {"train": "images/train", "val": "images/val", "names": list(NAMES), **keys}
    given = {key: value for key, value in content.items() if value is not None}
    return yaml.safe_dump(given, sort_keys=False).encode()


def seeds(train: int, val: int) -> Iterator[tuple[str, int]]:
    yield from (("train", seed) for seed in range(train))
    yield from (("val", 1000 + seed) for seed in range(val))


def label_files(row_of: str, *, train: int = 8, val: int = 4, **keys: object) -> Files:
    """Return the files of a detect, segment, obb or pose dataset."""
    files: Files = {"data.yaml": a_yaml(**keys)}
    for split, seed in seeds(train, val):
        rows = [ROWS[row_of](shape) for shape in shapes_of(seed)]
        files[f"images/{split}/{seed:04d}.jpg"] = an_image(seed)
        files[f"labels/{split}/{seed:04d}.txt"] = ("\n".join(rows) + "\n").encode()
    return files


def class_files(*, train: int = 9, val: int = 6) -> Files:
    """Return the files of a classification dataset: one shape per image, in its class folder."""
    files: Files = {}
    for split, seed in seeds(train, val):
        name = NAMES[seed % len(NAMES)]
        picture = a_picture(shapes_of(seed)[:1], seed=seed)
        files[f"{split}/{name}/{seed:04d}.jpg"] = encoded(picture, "JPEG")
    return files


def a_mask(shapes: list[Shape], side: int = SIDE) -> bytes:
    """Return a mask with class ids from 1; the background is 0."""
    mask = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(mask)
    for shape in shapes:
        draw.polygon(shape.points(), fill=shape.number + 1)
    return encoded(mask)


def mask_files(*, train: int = 8, val: int = 4, **keys: object) -> Files:
    """Return the files of a semantic dataset with PNG masks; class 0 is the background."""
    files: Files = {"data.yaml": a_yaml(**{"names": ["ground", *NAMES], **keys})}
    for split, seed in seeds(train, val):
        files[f"images/{split}/{seed:04d}.jpg"] = an_image(seed)
        files[f"masks/{split}/{seed:04d}.png"] = a_mask(shapes_of(seed))
    return files


def depths_of(shapes: list[Shape], side: int = SIDE) -> np.ndarray:
    """Return depths in meters: a slope from 4 to 8, with the shapes at 2."""
    depth = np.tile(np.linspace(4, 8, side, dtype=np.float32)[:, None], (1, side))
    mask = Image.new("1", (side, side), 0)
    draw = ImageDraw.Draw(mask)
    for shape in shapes:
        draw.polygon(shape.points(), fill=1)
    depth[np.asarray(mask)] = 2
    return depth


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def depth_files(*, train: int = 8, val: int = 4, as_npy: bool = False, **keys: object) -> Files:
    """Return the files of a depth dataset: 16-bit PNG in millimeters, or NPY in meters."""
    files: Files = {"data.yaml": a_yaml(**{"names": {0: "depth"}, **keys})}
    for split, seed in seeds(train, val):
        depth = depths_of(shapes_of(seed))
        files[f"images/{split}/{seed:04d}.jpg"] = an_image(seed)
        if as_npy:
            files[f"depth/{split}/{seed:04d}.npy"] = npy(depth)
        else:
            png = encoded(Image.fromarray((depth * 1000).astype(np.uint16)))
            files[f"depth/{split}/{seed:04d}.png"] = png
    return files


def a_zip(path: Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write the files as a zip and return its path."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def a_detect_zip(path: Path, *, train: int = 8, val: int = 4) -> Path:
    return a_zip(path, label_files("detect", train=train, val=val))


def a_segment_zip(path: Path, *, train: int = 8, val: int = 4) -> Path:
    return a_zip(path, label_files("segment", train=train, val=val))


def an_obb_zip(path: Path, *, train: int = 8, val: int = 4) -> Path:
    return a_zip(path, label_files("obb", train=train, val=val))


def a_pose_zip(path: Path, *, train: int = 8, val: int = 4) -> Path:
    return a_zip(path, label_files("pose", train=train, val=val, **POSE_KEYS))


def a_classify_zip(path: Path, *, train: int = 9, val: int = 6) -> Path:
    return a_zip(path, class_files(train=train, val=val))


def a_semantic_zip(path: Path, *, train: int = 8, val: int = 4) -> Path:
    """Write a semantic dataset with masks; for polygons use `a_segment_zip` with task semantic."""
    return a_zip(path, mask_files(train=train, val=val))


def a_depth_zip(path: Path, *, train: int = 8, val: int = 4) -> Path:
    return a_zip(path, depth_files(train=train, val=val))


ZIPS = {
    "detect": a_detect_zip,
    "segment": a_segment_zip,
    "pose": a_pose_zip,
    "obb": an_obb_zip,
    "classify": a_classify_zip,
    "semantic": a_semantic_zip,
    "depth": a_depth_zip,
}
"""One builder for each task: `ZIPS[task](path, train=8, val=4)`."""


def with_central_bytes(archive: bytes, offset: int, value: bytes) -> bytes:
    """Overwrite bytes of the first central directory entry, at `offset` within it."""
    at = archive.index(b"PK\x01\x02") + offset
    return archive[:at] + value + archive[at + len(value) :]


def with_flags(archive: bytes, flags: int) -> bytes:
    """Set the flags of the first member in the central directory and in its local header."""
    bits = struct.pack("<H", flags)
    return bits.join([archive[:6], with_central_bytes(archive, 8, bits)[8:]])
