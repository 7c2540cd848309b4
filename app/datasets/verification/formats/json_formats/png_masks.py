"""Decode masks that JSON files embed as base64 of a PNG."""

import base64
import warnings
import zlib
from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.datasets.verification.checks.decoding import DECODING_ERRORS

MAX_PNG_BYTES: Final = 16 * 1024 * 1024


def mask_of_base64(
    text: Any,  # noqa: ANN401 -- any JSON value
    max_pixels: int,
    *,
    deflated: bool = False,
) -> npt.NDArray[np.uint8] | None:
    """Return the mask, 1 where a pixel is set, or None if it cannot be decoded.

    Args:
        text: base64 of a PNG.
        max_pixels: a larger mask is not decoded.
        deflated: the PNG was compressed again with zlib.
    """
    if not isinstance(text, str):
        return None
    try:
        content = base64.b64decode(text)
        if deflated:
            content = zlib.decompressobj().decompress(content, MAX_PNG_BYTES)
    except (ValueError, zlib.error):
        return None
    return _decoded(content, max_pixels)


def _decoded(content: bytes, max_pixels: int) -> npt.NDArray[np.uint8] | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(BytesIO(content), formats=("PNG",)) as image:
                if image.width * image.height > max_pixels:
                    return None
                has_alpha = "A" in image.getbands() or "transparency" in image.info
                pixels = np.asarray(image.convert("RGBA"))
        except DECODING_ERRORS:
            return None
    is_set = pixels[..., 3] > 0 if has_alpha else pixels[..., :3].any(axis=2)
    return np.asarray(is_set, dtype=np.uint8)
