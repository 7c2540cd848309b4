"""Masks and depth maps: each verdict is that of Ultralytics, or stricter in a named case."""

import struct
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Remark
from app.datasets.reports.report import Limits
from app.datasets.verification.formats.depth import check_depth
from app.datasets.verification.formats.masks import MaskRules, check_mask
from tests.datasets.builders import (
    Files,
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
from tests.datasets.outputs import files_of_output
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
    "1-bit": (encoded(Image.new("1", (64, 64), 1)), None),
    "gray-in-colours": (encoded(Image.new("RGB", (64, 64), (3, 3, 3))), None),
    "gray-with-alpha": (encoded(Image.new("LA", (64, 64), (2, 0))), None),
    "gray-in-colours-beyond": (encoded(Image.new("RGBA", (64, 64), (9, 9, 9, 9))), Code.MASK_IDS),
}


NAMES = ["ground", "disc", "square", "triangle"]


def binary_masks(foreground: int = 255, **keys: object) -> Files:
    """Return a dataset with masks of 0 and one other value."""
    files = mask_files(train=4, val=2, **{"names": ["background", "disc"], **keys})
    drawn = {
        name: Image.open(BytesIO(content)).point(lambda value: foreground * (value > 0))
        for name, content in files.items()
        if name.startswith("masks/")
    }
    return files | {name: encoded(mask) for name, mask in drawn.items()}


def masks_of(output: Path) -> list[list[int]]:
    """Return the ids in each mask of a version, training first."""
    files = files_of_output(output)
    masks = [Image.open(BytesIO(files[name])) for name in files if name.startswith("masks/")]
    return [np.unique(np.asarray(mask)).tolist() for mask in masks]


class TestMasks:
    @pytest.mark.parametrize("row", MASKS)
    def test_the_verdict_is_that_of_ultralytics(
        self, row: str, oracle: Oracle, tmp_path: Path
    ) -> None:
        content, code = MASKS[row]
        image, mask = tmp_path / "a.jpg", tmp_path / "a.png"
        image.write_bytes(an_image())
        mask.write_bytes(content)

        checked = check_mask(content, (64, 64), MaskRules.of(NAMES, None))

        assert (checked.code if isinstance(checked, Remark) else None) is code
        assert oracle.ask("mask", image, mask, 4)["good"] is (code is None)

    def test_colours_instead_of_ids_are_refused(self) -> None:
        checked = check_mask(an_image(kind="PNG"), (64, 64), MaskRules.of(NAMES, None))

        assert isinstance(checked, Remark)
        assert checked.code is Code.MASK_MODE

    def test_masks_of_only_0_and_255_become_masks_of_classes(
        self, verified: Verify, tmp_path: Path
    ) -> None:
        report = verified(binary_masks())

        assert (report.state, warnings(report)) == ("ready", {Code.MASKS_BINARY})
        assert masks_of(tmp_path) == [[0, 1]] * 6
        assert report.class_counts["train"] == {"background": 4, "disc": 4}

    def test_a_single_class_of_0_and_255_is_the_foreground(self, verified: Verify) -> None:
        report = verified(binary_masks(names=["disc"]))

        assert (report.state, warnings(report)) == ("ready", {Code.MASKS_BINARY})
        assert report.class_counts["train"] == {"disc": 4}

    def test_masks_with_an_ignored_border_stay_as_they_are(
        self, verified: Verify, tmp_path: Path
    ) -> None:
        files = binary_masks()
        files["masks/val/1000.png"] = a_mask([replace(shapes_of(0)[0], number=0)])

        verified(files)

        assert masks_of(tmp_path) == [[0, 255]] * 4 + [[0, 1], [0, 255]]

    @pytest.mark.parametrize(
        ("names", "mapping"),
        [(NAMES, None), (["disc", "Background"], None), (["background", "disc"], {255: 1})],
        ids=["more-classes", "background-last", "mapping"],
    )
    def test_255_stays_ignored_where_names_or_a_mapping_say_otherwise(
        self, names: list[str], mapping: dict[int, int] | None
    ) -> None:
        rules = MaskRules.of(names, mapping)

        assert not rules.for_masks([gray(64, 255), gray(64, 0)], Limits()).is_binary

    def test_an_image_without_its_mask_is_an_error(self, verified: Verify) -> None:
        report = verified(without(mask_files(), "masks/val/1000.png"), policy="strict")

        assert codes(report) == {Code.MASK_MISSING}

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


