"""Masks as they come: their values, and the conversion of colours to class ids.

A mask of colours becomes a gray PNG of ids. A palette PNG is read by the colours of its palette.
"""

from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Remark, shown
from app.datasets.reports.report import Limits
from app.datasets.verification.checks.decoding import DECODING_ERRORS
from app.datasets.verification.dataset_yaml import IGNORED_ID

GRAY_MODES: Final = frozenset({"1", "L", "I", "I;16"})
MAX_NAMED: Final = 6
COLOURS: Final = 1 << 24

Colour = tuple[int, int, int]
Pixels = npt.NDArray[Any]


class ColourIds:
    """The class id of each colour; built once for all masks of a dataset."""

    def __init__(self, colours: Mapping[Colour, int]) -> None:
        """Take the ids by colour; 255 means that the pixels do not count."""
        self._ids = np.full(COLOURS, -1, dtype=np.int16)
        for colour, number in colours.items():
            self._ids[_number(colour)] = number

    def convert(self, content: bytes, limits: Limits) -> bytes | Remark:
        """Return a mask of colours as a gray PNG of class ids, or why it cannot be converted."""
        pixels = _pixels(content, limits)
        if isinstance(pixels, Remark):
            return pixels
        packed = _packed(pixels)
        ids = self._ids[packed]
        if ids.min() >= 0:
            return _png(ids.astype(np.uint8))
        unknown = np.unique(packed[ids < 0])
        listed = ", ".join(_written(int(colour)) for colour in unknown[:MAX_NAMED])
        text = (
            f"No class has these colours: {listed}. Add them to the file that names the colours, or"
            " send `colours`."
        )
        return Remark(Code.MASK_IDS, text)


def values_of(content: bytes, limits: Limits) -> set[int] | set[Colour] | Remark:
    """Return the ids in a mask of gray levels, or the colours in another one."""
    pixels = _pixels(content, limits)
    if isinstance(pixels, Remark):
        return pixels
    if pixels.ndim == 2 or bool((pixels == pixels[..., :1]).all()):  # noqa: PLR2004 -- gray
        plane = pixels if pixels.ndim == 2 else pixels[..., 0]  # noqa: PLR2004 -- gray
        return {int(value) for value in np.unique(plane)}
    return {_colour(int(value)) for value in np.unique(_packed(pixels))}


def _pixels(content: bytes, limits: Limits) -> Pixels | Remark:
    """Return (height, width) levels of gray or (height, width, 3) colours."""
    try:
        with Image.open(BytesIO(content), formats=("PNG",)) as mask:
            width, height = mask.size
            if width * height > limits.max_image_pixels or max(mask.size) > limits.max_image_side:
                return Remark(Code.IMAGE_TOO_LARGE, f"It has {width} x {height} pixels.")
            mask.load()
            return np.asarray(mask if mask.mode in GRAY_MODES else mask.convert("RGB"))
    except UnidentifiedImageError:
        return Remark(Code.MASK_UNREADABLE, "It is not a PNG.")
    except DECODING_ERRORS as error:
        return Remark(Code.MASK_UNREADABLE, shown(f"It cannot be decoded: {error}."))


def _packed(pixels: Pixels) -> Pixels:
    """Return one number for each colour."""
    if pixels.ndim == 2:  # noqa: PLR2004 -- gray
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    wide = pixels.astype(np.uint32) & IGNORED_ID
    packed: Pixels = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    return packed


def _number(colour: Colour) -> int:
    red, green, blue = colour
    return red << 16 | green << 8 | blue


def _colour(number: int) -> Colour:
    return number >> 16, number >> 8 & IGNORED_ID, number & IGNORED_ID


def _written(number: int) -> str:
    return "({}, {}, {})".format(*_colour(number))


def _png(ids: npt.NDArray[np.uint8]) -> bytes:
    stream = BytesIO()
    Image.fromarray(ids).save(stream, "PNG")
    return stream.getvalue()
