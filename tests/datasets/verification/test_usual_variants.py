"""Variants of the usual formats that other tools and people write come in as they are meant."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pytest

from tests.datasets.builders import Files, an_image, class_files, label_files
from tests.datasets.verdicts import Verify, codes, moved

TRAIN: Final = range(4)
VAL: Final = range(100, 102)
BOTH: Final = (*TRAIN, *VAL)
CLASSES: Final = ("disc", "ring")
ROW: Final = b"0 0.5 0.5 0.4 0.4\n1 0.4 0.4 0.2 0.2\n"
SPLITS: Final = "train: train/images\nval: val/images\n"


def images_in(folder: str, numbers: Iterable[int] = BOTH) -> Files:
    return {f"{folder}/im{n}.jpg": an_image(n, 32) for n in numbers}


def split_images(folder: str = "{}/images") -> Files:
    return images_in(folder.format("train"), TRAIN) | images_in(folder.format("val"), VAL)


def labelled(yaml: bytes | str, row: bytes = ROW, **more: bytes) -> Files:
    """Return a YOLO dataset with this data.yaml; `more` are files with the suffix .txt."""
    pictures = split_images()
    labels = {
        path.replace("/images/", "/labels/").replace(".jpg", ".txt"): row for path in pictures
    }
    content = yaml.encode() if isinstance(yaml, str) else yaml
    return {
        "data.yaml": content,
        **pictures,
        **labels,
        **{f"{name}.txt": text for name, text in more.items()},
    }


def named(names: str) -> Files:
    return labelled(f"{SPLITS}nc: 2\nnames: {names}\n")


def documents(form: str, folder: str = "annotations", encoding: str = "utf-8") -> Files:
    """Return VOC documents whose objects have the two classes in turn."""
    return {
        f"{folder}/im{n}.xml": form.format(file=f"im{n}.jpg", name=CLASSES[n % 2]).encode(encoding)
        for n in BOTH
    }


VOC: Final = (
    "<annotation><filename>{file}</filename><object><name>{name}</name><bndbox><xmin>4</xmin>"
    "<ymin>4</ymin><xmax>14</xmax><ymax>12</ymax></bndbox></object></annotation>"
)


def table(header: str, row: str) -> bytes:
    rows = [row.format(file=f"im{n}.jpg", name=CLASSES[n % 2]) for n in BOTH]
    return "\n".join([*([header] if header else []), *rows, ""]).encode()


def coco(**keys: float) -> dict[str, Any]:
    box: dict[str, Any] = {"bbox": [4, 4, 10, 8], "iscrowd": 0, **keys}
    return {
        "images": [{"id": n, "file_name": f"im{n}.jpg", "width": 32, "height": 32} for n in BOTH],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1 + n % 2, "note": '": NaN,', **box}
            for n in BOTH
        ],
        "categories": [{"id": 1, "name": "disc"}, {"id": 2, "name": "ring"}],
    }


def turned_boxes() -> Files:
    points = [[10, 4], [16, 10], [10, 16], [4, 10]]
    return {
        f"images/im{n}.json": json.dumps(
            {
                "version": "2.4",
                "imagePath": f"im{n}.jpg",
                "imageWidth": 32,
                "imageHeight": 32,
                "shapes": [{"label": CLASSES[n % 2], "shape_type": "rotation", "points": points}],
            }
        ).encode()
        for n in BOTH
    }


WITH_NAMES: Final = f"{SPLITS}names: [disc, ring]\n"
VARIANTS: Final[Mapping[str, Files]] = {
    "names-between-commas": named("disc, ring"),
    "names-as-python-wrote-them": named("\"['disc', 'ring']\""),
    "names-as-keys": named("{disc: 0, ring: 1}"),
    "names-one-mapping-each": named("[{0: disc}, {1: ring}]"),
    "names-in-a-file": named("classes.txt") | {"classes.txt": b"disc\nring\n"},
    "yaml-in-utf-16-without-mark": labelled(WITH_NAMES.encode("utf-16-le")),
    "yaml-in-utf-16-be-without-mark": labelled(WITH_NAMES.encode("utf-16-be")),
    "a-text-that-an-alias-repeats": labelled(
        "one: &first disc\ntrain: train/images\nval: val/images\nnames: [*first, ring]\n"
    ),
    "a-key-twice-with-one-value": labelled(f"{WITH_NAMES}nc: 2\nnames: [disc, ring]\n"),
    "yaml-with-the-suffix-of-an-editor": {
        name.replace("data.yaml", "data.yaml.txt"): content
        for name, content in labelled(WITH_NAMES).items()
    },
    "lists-with-quotes": labelled(
        "train: train.txt\nval: val.txt\nnames: [disc, ring]\n",
        train="".join(f'"train/images/im{n}.jpg"\n' for n in TRAIN).encode(),
        val="".join(f"'val/images/im{n}.jpg'\n" for n in VAL).encode(),
    ),
    "lists-without-suffixes": labelled(
        "train: train.txt\nval: val.txt\nnames: [disc, ring]\n",
        train="".join(f"im{n}\n" for n in TRAIN).encode(),
        val="".join(f"im{n}\n" for n in VAL).encode(),
    ),
    "voc-in-utf-16": {
        **documents('<?xml version="1.0" encoding="UTF-16"?>' + VOC, encoding="utf-16"),
        **split_images(),
    },
    "voc-after-an-empty-line": {**documents('\n<?xml version="1.0"?>' + VOC), **split_images()},
    "voc-drawn-from-right-to-left": {
        **documents(VOC.replace(">4</xmin>", ">20</xmin>")),
        **split_images(),
    },
    "coco-with-nan": {
        "annotations.json": json.dumps(coco(area=float("nan"), score=float("-inf"))).encode(),
        **split_images(),
    },
    "table-between-tabs": {
        "boxes.tsv": table(
            "filename\tclass\txmin\tymin\txmax\tymax", "{file}\t{name}\t4\t4\t14\t12"
        ),
        **split_images(),
    },
    "table-with-a-box-in-one-cell": {
        "boxes.csv": table("image_id,width,bbox,label", '{file},32,"[4.0, 4.0, 10.0, 8.0]",{name}'),
        **split_images(),
    },
    "table-of-makesense": {
        "labels_my-project.csv": table("", "{name},4,4,10,8,{file},32,32"),
        **split_images(),
    },
}
"""By name, datasets of two classes and six images, which are labelled for boxes."""

TURNED: Final[Files] = turned_boxes() | images_in("images")


class TestUsualVariants:
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_a_variant_is_read(self, variant: str, verified: Verify) -> None:
        report = verified(VARIANTS[variant])

        assert (report.state, report.task) == ("ready", "detect"), report.findings
        assert report.classes == ["disc", "ring"]
        assert sum(held.images for held in report.splits.values()) == len(BOTH)

    def test_turned_boxes_of_x_anylabeling_are_obb(self, verified: Verify) -> None:
        report = verified(TURNED, "obb")

        assert (report.state, report.task) == ("ready", "obb")
        assert sum(held.objects for held in report.splits.values()) == len(BOTH)

    def test_class_folders_may_differ_in_letter_case(self, verified: Verify) -> None:
        report = verified(moved(class_files(), "val/disc", "val/Disc"))

        assert report.state == "ready"
        assert report.class_counts["val"] == {"disc": 2, "square": 2, "triangle": 2}

    def test_class_folders_beside_a_yaml_with_their_names_ask_for_the_task(
        self, verified: Verify
    ) -> None:
        yaml = b"train: train\nval: val\nnames: [disc, square, triangle]\n"

        report = verified(class_files() | {"data.yaml": yaml})

        (error,) = [each for each in report.findings if each.severity == "error"]
        assert (error.code, error.fixes) == ("task-needed", ({"task": "classify"},))

    def test_classes_that_differ_in_letter_case_stay_apart(self, verified: Verify) -> None:
        files = class_files() | {"train/Disc/x.jpg": an_image(77), "val/Disc/y.jpg": an_image(78)}

        report = verified(files)

        assert report.class_counts["val"]["Disc"] == 1
        assert report.class_counts["val"]["disc"] == 2


KEYPOINTS: Final = b"0 0.5 0.5 0.4 0.4 0.5 0.5 2 0.4 0.4 1\n"
POINTER: Final = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
PAGE: Final = b"\n<!DOCTYPE html><html>404</html>"
LISTED_ONLY: Final = {key: value for key, value in coco().items() if key != "annotations"}


def with_pictures(content: bytes) -> Files:
    files = label_files("detect")
    return {path: content if path.endswith(".jpg") else held for path, held in files.items()}


REFUSED: Final[Mapping[str, tuple[Files, tuple[str, ...]]]] = {
    "keypoints-without-kpt-shape": (labelled(WITH_NAMES, KEYPOINTS), ("kpt_shape",)),
    "pointers-of-git-lfs": (with_pictures(POINTER), ("images/train/0000.jpg", "git lfs pull")),
    "web-pages": (with_pictures(PAGE), ("images/train/0000.jpg", "download the image")),
    "empty-pictures": (with_pictures(b""), ("images/train/0000.jpg", "empty")),
    "rows-between-commas": (
        labelled(WITH_NAMES, b"0, 0.5, 0.5, 0.4, 0.4\n"),
        ("train/labels/im0.txt", "numbers are expected"),
    ),
    "archives-beside-a-yaml": (
        {"data.yaml": WITH_NAMES.encode(), "train.zip": b"PK", "val.zip": b"PK"},
        ("train.zip, val.zip", "Unpack"),
    ),
    "coco-without-annotations": (
        {"image_info.json": json.dumps(LISTED_ONLY).encode(), **images_in("images")},
        ("image_info.json", "No annotation"),
    ),
    "captions": (
        {"train/metadata.csv": table("file_name,text", "{file},a {name}"), **images_in("train")},
        ("train/metadata.csv", "in none of them"),
    ),
    "regions-of-vgg": (
        {
            "via.json": b'{"a": {"regions": [{"region_attributes": {}}]}}',
            **images_in("images"),
        },
        ("via.json", "VGG Image Annotator"),
    ),
}
"""By name, files that cannot be trained on, with words of the error that says which, and why."""


class TestRefusedVariants:
    @pytest.mark.parametrize("variant", REFUSED)
    def test_one_error_names_the_file_and_the_cure(self, variant: str, verified: Verify) -> None:
        files, words = REFUSED[variant]

        report = verified(files)

        errors = [each for each in report.findings if each.severity == "error"]
        assert report.state == "invalid"
        assert len(errors) == 1
        said = f"{errors[0].file} {errors[0].message}"
        assert all(word in said for word in words), said


HUGE: Final = b"1" + b"0" * 5000


class TestHugeNumbers:
    @pytest.mark.parametrize("variant", ["voc-after-an-empty-line", "table-between-tabs"])
    def test_a_number_of_5000_digits_is_refused_with_its_file(
        self, variant: str, verified: Verify
    ) -> None:
        files = {
            path: held if path.endswith(".jpg") else held.replace(b"12", HUGE).replace(b"16", HUGE)
            for path, held in VARIANTS[variant].items()
        }

        report = verified(files)

        assert codes(report) & {"annotations-missing", "annotations-invalid"}
        assert any(each.file in files for each in report.findings)
