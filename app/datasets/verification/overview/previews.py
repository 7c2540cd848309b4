"""Make the preview of an image from its decoded pixels: a small JPEG."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from app.datasets.verification.checks.decoding import Pixels

LONGEST_SIDE: Final = 320
QUALITY: Final = 80
MAX_FACTOR: Final = 4
"""Of a larger reduction, most pixels are skipped first: to average all of them takes as long as a
third of the decoding."""

COLOURS: Final = 3
DARK: Final = 64
"""If no value reaches this, the preview is brightened, as of 12 bits in 16."""


@dataclass(frozen=True)
class Preview:
    """A JPEG and its size in pixels."""

    content: bytes
    width: int
    height: int


def preview_of(pixels: Pixels) -> Preview:
    """Return the preview of an image, (height, width, channels) of 8 bits in OpenCV's order.

    One channel gives a gray preview, and so do two, of the first; of more than three, the first
    three are shown as red, green and blue, or as they are in OpenCV's order if the fourth is alpha.
    """
    small = _reduced(_visible(pixels))
    brightest = int(small.max())
    if 0 < brightest < DARK:
        small = (small.astype(np.uint16) * 255 // brightest).astype(np.uint8)
    _, content = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return Preview(content.tobytes(), small.shape[1], small.shape[0])


def _visible(pixels: Pixels) -> Pixels:
    channels = pixels.shape[2]
    if channels < COLOURS:
        return pixels[..., :1]
    if channels <= COLOURS + 1:
        return pixels[..., :COLOURS]
    return pixels[..., COLOURS - 1 :: -1]


def _reduced(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    factor = max(height, width) / LONGEST_SIDE
    if factor <= 1:
        return np.ascontiguousarray(pixels)
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    if factor > MAX_FACTOR:
        doubled = (2 * size[0], 2 * size[1])
        pixels = cv2.resize(pixels, doubled, interpolation=cv2.INTER_NEAREST)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
