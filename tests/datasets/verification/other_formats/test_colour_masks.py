from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from app.datasets.reports.findings import Remark
from app.datasets.reports.report import Limits
from app.datasets.verification.formats.other_formats import colour_masks
from app.datasets.verification.formats.other_formats.mask_colours import ColourIds
from tests.datasets.builders import Files, an_image, encoded
from tests.datasets.verification.other_formats.conftest import ReadBy

IMAGE = b"an image that is not decoded here"
LABELMAP = b"# label:color_rgb:parts:actions\nbackground:0,0,0::\ndisc:128,0,0::\n"


def gray(*values: int) -> bytes:
    return encoded(Image.fromarray(np.array([values], dtype=np.uint8)))


def coloured(*values: tuple[int, int, int]) -> bytes:
    return encoded(Image.fromarray(np.array([values], dtype=np.uint8)))


def palette(*values: int) -> bytes:
    mask = Image.fromarray(np.array([values], dtype=np.uint8), "L").convert("P")
    mask.putpalette([0, 0, 0, 128, 0, 0] + [0] * 750)
    mask.putdata(values)
    return encoded(mask)


def pixels(content: bytes | Remark) -> list[int]:
    assert isinstance(content, bytes), content
    return np.asarray(Image.open(BytesIO(content))).ravel().tolist()


class TestLayouts:
    @pytest.mark.parametrize(
        ("image", "mask"),
        [
            ("images/a.jpg", "masks/a.png"),
            ("images/train/a.jpg", "masks/train/a.png"),
            ("train/images/a.jpg", "train/masks/a.png"),
            ("train/a.jpg", "train_masks/a_mask.png"),
            ("JPEGImages/a.jpg", "SegmentationClass/a.png"),
            ("images/image_01.jpg", "masks/mask_01.png"),
            ("images/training/a.jpg", "annotations/training/a.png"),
            ("train/a.jpg", "train/a_mask.png"),
        ],
    )
    def test_a_mask_belongs_to_the_image_with_its_name(
        self, read_by: ReadBy, image: str, mask: str
    ) -> None:
        reading = read_by(colour_masks, {image: IMAGE, mask: gray(0, 1)}, names=("bg", "disc"))

        assert reading.files == [mask]
        assert reading.image(image).target == mask

    def test_masks_of_equal_names_are_told_apart_by_their_folders(self, read_by: ReadBy) -> None:
        files: Files = {}
        for split in ("train", "val"):
            files |= {f"{split}/1.png": IMAGE, f"{split}annot/1.png": gray(0, 1)}

        reading = read_by(colour_masks, files, names=("bg", "disc"))

        assert reading.counts() == {"train": 1, "val": 1}
        assert reading.image("val/1.png").target == "valannot/1.png"

    def test_lists_in_image_sets_name_the_splits(self, read_by: ReadBy) -> None:
        files: Files = {"labelmap.txt": LABELMAP}
        for name in ("a", "b"):
            files[f"JPEGImages/{name}.jpg"] = IMAGE
            files[f"SegmentationClass/{name}.png"] = coloured((0, 0, 0))
        files["ImageSets/Segmentation/train.txt"] = b"a\n"
        files["ImageSets/Segmentation/val.txt"] = b"b\n"

        assert read_by(colour_masks, files).counts() == {"train": 1, "val": 1}

    def test_images_alone_are_no_masks(self, read_by: ReadBy) -> None:
        assert read_by(colour_masks, {"gt/a.png": IMAGE, "photos/b.png": IMAGE}).files == []

    @pytest.mark.parametrize("kind", ["JPEG", "PNG"])
    def test_photos_in_a_class_called_mask_are_no_masks(self, read_by: ReadBy, kind: str) -> None:
        photo, end = an_image(kind=kind), {"JPEG": "jpg", "PNG": "png"}[kind]

        files = {f"train/mask/1.{end}": photo, f"train/clean/1.{end}": photo}

        assert read_by(colour_masks, files).files == []

    def test_jpeg_masks_are_named_as_not_read(self, read_by: ReadBy) -> None:
        reading = read_by(colour_masks, {"images/a.jpg": IMAGE, "masks/a.jpg": IMAGE})

        assert reading.source is None
        assert reading.codes == {"format-unread"}


