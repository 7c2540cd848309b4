"""Masks become outlines, and several outlines of an object one polygon, as in Ultralytics."""

from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.datasets.verification.formats.json_formats.outlines import joined, outlines_of_mask
from app.datasets.verification.formats.json_formats.rle import outlines_of_rle

Mask = npt.NDArray[np.uint8]
MAX_PIXELS = 10_000


def runs_of(mask: Mask) -> list[int]:
    """Return the lengths of runs, column by column, beginning with zeros."""
    values = [0, *mask.T.reshape(-1).tolist(), 2]
    changes = [index for index in range(1, len(values)) if values[index] != values[index - 1]]
    starts = [0, *(change - 1 for change in changes)]
    return [end - start for start, end in pairwise(starts)]


def compressed(counts: list[int]) -> str:
    """Return the text of counts as cocoapi writes it (maskApi.c, rleToString)."""
    text = ""
    for index, count in enumerate(counts):
        rest = count - counts[index - 2] if index > 2 else count
        more = True
        while more:
            bits = rest & 0x1F
            rest >>= 5
            more = rest != -1 if bits & 0x10 else rest != 0
            text += chr(48 + (bits | 0x20 if more else bits))
    return text


def filled(outlines: list[Any], shape: tuple[int, int]) -> Mask:
    """Draw outlines as Ultralytics does; a polygon includes its border."""
    canvas = np.zeros(shape, np.uint8)
    for outline in outlines:
        cv2.fillPoly(canvas, [outline.astype(np.int32)], (1,))
    return canvas


def two_blocks() -> Mask:
    mask = np.zeros((20, 30), np.uint8)
    mask[2:9, 3:12] = 1
    mask[10:18, 20:29] = 1
    return mask


class TestRunLengths:
    @pytest.mark.parametrize("as_text", [False, True])
    def test_outlines_cover_the_mask(self, as_text: bool) -> None:  # noqa: FBT001 -- a parameter
        mask = two_blocks()
        runs = runs_of(mask)
        encoded = {"size": [20, 30], "counts": compressed(runs) if as_text else runs}

        outlines = outlines_of_rle(encoded, (30, 20), MAX_PIXELS)

        assert (filled(outlines, mask.shape) == mask).all()

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 2**32 - 1), st.integers(3, 40), st.integers(3, 70))
    def test_text_and_list_give_the_same_outlines(self, seed: int, height: int, width: int) -> None:
        noise = np.random.default_rng(seed).random((height, width)).astype(np.float32)
        mask = (cv2.blur(noise, (3, 3)) > 0.5).astype(np.uint8)
        runs = runs_of(mask)
        size = [height, width]

        of_list = outlines_of_rle({"size": size, "counts": runs}, None, MAX_PIXELS)
        of_text = outlines_of_rle({"size": size, "counts": compressed(runs)}, None, MAX_PIXELS)
        of_mask = outlines_of_mask(mask, (0, 0))

        assert [one.tolist() for one in of_list] == [one.tolist() for one in of_text]
        assert sorted(one.tolist() for one in of_list) == sorted(one.tolist() for one in of_mask)

    @pytest.mark.parametrize(
        "encoded",
        [
            {},
            {"size": [20, 30]},
            {"size": [20, 30], "counts": "\x00"},
            {"size": [20, 30], "counts": "é"},
            {"size": [20, 30], "counts": "ooooooooooooo"},
            {"size": [20, 30], "counts": "P" * 9 + "0"},
            {"size": [20, 30], "counts": [10, 10**400]},
            {"size": [20, 30], "counts": [10, 2**62, 2**62, 2**62]},
            {"size": [20, 30], "counts": [5, -3, 9]},
            {"size": [20, 30], "counts": [[1], 2]},
            {"size": [20, 30], "counts": []},
            {"size": [1e9, 1e9], "counts": [1, 5]},
            {"size": [0, 30], "counts": [1, 5]},
            {"size": "x", "counts": [1, 5]},
            {"size": [21, 30], "counts": [1, 5]},
        ],
    )
    def test_an_unusable_mask_has_no_outline(self, encoded: dict[str, Any]) -> None:
        assert outlines_of_rle(encoded, (30, 20), MAX_PIXELS) == []

    @settings(max_examples=200, deadline=None)
    @given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=40))
    def test_any_text_is_decoded_or_refused(self, text: str) -> None:
        outlines = outlines_of_rle({"size": [20, 30], "counts": text}, None, MAX_PIXELS)

        assert all(one.min() >= 0 and one.max() <= 30 for one in outlines)

    def test_a_line_of_pixels_is_the_rectangle_that_it_covers(self) -> None:
        mask = np.zeros((5, 5), np.uint8)
        mask[1:4, 2] = 1

        (outline,) = outlines_of_mask(mask, (10, 20))

        assert outline.tolist() == [[12, 21], [13, 21], [13, 24], [12, 24]]


class TestJoined:
    def test_one_outline_stays_as_it_is(self) -> None:
        square = np.array([[0.0, 0], [4, 0], [4, 4]])

        assert joined([square]) is square

    def test_two_outlines_are_joined_at_their_nearest_points(self) -> None:
        left = np.array([[0.0, 0], [4, 1], [0, 2]])
        right = np.array([[9.0, 0], [9, 2], [6, 1]])

        line = joined([left, right])

        assert line.tolist() == [
            [4, 1],
            [0, 2],
            [0, 0],
            [4, 1],
            [6, 1],
            [9, 0],
            [9, 2],
            [6, 1],
        ]

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.integers(3, 9), min_size=2, max_size=6), st.integers(0, 999))
    def test_every_point_is_kept(self, sizes: list[int], seed: int) -> None:
        chance = np.random.default_rng(seed)
        parts = [chance.random((size, 2)) for size in sizes]

        line = {tuple(point) for point in joined(parts).tolist()}

        assert line == {tuple(point) for part in parts for point in part.tolist()}

    def test_very_long_outlines_are_joined_without_all_pairs(self) -> None:
        angles = np.linspace(0, 6, 50_000)
        ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)

        line = joined([ring, ring + 3])

        assert len(line) == 2 * 50_000 + 2
