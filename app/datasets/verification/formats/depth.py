"""Depth maps: 16-bit gray PNG, scaled by depth_scale, or a 2-D float NPY in meters.

An NPY is read without pickle. Its header is checked before its data is loaded.
"""

import math
import tokenize
from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import UnidentifiedImageError

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Remark, shown
from app.datasets.reports.report import Limits
from app.datasets.verification.checks.decoding import DECODING_ERRORS, opened

PNG_MODES: Final = frozenset({"I", "I;16"})
MAX_ASPECT_DIFFERENCE: Final = 0.02
"""Maximum |log| of the ratio of the two aspect ratios (Ultralytics 8.4.190, data/utils.py:361)."""


def check_depth(
    content: bytes, suffix: str, size: tuple[int, int], limits: Limits
) -> tuple[Remark, ...]:
    """Check one depth map against `size`, the (width, height) of its image."""
    depth = _read_npy(content, limits) if suffix == ".npy" else _read_png(content, limits)
    if isinstance(depth, Remark):
        return (depth,)
    height, width = depth.shape
    if min(width, height) == 0 or abs(math.log((width / height) / (size[0] / size[1]))) > (
        MAX_ASPECT_DIFFERENCE
    ):
        text = f"It is {width} x {height}, its image {size[0]} x {size[1]}: aspect ratios differ."
        return (Remark(Code.DEPTH_SHAPE, text),)
    if not (np.isfinite(depth) & (depth > 0)).any():
        return (Remark(Code.DEPTH_EMPTY, "No pixel has a depth above 0."),)
    return ()


def _is_too_large(width: int, height: int, limits: Limits) -> bool:
    return width * height > limits.max_image_pixels or max(width, height) > limits.max_image_side


def _read_png(content: bytes, limits: Limits) -> npt.NDArray[Any] | Remark:
    try:
        with opened(content, ("PNG",)) as image:
            if image.mode not in PNG_MODES:
                return Remark(
                    Code.DEPTH_KIND, f"Its mode is {image.mode}; a 16-bit gray PNG is expected."
                )
            if _is_too_large(*image.size, limits):
                return Remark(
                    Code.IMAGE_TOO_LARGE, f"It has {image.width} x {image.height} pixels."
                )
            image.load()
            return np.asarray(image)
    except UnidentifiedImageError:
        return Remark(Code.DEPTH_UNREADABLE, "It is not a PNG.")
    except DECODING_ERRORS as error:
        return Remark(Code.DEPTH_UNREADABLE, shown(f"It cannot be decoded: {error}."))


def _read_npy(content: bytes, limits: Limits) -> npt.NDArray[Any] | Remark:
    stream = BytesIO(content)
    try:
        shape, by_columns, kind = _npy_header(stream)
    except (*DECODING_ERRORS, tokenize.TokenError) as error:
        reason = str(error) or type(error).__name__  # a MemoryError here is that of the parser
        return Remark(Code.DEPTH_UNREADABLE, shown(f"It is not a plain NPY file: {reason}."))
    if len(shape) != 2 or kind.kind != "f":  # noqa: PLR2004 -- height and width
        text = f"It contains {kind} with {len(shape)} axes; 2-D floats are expected."
        return Remark(Code.DEPTH_KIND, shown(text))
    if min(shape) < 0 or _is_too_large(shape[1], shape[0], limits):
        return Remark(
            Code.IMAGE_TOO_LARGE, f"Its header has more than {limits.max_image_pixels} pixels."
        )
    count, offset = shape[0] * shape[1], stream.tell()
    if len(content) - offset < count * kind.itemsize:
        text = f"It ends before the {count} values of its header."
        return Remark(Code.DEPTH_UNREADABLE, text)
    values = np.frombuffer(content, kind, count, offset)
    return values.reshape(shape, order="F" if by_columns else "C")


def _npy_header(stream: BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(stream)
    raise ValueError(f"format version {version} is not supported")