class TestClasses:
    def test_a_labelmap_names_classes_and_colours(self, read_by: ReadBy) -> None:
        files = {
            "images/a.jpg": IMAGE,
            "masks/a.png": coloured((0, 0, 0)),
            "labelmap.txt": LABELMAP,
        }

        reading = read_by(colour_masks, files)

        assert reading.source is not None
        assert reading.source.names == ["background", "disc"]
        assert reading.source.mask_colours is not None
        assert reading.source.mask_colours[(128, 0, 0)] == 1

    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("label_colors.txt", b"0 0 0\tbackground\n128 0 0\tdisc\n"),
            ("class_dict.csv", b"name,r,g,b\nbackground,0,0,0\ndisc,128,0,0\n"),
        ],
    )
    def test_other_lists_of_colours_are_read(
        self, read_by: ReadBy, file: str, content: bytes
    ) -> None:
        files = {"images/a.jpg": IMAGE, "masks/a.png": coloured((0, 0, 0)), file: content}

        reading = read_by(colour_masks, files)

        assert reading.source is not None
        assert reading.source.names == ["background", "disc"]

    def test_roboflow_names_pixel_values(self, read_by: ReadBy) -> None:
        files = {
            "train/a.jpg": IMAGE,
            "train/a_mask.png": gray(0, 2),
            "train/_classes.csv": b"Pixel Value, Class\n0, background\n2, disc\n",
        }

        reading = read_by(colour_masks, files)

        assert reading.source is not None
        assert reading.source.names == ["background", "disc"]
        assert reading.source.fields.label_mapping == {2: 1}

    @pytest.mark.parametrize("values", [(0, 1), (0, 255)])
    def test_two_ids_without_names_are_background_and_foreground(
        self, read_by: ReadBy, values: tuple[int, int]
    ) -> None:
        reading = read_by(colour_masks, {"images/a.jpg": IMAGE, "masks/a.png": gray(*values)})

        assert reading.source is not None
        assert reading.source.names == ["background", "foreground"]
        assert reading.codes == {"names-made"}

    def test_several_ids_without_names_ask_for_names_once(self, read_by: ReadBy) -> None:
        reading = read_by(colour_masks, {"images/a.jpg": IMAGE, "masks/a.png": gray(0, 1, 5)})

        assert reading.source is None
        assert [finding.code for finding in reading.findings] == ["names-missing"]
        assert "`names` with 6 names" in reading.findings[0].message

    def test_colours_that_nothing_names_ask_for_a_labelmap(self, read_by: ReadBy) -> None:
        files = {"images/a.jpg": IMAGE, "masks/a.png": coloured((9, 0, 0))}

        reading = read_by(colour_masks, files)

        assert reading.source is None
        assert "labelmap.txt" in reading.findings[0].message


class TestColourIds:
    COLOURS = ColourIds({(0, 0, 0): 0, (128, 0, 0): 1, (224, 224, 192): 255})

    @pytest.mark.parametrize("mask", [coloured((128, 0, 0), (0, 0, 0)), palette(1, 0)])
    def test_colours_become_ids(self, mask: bytes) -> None:
        assert pixels(self.COLOURS.convert(mask, Limits())) == [1, 0]

    def test_an_unknown_colour_is_named(self) -> None:
        remark = self.COLOURS.convert(coloured((1, 2, 3)), Limits())

        assert isinstance(remark, Remark)
        assert "(1, 2, 3)" in remark.message

    @pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", gray(*range(200))[:60]])
    def test_a_damaged_mask_is_named(self, content: bytes) -> None:
        assert isinstance(self.COLOURS.convert(content, Limits()), Remark)

    def test_a_mask_of_too_many_pixels_is_not_decoded(self) -> None:
        remark = self.COLOURS.convert(gray(0, 0), Limits(max_image_pixels=1))

        assert isinstance(remark, Remark)
        assert remark.code == "image-too-large"
