"""Previews are small JPEGs of whatever training reads."""

import cv2
import numpy as np
import pytest

from app.datasets.verification.checks.decoding import Pixels
from app.datasets.verification.overview.previews import preview_of


def filled(*shape: int, level: int = 200) -> Pixels:
    return np.full(shape, level, np.uint8)


def shown(content: bytes) -> Pixels:
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return pixels


class TestPreviews:
    @pytest.mark.parametrize(
        ("shape", "size"),
        [
            ((3000, 4000, 3), (320, 240)),
            ((640, 480, 3), (240, 320)),
            ((16_000, 10, 3), (1, 320)),
            ((12, 20, 3), (20, 12)),
        ],
        ids=["large", "upright", "thin", "small"],
    )
    def test_the_longest_side_of_a_preview_is_at_most_320(
        self, shape: tuple[int, ...], size: tuple[int, int]
    ) -> None:
        preview = preview_of(filled(*shape))

        assert (preview.width, preview.height) == size
        assert shown(preview.content).shape[1::-1] == size

    @pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 12])
    def test_a_preview_shows_any_number_of_channels(self, channels: int) -> None:
        pixels = filled(400, 500, channels)
        pixels[..., 0] = 90

        preview = shown(preview_of(pixels).content)

        assert preview.ndim == (2 if channels < 3 else 3)
        assert abs(int(preview.min()) - 90) <= 2

    def test_a_preview_of_very_dark_pixels_is_brightened(self) -> None:
        pixels = filled(100, 100, 1, level=3)
        pixels[:50] = 12

        preview = shown(preview_of(pixels).content)

        assert preview.max() > 240
        assert preview.min() < 80

    def test_a_preview_of_black_pixels_is_black(self) -> None:
        assert shown(preview_of(filled(100, 100, 3, level=0)).content).max() == 0
