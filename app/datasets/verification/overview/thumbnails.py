"""Small gray thumbnails of all images, made from the pixels that were decoded for their check."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.datasets.verification.checks.decoding import Pixels
from app.datasets.verification.division.near_equal import THUMBNAIL

SAMPLED: Final = (144, 128)
"""Pixels of a larger image that are read: averaging all of them costs half as much as to decode."""

SAMPLED_OF_SMALL: Final = (72, 64)
"""Pixels of any other image: a multiple of the thumbnail, which is averaged faster than others."""

COLOURS: Final = 3
AT_ONCE: Final = 1024

Grays = NDArray[np.uint8]
"""(images, rows, columns)"""


class Thumbnails:
    """Collects one thumbnail for each image."""

    def __init__(self) -> None:
        self._waiting: list[Pixels] = []
        self._done: list[Grays] = []

    def note(self, pixels: Pixels) -> None:
        """Make the thumbnail of the next image, (height, width, channels) of 8 bits.

        Of channels that are no colours, it shows the first.
        """
        is_colour = pixels.shape[2] == COLOURS
        if not is_colour:
            pixels = np.ascontiguousarray(pixels[..., 0])
        is_large = pixels.shape[1] > SAMPLED[0] and pixels.shape[0] > SAMPLED[1]
        sampled = SAMPLED if is_large else SAMPLED_OF_SMALL
        pixels = cv2.resize(pixels, sampled, interpolation=cv2.INTER_NEAREST)
        gray = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) if is_colour else pixels
        self._waiting.append(cv2.resize(gray, THUMBNAIL, interpolation=cv2.INTER_AREA))
        if len(self._waiting) == AT_ONCE:
            self._convert()

    def grays(self) -> Grays:
        """Return all thumbnails in the order of their images."""
        self._convert()
        if not self._done:
            return np.zeros((0, THUMBNAIL[1], THUMBNAIL[0]), np.uint8)
        return np.concatenate(self._done)

    def _convert(self) -> None:
        if self._waiting:
            self._done.append(np.stack(self._waiting))
            self._waiting.clear()
