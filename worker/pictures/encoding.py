"""Decode an image file, and encode it again as a small JPEG. Imports OpenCV and Pillow."""

import sys
import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

MAX_PIXELS: Final = 2**27
"""The largest image that a dataset may have."""
QUALITIES: Final = (82, 65, 45, 25)
OPAQUE: Final = 255
WITH_ALPHA: Final = 4

Pixels = NDArray[np.uint8]


class NotEncoded(Exception):
    """There is no picture of this file; the text is the reason."""


@dataclass(frozen=True)
class EncodedImage:
    """A JPEG, its size, and that of the image that it shows."""

    content: bytes
    width: int
    height: int
    source_width: int
    source_height: int


def encoded(content: bytes, *, max_width: int, max_height: int, max_bytes: int) -> EncodedImage:
    """Return a JPEG of an image, in its shape and never larger than it.

    Raises:
        NotEncoded: it is no image, has too many pixels, or its JPEG has too many bytes.
    """
    pixels = _decoded(content, has_alpha=_header_has_alpha(content))
    height, width = pixels.shape[:2]
    factor = min(1.0, max_width / width, max_height / height)
    size = (max(1, int(width * factor)), max(1, int(height * factor)))
    small = pixels if factor == 1 else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    for quality in QUALITIES:
        is_made, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if is_made and jpeg.size <= max_bytes:
            return EncodedImage(jpeg.tobytes(), small.shape[1], small.shape[0], width, height)
    raise NotEncoded(f"its JPEG has more than {max_bytes} bytes")


def _header_has_alpha(content: bytes) -> bool:
    """Check the size in the header, before a decoder allocates memory for the pixels.

    Raises:
        NotEncoded: it has too many pixels, or no header.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(BytesIO(content)) as image:
                width, height, mode = *image.size, image.mode
        except Exception as error:
            raise NotEncoded(f"its header cannot be read: {type(error).__name__}") from error
    if width * height > MAX_PIXELS:
        raise NotEncoded(f"it has {width} x {height} pixels; {MAX_PIXELS} are allowed")
    return mode == "RGBA"


def _decoded(content: bytes, *, has_alpha: bool) -> Pixels:
    """Return the pixels as training reads them, or as Pillow does; what is transparent is white."""
    flags = cv2.IMREAD_UNCHANGED if has_alpha else cv2.IMREAD_COLOR
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None:
        return _with_pillow(content)
    return _on_white(pixels) if pixels.shape[-1] == WITH_ALPHA else np.asarray(pixels, np.uint8)


def _on_white(pixels: Any) -> Pixels:  # noqa: ANN401 -- of 8 or 16 bits
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    opacity = pixels[..., 3:].astype(np.float32) / OPAQUE
    mixed = pixels[..., :3] * opacity + OPAQUE * (1 - opacity)
    return np.ascontiguousarray(mixed.astype(np.uint8))


def _with_pillow(content: bytes) -> Pixels:
    try:
        with Image.open(BytesIO(content)) as image:
            turned = ImageOps.exif_transpose(image).convert("RGB")
            return np.ascontiguousarray(np.asarray(turned, np.uint8)[..., ::-1])
    except Exception as error:
        raise NotEncoded(f"it cannot be decoded: {type(error).__name__}") from error


def be_quiet() -> None:
    """Use one thread, and do not write about broken files."""
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    sys.stderr.flush()
