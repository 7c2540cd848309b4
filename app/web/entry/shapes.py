"""The demo dataset: drawn shapes with their boxes, as a YOLO zip.

Three classes in unequal numbers (circles are common, triangles rare) on noisy backgrounds. Equal
seeds give equal bytes.
"""

import io
import random
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from PIL import Image, ImageDraw

CLASSES = ("circle", "square", "triangle")
SHARES = (6, 3, 2)
MOST_SHAPES = 4
ROOM = 1.15
"""The factor by which `overlaps` enlarges the boxes of two shapes."""
ZIP_TIME = (2026, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Shape:
    """One drawn shape: class index, centre and half its box's side, in pixels."""

    kind: int
    x: float
    y: float
    half: float

    def overlaps(self, other: "Shape") -> bool:
        """Return whether the two boxes touch or nearly touch."""
        reach = ROOM * (self.half + other.half)
        return abs(self.x - other.x) < reach and abs(self.y - other.y) < reach

    def label(self, size: int) -> str:
        """Return a line of a YOLO label file: class, centre and size as shares of the image."""
        side = 2 * self.half / size
        return f"{self.kind} {self.x / size:.6f} {self.y / size:.6f} {side:.6f} {side:.6f}"


def write_shapes(
    target: Path | IO[bytes], *, train: int, val: int, size: int, seed: int = 0
) -> None:
    """Write a zip of `train` + `val` images of `size` x `size` pixels, with their labels."""
    rng = random.Random(seed)  # noqa: S311 -- pictures, not secrets
    names = "\n".join(f"  {index}: {name}" for index, name in enumerate(CLASSES))
    with zipfile.ZipFile(target, "w") as archive:
        text = f"train: images/train\nval: images/val\nnames:\n{names}\n"
        _add(archive, "data.yaml", text.encode())
        for split, count in (("train", train), ("val", val)):
            for number in range(count):
                shapes = _scatter(rng, size)
                lines = "".join(shape.label(size) + "\n" for shape in shapes)
                _add(archive, f"images/{split}/{number:04d}.png", _png(_draw(rng, shapes, size)))
                _add(archive, f"labels/{split}/{number:04d}.txt", lines.encode())


def _scatter(rng: random.Random, size: int) -> list[Shape]:
    """Place one to four shapes that do not overlap."""
    shapes: list[Shape] = []
    wanted = rng.randint(1, MOST_SHAPES)
    while len(shapes) < wanted:
        half = rng.uniform(0.09, 0.17) * size
        x, y = (rng.uniform(half, size - half) for _ in range(2))
        shape = Shape(rng.choices(range(len(CLASSES)), SHARES)[0], x, y, half)
        if not any(shape.overlaps(other) for other in shapes):
            shapes.append(shape)
    return shapes


def _draw(rng: random.Random, shapes: Sequence[Shape], size: int) -> Image.Image:
    """Draw bright shapes on a dark background with noise."""
    ground = tuple(rng.randint(0, 90) for _ in range(3))
    image = Image.new("RGB", (size, size), ground)
    noise = Image.frombytes("RGB", (size, size), rng.randbytes(3 * size * size))
    image = Image.blend(image, noise, 0.15)
    draw = ImageDraw.Draw(image)
    for shape in shapes:
        colour = tuple(rng.randint(120, 255) for _ in range(3))
        _draw_shape(draw, shape, colour)
    return image


def _draw_shape(draw: ImageDraw.ImageDraw, shape: Shape, colour: tuple[int, ...]) -> None:
    x, y, half = shape.x, shape.y, shape.half
    box = (x - half, y - half, x + half, y + half)
    if CLASSES[shape.kind] == "circle":
        draw.ellipse(box, fill=colour)
    elif CLASSES[shape.kind] == "square":
        draw.rectangle(box, fill=colour)
    else:
        draw.polygon([(x, y - half), (x + half, y + half), (x - half, y + half)], fill=colour)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, ZIP_TIME), content)
