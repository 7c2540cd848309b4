"""The photographs of blood cells in five forms, as five tools would export them."""

import csv
import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from PIL import Image

from tests.datasets.builders import Files, a_yaml

BLOOD_CELLS: Final = Path(__file__).parents[1] / "data" / "bccd-yolo.zip"
NAMES: Final = ("RBC", "WBC", "Platelets")
SIDES: Final = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class Cell:
    """A cell: its class and its box, left, top, right and bottom in whole pixels."""

    name: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Photograph:
    """One image with its cells; `rows` are those of its label file, as they are in the archive."""

    split: str
    stem: str
    content: bytes
    size: tuple[int, int]
    rows: list[list[float]]

    @property
    def cells(self) -> list[Cell]:
        """The cells, whose boxes were drawn in pixels and written with six decimals."""
        return [Cell(NAMES[int(number)], self._pixels(*box)) for number, *box in self.rows]

    def _pixels(self, x: float, y: float, w: float, h: float) -> tuple[int, int, int, int]:
        width, height = self.size
        across, down = (x - w / 2, x + w / 2), (y - h / 2, y + h / 2)
        (left, right), (top, bottom) = (
            [round(value * side) for value in values]
            for values, side in ((across, width), (down, height))
        )
        return left, top, right, bottom


def photographs(*, every: int = 1) -> list[Photograph]:
    """Return each photograph, or every n-th of each split."""
    with zipfile.ZipFile(BLOOD_CELLS) as archive:
        paths = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        of_split: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            of_split[path.split("/")[1]].append(path)
        kept = [path for split in of_split.values() for path in split[::every]]
        return [a_photograph(archive, path) for path in kept]


def a_photograph(archive: zipfile.ZipFile, path: str) -> Photograph:
    content = archive.read(path)
    text = archive.read(path.replace("images/", "labels/").replace(".jpg", ".txt")).decode()
    rows = [[float(value) for value in line.split()] for line in text.splitlines()]
    _, split, name = path.split("/")
    with Image.open(io.BytesIO(content)) as image:
        return Photograph(split, name.removesuffix(".jpg"), content, image.size, rows)


def as_yolo(photos: Sequence[Photograph]) -> Files:
    """Return labels in fractions beside a data.yaml, with ten digits."""
    files: Files = {"data.yaml": a_yaml(names=list(NAMES), test="images/test")}
    for photo in photos:
        width, height = photo.size
        rows = []
        for cell in photo.cells:
            left, top, right, bottom = cell.box
            box = (
                (left + right) / 2 / width,
                (top + bottom) / 2 / height,
                (right - left) / width,
                (bottom - top) / height,
            )
            rows.append(
                " ".join([str(NAMES.index(cell.name)), *(f"{value:.10g}" for value in box)])
            )
        files[f"images/{photo.split}/{photo.stem}.jpg"] = photo.content
        files[f"labels/{photo.split}/{photo.stem}.txt"] = "".join(
            f"{row}\n" for row in rows
        ).encode()
    return files


def as_coco(photos: Sequence[Photograph]) -> Files:
    """Return one JSON file a split, with boxes as left, top, width and height in pixels."""
    categories = [{"id": number, "name": name} for number, name in enumerate(NAMES, start=1)]
    files: Files = {}
    for split in {photo.split: None for photo in photos}:
        images: list[dict[str, object]] = []
        annotations: list[dict[str, object]] = []
        for number, photo in enumerate(photo for photo in photos if photo.split == split):
            width, height = photo.size
            name = f"{photo.stem}.jpg"
            images.append({"id": number, "file_name": name, "width": width, "height": height})
            files[f"{split}/{name}"] = photo.content
            for cell in photo.cells:
                left, top, right, bottom = cell.box
                annotations.append(
                    {
                        "id": len(annotations),
                        "image_id": number,
                        "category_id": NAMES.index(cell.name) + 1,
                        "bbox": [left, top, right - left, bottom - top],
                        "area": (right - left) * (bottom - top),
                        "iscrowd": 0,
                    }
                )
        content = {"images": images, "annotations": annotations, "categories": categories}
        files[f"annotations/instances_{split}.json"] = json.dumps(content).encode()
    return files


def as_voc(photos: Sequence[Photograph]) -> Files:
    """Return one XML file an image, and the splits as lists in ImageSets."""
    files: Files = {}
    listed: dict[str, list[str]] = defaultdict(list)
    for photo in photos:
        root = ET.Element("annotation")
        add_texts(root, filename=f"{photo.stem}.jpg")
        width, height = photo.size
        add_texts(ET.SubElement(root, "size"), width=width, height=height, depth=3)
        for cell in photo.cells:
            element = ET.SubElement(root, "object")
            add_texts(element, name=cell.name)
            box = dict(zip(SIDES, cell.box, strict=True))
            add_texts(ET.SubElement(element, "bndbox"), **box)
        files[f"Annotations/{photo.stem}.xml"] = ET.tostring(root)
        files[f"JPEGImages/{photo.stem}.jpg"] = photo.content
        listed[photo.split].append(photo.stem)
    for split, stems in listed.items():
        files[f"ImageSets/Main/{split}.txt"] = "\n".join(stems).encode()
    return files


def add_texts(element: ET.Element, **texts: object) -> None:
    for tag, text in texts.items():
        ET.SubElement(element, tag).text = str(text)


def as_cvat(photos: Sequence[Photograph]) -> Files:
    """Return one XML file for all images, each with the subset that it belongs to."""
    root = ET.Element("annotations")
    task = ET.SubElement(ET.SubElement(root, "meta"), "task")
    labels = ET.SubElement(task, "labels")
    for name in NAMES:
        add_texts(ET.SubElement(labels, "label"), name=name)
    files: Files = {}
    for number, photo in enumerate(photos):
        width, height = photo.size
        described = {"id": number, "name": f"{photo.stem}.jpg", "subset": photo.split}
        values = {**described, "width": width, "height": height}
        image = ET.SubElement(root, "image", {key: str(values[key]) for key in values})
        for cell in photo.cells:
            sides = zip(("xtl", "ytl", "xbr", "ybr"), map(str, cell.box), strict=True)
            ET.SubElement(image, "box", {"label": cell.name, **dict(sides)})
        files[f"images/{photo.split}/{photo.stem}.jpg"] = photo.content
    return {"annotations.xml": ET.tostring(root), **files}


def as_csv(photos: Sequence[Photograph]) -> Files:
    """Return one table a split, with a row for each cell, beside the images."""
    files: Files = {}
    tables: dict[str, io.StringIO] = {}
    for photo in photos:
        folder = {"val": "valid"}.get(photo.split, photo.split)
        files[f"{folder}/{photo.stem}.jpg"] = photo.content
        if folder not in tables:
            tables[folder] = io.StringIO("filename,width,height,class,xmin,ymin,xmax,ymax\n")
            tables[folder].seek(0, io.SEEK_END)
        csv.writer(tables[folder]).writerows(
            [f"{photo.stem}.jpg", *photo.size, cell.name, *cell.box] for cell in photo.cells
        )
    tabled = {
        f"{folder}/_annotations.csv": table.getvalue().encode() for folder, table in tables.items()
    }
    return {**tabled, **files}


FORMS: Final[dict[str, Callable[[Sequence[Photograph]], Files]]] = {
    "YOLO": as_yolo,
    "COCO": as_coco,
    "Pascal VOC": as_voc,
    "CVAT": as_cvat,
    "Roboflow CSV": as_csv,
}
"""By the name of the form, the files of an upload in it."""
