"""The header of a plain JPEG is read as Pillow reads it, and only where Pillow accepts it."""

from io import BytesIO

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, UnidentifiedImageError

from app.datasets.verification.checks.plain_jpeg import plain_header
from tests.datasets.builders import encoded

Header = tuple[str, int, int]


def a_jpeg(mode: str = "RGB", **options: object) -> bytes:
    return encoded(Image.new(mode, (40, 30), 90), "JPEG", **options)


def by_pillow(content: bytes) -> Header | None:
    """Return the header of an upright JPEG of one picture, or None."""
    try:
        with Image.open(BytesIO(content), formats=("JPEG",)) as image:
            is_plain = image.format == "JPEG" and image.getexif().get(274) is None
            return (image.mode, image.width, image.height) if is_plain else None
    except (UnidentifiedImageError, OSError):
        return None


def turned() -> bytes:
    exif = Image.Exif()
    exif[274] = 6
    return a_jpeg(exif=exif)


PLAIN = {
    "colour": a_jpeg(),
    "gray": a_jpeg("L"),
    "progressive": a_jpeg(progressive=True),
    "comment": a_jpeg(comment=b"a comment"),
    "restarts": a_jpeg(restart_marker_blocks=1),
}
OTHER = {
    "cmyk": a_jpeg("CMYK"),
    "turned": turned(),
    "profile": a_jpeg(icc_profile=b"profile"),
    "two-pictures": encoded(
        Image.new("RGB", (20, 20)),
        "MPO",
        save_all=True,
        append_images=[Image.new("RGB", (20, 20), 255)],
    ),
    "png": encoded(Image.new("RGB", (20, 20))),
    "cut": a_jpeg()[:150],
    "empty": b"",
}


class TestPlainHeader:
    @pytest.mark.parametrize("content", PLAIN.values(), ids=PLAIN)
    def test_a_plain_jpeg_is_read_without_pillow(self, content: bytes) -> None:
        assert plain_header(content) == by_pillow(content)
        assert plain_header(content) is not None

    @pytest.mark.parametrize("content", OTHER.values(), ids=OTHER)
    def test_every_other_file_is_left_to_pillow(self, content: bytes) -> None:
        assert plain_header(content) is None

    @given(
        content=st.sampled_from([*PLAIN.values(), *OTHER.values()]),
        changes=st.lists(st.tuples(st.integers(2, 700), st.integers(0, 255)), max_size=4),
    )
    @settings(max_examples=300)
    @example(content=PLAIN["colour"], changes=[(163, 4)])
    def test_what_is_read_is_what_pillow_reads(
        self, content: bytes, changes: list[tuple[int, int]]
    ) -> None:
        changed = bytearray(content)
        for at, value in changes:
            if at < len(changed):
                changed[at] = value

        read = plain_header(bytes(changed))

        assert read is None or read == by_pillow(bytes(changed)) or 0 in read
