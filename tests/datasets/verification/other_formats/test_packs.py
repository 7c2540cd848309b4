"""What training reads of other formats: the pack that a verification writes."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.datasets.builders import Files, an_image, encoded
from tests.datasets.outputs import files_of_output
from tests.datasets.verdicts import Verify

SIDE = 64
XML = """<annotation><filename>{0}.jpg</filename><size><width>64</width><height>64</height></size>
<object><name>disc</name><bndbox><xmin>16</xmin><ymin>8</ymin><xmax>48</xmax><ymax>40</ymax></bndbox>
</object></annotation>"""
KITTI = "disc 0.00 0 -1.57 16 8 48 40 1.5 1.6 3.9 1.8 1.5 8.4 -1.5\n"
CSV_HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
CVAT_BOX = '<box label="disc" xtl="16" ytl="8" xbr="48" ybr="40"/>'


def of_each(image: str, annotation: str, text: str) -> Files:
    files: Files = {}
    for number in range(4):
        files[image.format(number)] = an_image(number, SIDE)
        files[annotation.format(number)] = text.format(number).encode()
    return files


def in_one(file: str, begin: str, row: str, end: str = "") -> Files:
    files: Files = {f"images/{number}.jpg": an_image(number, SIDE) for number in range(4)}
    rows = "".join(row.format(number) for number in range(4))
    return files | {file: f"{begin}{rows}{end}".encode()}


BOXES: dict[str, Files] = {
    "voc": of_each("JPEGImages/{}.jpg", "Annotations/{}.xml", XML),
    "kitti": of_each("image_2/{}.jpg", "label_2/{}.txt", KITTI),
    "oidv4": of_each("disc/{}.jpg", "disc/Label/{}.txt", "disc 16 8 48 40\n"),
    "csv": in_one("boxes.csv", CSV_HEADER, "{}.jpg,64,64,disc,16,8,48,40\n"),
    "retinanet": in_one("boxes.csv", "", "images/{}.jpg,16,8,48,40,disc\n"),
    "cvat": in_one(
        "annotations.xml",
        "<annotations>",
        f'<image name="{{}}.jpg" width="64" height="64">{CVAT_BOX}</image>',
        "</annotations>",
    ),
}


def packed(tmp_path: Path, folder: str) -> list[bytes]:
    files = files_of_output(tmp_path)
    return [files[name] for name in sorted(files) if name.startswith(folder)]


class TestPacks:
    @pytest.mark.parametrize("name", BOXES)
    def test_every_format_of_boxes_gives_the_same_labels(
        self, verified: Verify, tmp_path: Path, name: str
    ) -> None:
        report = verified(BOXES[name])

        assert report.state == "ready", report.findings
        assert report.classes == ["disc"]
        assert packed(tmp_path, "labels/") == [b"0 0.5 0.375 0.5 0.5\n"] * 4

    def test_masks_of_colours_are_stored_as_ids(self, verified: Verify, tmp_path: Path) -> None:
        colours = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
        colours[:32] = (128, 0, 0)
        files: Files = {"labelmap.txt": b"background:0,0,0::\ndisc:128,0,0::\n"}
        for number in range(4):
            files[f"JPEGImages/{number}.jpg"] = an_image(number, SIDE)
            files[f"SegmentationClass/{number}.png"] = encoded(Image.fromarray(colours))

        report = verified(files)

        assert report.state == "ready", report.findings
        masks = [np.asarray(Image.open(BytesIO(mask))) for mask in packed(tmp_path, "masks/")]
        assert len(masks) == 4
        assert all((mask == (colours[..., 0] > 0)).all() for mask in masks)

    def test_black_and_white_masks_are_background_and_foreground(
        self, verified: Verify, tmp_path: Path
    ) -> None:
        mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
        mask[:32] = 255
        files: Files = {}
        for number in range(4):
            files[f"images/{number}.jpg"] = an_image(number, SIDE)
            files[f"masks/{number}_mask.png"] = encoded(Image.fromarray(mask))

        report = verified(files)

        assert report.state == "ready", report.findings
        assert report.classes == ["background", "foreground"]
        stored = np.asarray(Image.open(BytesIO(packed(tmp_path, "masks/")[0])))
        assert set(np.unique(stored)) == {0, 1}
