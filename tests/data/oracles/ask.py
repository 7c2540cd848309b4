"""Ask supervision and globox for the boxes of archives in `first_try`; write `answers.json`.

`make oracle-fixtures` runs it in an environment of its own, with the versions of
`requirements.txt`. It imports nothing of this repository.
"""

import json
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import globox  # type: ignore[import-not-found, unused-ignore] # only in its own environment
import supervision  # type: ignore[import-not-found, unused-ignore] # as above

HERE = Path(__file__).parent
ARCHIVES = HERE.parent / "first_try"
DECIMALS = 4

Boxes = dict[str, list[list[Any]]]
"""By the name of an image: class, left, top, right and bottom of each box, in pixels."""

Reader = Callable[[Path], Iterator[Any]]


def coco_files(root: Path) -> list[tuple[Path, Path]]:
    """Return each COCO file with the folder of its images."""
    folders = {"instances_train2017": "train2017", "instances_val2017": "val2017"}
    files = sorted(root.rglob("*.json"))
    return [
        (file, root / folders[file.stem] if file.stem in folders else near(root, file))
        for file in files
    ]


def near(root: Path, file: Path) -> Path:
    return file.parent if any(file.parent.glob("*.jpg")) else root / "images"


def xml_folders(root: Path) -> list[tuple[Path, Path]]:
    """Return each folder of Pascal VOC files with the folder of its images."""
    folders = sorted({file.parent for file in root.rglob("*.xml")})
    images = {"Annotations": "JPEGImages"}
    return [
        (folder, folder.parent / images[folder.name] if folder.name in images else folder)
        for folder in folders
    ]


def supervision_coco(root: Path) -> Iterator[Any]:
    for file, images in coco_files(root):
        yield supervision.DetectionDataset.from_coco(str(images), str(file))


def supervision_voc(root: Path) -> Iterator[Any]:
    for folder, images in xml_folders(root):
        yield supervision.DetectionDataset.from_pascal_voc(str(images), str(folder))


def supervision_createml(root: Path) -> Iterator[Any]:
    for file in sorted(root.rglob("*.json")):
        yield supervision.DetectionDataset.from_createml(str(file.parent), str(file))


def supervision_labelme(root: Path) -> Iterator[Any]:
    yield supervision.DetectionDataset.from_labelme(str(root), str(root))


def globox_coco(root: Path) -> Iterator[Any]:
    for file, _ in coco_files(root):
        yield globox.AnnotationSet.from_coco(file)


def globox_voc(root: Path) -> Iterator[Any]:
    for folder, _ in xml_folders(root):
        yield globox.AnnotationSet.from_pascal_voc(folder)


def globox_cvat(root: Path) -> Iterator[Any]:
    yield globox.AnnotationSet.from_cvat(next(root.rglob("annotations.xml")))


def globox_labelme(root: Path) -> Iterator[Any]:
    yield globox.AnnotationSet.from_labelme(root, include_poly=True)


QUESTIONS: dict[str, dict[str, Reader]] = {
    "supervision": {
        "coco-2017": supervision_coco,
        "coco-roboflow": supervision_coco,
        "voc-devkit": supervision_voc,
        "voc-flat": supervision_voc,
        "voc-roboflow": supervision_voc,
        "createml": supervision_createml,
        "labelme": supervision_labelme,
    },
    "globox": {
        "coco-2017": globox_coco,
        "coco-cvat": globox_coco,
        "coco-roboflow": globox_coco,
        "voc-devkit": globox_voc,
        "voc-flat": globox_voc,
        "voc-roboflow": globox_voc,
        "cvat-xml": globox_cvat,
        "labelme": globox_labelme,
    },
}


def boxes_of_supervision(read: Any) -> Boxes:  # noqa: ANN401 -- its types are not installed here
    return {
        Path(path).name: [
            [read.classes[number], *rounded(corners)]
            for number, corners in zip(found.class_id, found.xyxy, strict=True)
        ]
        for path, found in read.annotations.items()
    }


def boxes_of_globox(read: Any) -> Boxes:  # noqa: ANN401 -- its types are not installed here
    return {
        Path(found.image_id).name: [
            [str(box.label), *rounded((box.xmin, box.ymin, box.xmax, box.ymax))]
            for box in found.boxes
        ]
        for found in read
    }


def rounded(values: Iterable[float]) -> list[float]:
    return [round(float(value), DECIMALS) for value in values]


BOXES_OF = {"supervision": boxes_of_supervision, "globox": boxes_of_globox}


def answer(oracle: str, archive: str, reader: Reader) -> Boxes:
    boxes: Boxes = {}
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(ARCHIVES / f"{archive}.zip") as opened:
            opened.extractall(folder)
        for read in reader(Path(folder)):
            boxes |= BOXES_OF[oracle](read)
    return {name: sorted(boxes[name]) for name in sorted(boxes)}


def main() -> None:
    answers = {
        oracle: {archive: answer(oracle, archive, reader) for archive, reader in asked.items()}
        for oracle, asked in QUESTIONS.items()
    }
    content = {"versions": {oracle: version(oracle) for oracle in QUESTIONS}, "answers": answers}
    (HERE / "answers.json").write_text(json.dumps(content, indent=1) + "\n")
    counts = {
        oracle: {archive: sum(map(len, boxes.values())) for archive, boxes in of_oracle.items()}
        for oracle, of_oracle in answers.items()
    }
    sys.stdout.write(json.dumps(counts, indent=1) + "\n")


if __name__ == "__main__":
    main()