def header_of(text: str) -> bytes:
    """Return an NPY file with this header and no data."""
    header = text.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def npy_header(shape: str) -> bytes:
    return header_of(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}")


BAD_HEADERS = {
    "parentheses": header_of("(" * 4000),
    "minus-signs": header_of("-" * 9000 + "1"),
    "400-digits": npy_header(f"(1{'0' * 400}, 64)"),
    "hexadecimal-digits": npy_header(f"(0x{'f' * 8000}, 64)"),
    "negative": npy_header("(-64, -64)"),
    "more-than-it-holds": npy_header("(4000, 4000)"),
    "many-axes": npy_header(f"({'1, ' * 2000})"),
    "no-rows": npy_header("(0, 64)"),
    "no-shape": npy_header("None"),
    "structure": header_of("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (8, 8), }"),
}


class TestDepthMaps:
    @pytest.mark.parametrize("row", DEPTHS)
    def test_the_verdict_is_that_of_ultralytics(
        self, row: str, oracle: Oracle, tmp_path: Path
    ) -> None:
        kind, content, code = DEPTHS[row]
        image, depth = tmp_path / "a.jpg", tmp_path / f"d.{kind}"
        image.write_bytes(an_image())
        depth.write_bytes(content)

        remarks = check_depth(content, f".{kind}", (64, 64), Limits())

        assert [remark.code for remark in remarks] == ([code] if code else [])
        assert oracle.ask("depth", image, depth, 1000)["good"] is (code is None)

    @pytest.mark.parametrize("row", BAD_HEADERS)
    def test_a_header_that_breaks_a_parser_is_a_remark(self, row: str) -> None:
        remarks = check_depth(BAD_HEADERS[row], ".npy", (64, 64), Limits())

        assert len(remarks) == 1
        assert remarks[0].code.drops

    @given(start=st.integers(0, 90), content=st.binary(min_size=1, max_size=40))
    @settings(max_examples=150, deadline=None, derandomize=True)
    def test_any_npy_header_is_judged(self, start: int, content: bytes) -> None:
        whole = npy(np.ones((8, 8), np.float32))

        remarks = check_depth(
            whole[:start] + content + whole[start + len(content) :], ".npy", (8, 8), Limits()
        )

        assert len(remarks) <= 1

    def test_columns_first_is_read_as_rows_first(self) -> None:
        depth = np.asfortranarray(np.zeros((8, 12), np.float64))
        depth[0, 11] = 1

        assert check_depth(npy(depth), ".npy", (12, 8), Limits()) == ()

    @pytest.mark.parametrize(
        "content",
        [npy(np.ones((64, 64), np.float32))[:-9], gray(64, 9, np.uint16)[:-30]],
        ids=["npy", "png"],
    )
    def test_a_cut_map_is_refused(self, content: bytes) -> None:
        ending = ".npy" if content.startswith(b"\x93NUMPY") else ".png"

        remarks = check_depth(content, ending, (64, 64), Limits())

        assert [remark.code for remark in remarks] == [Code.DEPTH_UNREADABLE]

    def test_a_map_without_a_valid_pixel_is_a_warning(self, verified: Verify) -> None:
        files = {**depth_files(), "depth/train/0000.png": gray(64, 0, np.uint16)}

        assert warnings(verified(files)) == {Code.DEPTH_EMPTY}

    def test_an_image_without_its_map_is_an_error(self, verified: Verify) -> None:
        files = without(depth_files(), "depth/val/1000.png")

        assert codes(verified(files, policy="strict")) == {Code.DEPTH_MISSING}
