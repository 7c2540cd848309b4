"""Masks and depth maps: each verdict is that of Ultralytics, or stricter in a named case."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.datasets.archives.findings import Code
from tests.datasets.builders import (
    a_mask,
    a_yaml,
    an_image,
    depth_files,
    encoded,
    mask_files,
    npy,
    shapes_of,
)
from tests.datasets.oracle import Oracle
from tests.datasets.verdicts import Verify, codes, moved, warnings, without


def gray(side: int, value: int, kind: type = np.uint8) -> bytes:
    return encoded(Image.fromarray(np.full((side, side), value, kind)))


def palette(colours: list[int]) -> bytes:
    picture = Image.new("P", (64, 64), 2)
    picture.putpalette(colours)
    return encoded(picture)


MASKS = {
    "gray": (gray(64, 3), None),
    "ignored": (gray(64, 255), None),
    "16-bit": (gray(64, 3, np.uint16), None),
    "colour-palette": (palette([9, 8, 7] * 3 + [1, 2, 3]), None),
    "gray-palette": (palette([0, 0, 0, 1, 1, 1, 3, 3, 3]), None),
    "gray-palette-beyond": (palette([0, 0, 0, 1, 1, 1, 99, 99, 99]), Code.MASK_IDS),
    "beyond-classes": (gray(64, 4), Code.MASK_IDS),
    "16-bit-beyond": (gray(64, 300, np.uint16), Code.MASK_IDS),
    "other-size": (gray(32, 1), Code.MASK_SIZE),
    "no-png": (b"nothing", Code.MASK_UNREADABLE),
    "truncated": (a_mask(shapes_of(1))[:100], Code.MASK_UNREADABLE),
}


class TestMasks:
    @pytest.mark.parametrize("row", MASKS)
    def test_the_verdict_is_that_of_ultralytics(
        self, row: str, verified: Verify, oracle: Oracle, tmp_path: Path
    ) -> None:
        content, code = MASKS[row]
        image, mask = tmp_path / "a.jpg", tmp_path / "a.png"
        image.write_bytes(an_image())
        mask.write_bytes(content)

        report = verified({**mask_files(), "masks/train/0000.png": content})

        assert codes(report) == ({code} if code else set())
        assert oracle.ask("mask", image, mask, 4)["good"] is (code is None)

    def test_colours_instead_of_ids_are_refused(self, verified: Verify) -> None:
        files = {**mask_files(), "masks/train/0000.png": an_image(kind="PNG")}

        assert codes(verified(files)) == {Code.MASK_MODE}

    def test_an_image_without_its_mask_is_an_error(self, verified: Verify) -> None:
        assert codes(verified(without(mask_files(), "masks/val/1000.png"))) == {Code.MASK_MISSING}

    def test_masks_dir_and_label_mapping_are_followed(self, verified: Verify) -> None:
        mapping = {0: 255, 1: 0, 2: 1, 3: 2}
        names = ["disc", "square", "triangle"]
        files = mask_files(names=names, masks_dir="truth/ids", label_mapping=mapping)

        report = verified(moved(files, "masks/", "truth/ids/"), "semantic")

        assert (report.state, set(report.class_counts["train"])) == (
            "ready",
            {"disc", "square", "triangle"},
        )

    def test_classes_are_counted_by_images(self, verified: Verify) -> None:
        report = verified(mask_files(train=4))

        assert report.class_counts["train"]["ground"] == 4

    def test_roboflow_folders_do_not_mistake_masks_for_images(self, verified: Verify) -> None:
        files = moved(
            moved(mask_files(), "images/train", "train/images"), "masks/train", "train/masks"
        )
        files["data.yaml"] = a_yaml(train="train", names=["ground", "disc", "square", "triangle"])

        report = verified(files)

        assert (report.state, report.splits["train"].images) == ("ready", 8)


def a_pickle() -> bytes:
    return npy(np.array([[{"a": 1}]], dtype=object))


DEPTHS = {
    "png": ("png", gray(64, 1500, np.uint16), None),
    "npy": ("npy", npy(np.full((64, 64), 1.5, np.float32)), None),
    "npy-half": ("npy", npy(np.full((32, 32), 1.5, np.float16)), None),
    "npy-with-nan": ("npy", npy(np.where(np.eye(64) > 0, np.nan, 1.0)), None),
    "8-bit": ("png", gray(64, 15), Code.DEPTH_KIND),
    "integers": ("npy", npy(np.ones((64, 64), np.int32)), Code.DEPTH_KIND),
    "three-axes": ("npy", npy(np.ones((64, 64, 1), np.float32)), Code.DEPTH_KIND),
    "other-aspect": ("npy", npy(np.ones((64, 32), np.float32)), Code.DEPTH_SHAPE),
    "U12-pickle": ("npy", a_pickle(), Code.DEPTH_KIND),
    "no-npy": ("npy", b"nothing", Code.DEPTH_UNREADABLE),
}


class TestDepthMaps:
    @pytest.mark.parametrize("row", DEPTHS)
    def test_the_verdict_is_that_of_ultralytics(
        self, row: str, verified: Verify, oracle: Oracle, tmp_path: Path
    ) -> None:
        kind, content, code = DEPTHS[row]
        image, depth = tmp_path / "a.jpg", tmp_path / f"d.{kind}"
        image.write_bytes(an_image())
        depth.write_bytes(content)
        files = without(depth_files(), "depth/train/0000.png")

        report = verified({**files, f"depth/train/0000.{kind}": content})

        assert codes(report) == ({code} if code else set())
        assert oracle.ask("depth", image, depth, 1000)["good"] is (code is None)

    @pytest.mark.parametrize(
        "content",
        [npy(np.ones((64, 64), np.float32))[:-9], gray(64, 9, np.uint16)[:-30]],
        ids=["npy", "png"],
    )
    def test_a_cut_map_is_refused(self, content: bytes, verified: Verify) -> None:
        ending = "npy" if content.startswith(b"\x93NUMPY") else "png"
        files = without(depth_files(), "depth/train/0000.png")

        report = verified({**files, f"depth/train/0000.{ending}": content})

        assert codes(report) == {Code.DEPTH_UNREADABLE}

    def test_a_map_without_a_valid_pixel_is_a_warning(self, verified: Verify) -> None:
        files = {**depth_files(), "depth/train/0000.png": gray(64, 0, np.uint16)}

        assert warnings(verified(files)) == {Code.DEPTH_EMPTY}

    def test_an_image_without_its_map_is_an_error(self, verified: Verify) -> None:
        files = without(depth_files(), "depth/val/1000.png")

        assert codes(verified(files)) == {Code.DEPTH_MISSING}
