"""Images: sizes are checked first, every pixel is decoded once, and JPEGs must be complete."""

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.datasets.archives.findings import Code, Remark
from app.datasets.archives.report import Limits
from app.datasets.verification.images import CheckedImage, check_image
from tests.datasets.builders import an_image, encoded
from tests.datasets.oracle import Oracle


def a_gray(side: int = 20, mode: str = "L") -> Image.Image:
    return Image.new(mode, (side, side))


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that declares a huge size and holds no pixel."""
    header = struct.pack(">2L5B", width, height, 8, 2, 0, 0, 0)
    chunks = b""
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        checksum = zlib.crc32(kind + body)
        chunks += struct.pack(">L", len(body)) + kind + body + struct.pack(">L", checksum)
    return b"\x89PNG\r\n\x1a\n" + chunks


def turned() -> bytes:
    picture = Image.new("RGB", (40, 20), (200, 10, 10))
    exif = Image.Exif()
    exif[274] = 6
    return encoded(picture, "JPEG", exif=exif)


def frames(kind: str, count: int, mode: str = "L") -> bytes:
    pages = [
        Image.fromarray(np.full((20, 20), 40 * n, np.uint8)).convert(mode) for n in range(count)
    ]
    return encoded(pages[0], kind, save_all=True, append_images=pages[1:])


ACCEPTED = {
    "jpeg": an_image(kind="JPEG"),
    "png": an_image(kind="PNG"),
    "bmp": an_image(kind="BMP"),
    "webp": an_image(kind="WEBP"),
    "tiff": an_image(kind="TIFF"),
    "gray": encoded(a_gray()),
    "palette": encoded(a_gray(mode="P")),
    "alpha": encoded(a_gray(mode="RGBA")),
    "U15-cmyk": encoded(a_gray(mode="CMYK"), "JPEG"),
    "U15-16-bit": encoded(Image.fromarray(np.zeros((20, 20), np.uint16))),
    "U15-exif-rotated": turned(),
}

REFUSED = {
    "U14-bomb": (png_header(20_000, 20_000), Code.IMAGE_TOO_LARGE),
    "U14-95-megapixels": (png_header(10_000, 9_500), Code.IMAGE_TOO_LARGE),
    "U14-long-side": (png_header(16_385, 20), Code.IMAGE_TOO_LARGE),
    "too-small": (encoded(a_gray(9)), Code.IMAGE_TOO_SMALL),
    "U15-truncated-jpeg": (an_image()[:-400], Code.IMAGE_UNREADABLE),
    "U15-truncated-png": (an_image(kind="PNG")[:-400], Code.IMAGE_UNREADABLE),
    "U15-no-pixels": (png_header(20, 20), Code.IMAGE_UNREADABLE),
    "U15-svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", Code.IMAGE_UNREADABLE),
    "U15-html": (b"<!DOCTYPE html><script>alert(1)</script>", Code.IMAGE_UNREADABLE),
    "U15-gif": (encoded(a_gray(), "GIF"), Code.IMAGE_UNREADABLE),
    "U15-avif": (encoded(a_gray(mode="RGB"), "AVIF"), Code.IMAGE_UNREADABLE),
    "U15-jp2": (encoded(a_gray(), "JPEG2000"), Code.IMAGE_UNREADABLE),
    "U15-postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", Code.IMAGE_UNREADABLE),
    "empty": (b"", Code.IMAGE_UNREADABLE),
}


def check(content: bytes, channels: int = 3) -> CheckedImage | Remark:
    return check_image(content, channels, Limits())


class TestImages:
    @pytest.mark.parametrize("row", ACCEPTED)
    def test_a_readable_image_stays_byte_for_byte(self, row: str) -> None:
        image = check(ACCEPTED[row])

        assert isinstance(image, CheckedImage)
        assert (image.content, image.remarks) == (ACCEPTED[row], ())

    @pytest.mark.parametrize("row", REFUSED)
    def test_a_bad_image_is_refused_for_its_reason(self, row: str) -> None:
        content, code = REFUSED[row]

        image = check(content)

        assert isinstance(image, Remark)
        assert image.code is code

    @pytest.mark.parametrize("row", ["jpeg", "png", "bmp", "webp", "tiff", "U15-exif-rotated"])
    def test_the_size_is_upright_as_ultralytics_sees_it(
        self, row: str, oracle: Oracle, tmp_path: Path
    ) -> None:
        path = tmp_path / "a.jpg"
        path.write_bytes(ACCEPTED[row])

        image = check(ACCEPTED[row])

        assert isinstance(image, CheckedImage)
        assert oracle.ask("image", path)["shape"] == [image.height, image.width]

    def test_the_limits_of_images_are_settings(self) -> None:
        image = check_image(an_image(), 3, replace(Limits(), max_image_side=63))

        assert isinstance(image, Remark)

    @pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
    def test_the_first_of_several_frames_is_used_with_a_warning(self, kind: str) -> None:
        image = check(frames(kind, 3))

        assert isinstance(image, CheckedImage)
        assert [remark.code for remark in image.remarks] == [Code.IMAGE_FRAMES]

    def test_pages_of_a_tiff_can_be_channels(self) -> None:
        image = check(frames("TIFF", 5), channels=5)

        assert isinstance(image, CheckedImage)
        assert image.remarks == ()

    @pytest.mark.parametrize("content", [frames("TIFF", 4), an_image()], ids=["pages", "jpeg"])
    def test_too_few_channels_are_refused(self, content: bytes) -> None:
        image = check(content, channels=5)

        assert isinstance(image, Remark)
        assert image.code is Code.IMAGE_CHANNELS


class TestJpegsWithoutAnEnd:
    @pytest.mark.parametrize(
        "content", [an_image() + b"\0trailer", turned() + b"\0\0"], ids=["plain", "rotated"]
    )
    def test_a_jpeg_without_an_end_is_rewritten_exactly_as_by_ultralytics(
        self, content: bytes, oracle: Oracle, tmp_path: Path
    ) -> None:
        path = tmp_path / "a.jpg"
        path.write_bytes(content)

        image = check(content)
        said = oracle.ask("image", path)

        assert "restored" in said["message"]
        assert isinstance(image, CheckedImage)
        assert image.content == path.read_bytes()
        assert [remark.code for remark in image.remarks] == [Code.JPEG_RESTORED]

    def test_the_new_file_needs_no_more_help(self) -> None:
        first = check(an_image() + b"\0")
        assert isinstance(first, CheckedImage)

        second = check(first.content)

        assert isinstance(second, CheckedImage)
        assert second.remarks == ()

    def test_other_formats_without_an_end_are_left_alone(self) -> None:
        image = check(an_image(kind="BMP") + b"\0\0")

        assert isinstance(image, CheckedImage)
        assert image.remarks == ()
