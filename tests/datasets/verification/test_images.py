"""Images: sizes are checked first, and the decoder of training decides about the pixels."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Remark
from app.datasets.reports.report import Limits
from app.datasets.verification.images import CheckedImage, ImageRules, check_image
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
    "U15-avif": encoded(a_gray(mode="RGB"), "AVIF"),
    "U15-jp2": encoded(a_gray(), "JPEG2000"),
    "U15-cut-jpeg-with-an-end": an_image()[:-400] + b"\xff\xd9",
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
    "U15-32-bit-tiff": (encoded(a_gray(mode="F"), "TIFF"), Code.IMAGE_UNREADABLE),
    "U15-zstd-tiff": (encoded(a_gray(), "TIFF", compression="zstd"), Code.IMAGE_UNREADABLE),
    "U15-cmyk-jp2": (encoded(a_gray(mode="CMYK"), "JPEG2000"), Code.IMAGE_UNREADABLE),
    "U15-postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", Code.IMAGE_UNREADABLE),
    "empty": (b"", Code.IMAGE_UNREADABLE),
}


def check(content: bytes, channels: int = 3, suffix: str = ".tif") -> CheckedImage | Remark:
    return check_image(content, suffix, ImageRules(channels), Limits())


MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr", "LAB")
KINDS = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "BMP": ".bmp",
    "WEBP": ".webp",
    "TIFF": ".tiff",
    "AVIF": ".avif",
    "JPEG2000": ".jp2",
    "MPO": ".mpo",
    "GIF": ".png",
}


def a_noise(mode: str) -> Image.Image:
    values = np.random.default_rng(5).integers(0, 255, (20, 32, 3), dtype=np.uint8)
    picture = Image.fromarray(values)
    if mode in {"I;16", "I", "F"}:
        return picture.convert("L").convert(mode)
    return Image.new("LAB", picture.size) if mode == "LAB" else picture.convert(mode)


def with_late_exif(png: bytes, exif: bytes) -> bytes:
    """Move the orientation of a PNG behind its pixels."""
    chunk = b"eXIf" + exif
    ending = len(png) - 12
    body = struct.pack(">L", len(exif)) + chunk + struct.pack(">L", zlib.crc32(chunk))
    return png[:ending] + body + png[ending:]


def files_of_all_kinds() -> Iterator[tuple[str, bytes]]:
    """Yield suffixes and contents: modes, orientations, cuts, compressions and pages."""
    exif = Image.Exif()
    for kind, ending in KINDS.items():
        for mode in MODES:
            with suppress(OSError, ValueError, KeyError):
                yield ending, encoded(a_noise(mode), kind)
        whole = encoded(a_noise("RGB"), kind)
        yield ".jpg", whole
        for share in (0.1, 0.6, 0.95):
            yield ending, whole[: int(len(whole) * share)]
        yield ending, whole + b"\0\0"
        for orientation in (3, 5, 6):
            exif[274] = orientation
            yield ending, encoded(a_noise("RGB"), kind, exif=exif)
    yield ".png", with_late_exif(encoded(a_noise("RGB")), exif.tobytes())
    yield ".png", encoded(a_noise("RGB")).replace(b"IEND\xae", b"IEND\xaf")
    damaged = bytearray(encoded(a_noise("RGB")))
    damaged[-30] ^= 1
    yield ".png", bytes(damaged)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "zstd", "lzma"):
        yield ".tif", encoded(a_noise("RGB"), "TIFF", compression=compression)
    for mode in ("L", "LA", "RGB", "P", "F", "I;16"):
        for count in (2, 6):
            pages = [a_noise(mode) for _ in range(count)]
            yield ".tif", encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
            pages[-1] = pages[-1].resize((16, 16))
            yield ".tif", encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])


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

    @pytest.mark.parametrize(
        "rules",
        [ImageRules(1), ImageRules(3), ImageRules(3, is_classified=True)]
        + [pytest.param(ImageRules(count), marks=pytest.mark.slow) for count in (2, 6)]
        + [ImageRules(4)],
        ids=repr,
    )
    def test_verdict_and_size_are_those_of_scan_and_training(
        self, rules: ImageRules, oracle: Oracle, tmp_path: Path
    ) -> None:
        files = list(files_of_all_kinds())
        paths = [tmp_path / f"{number}{ending}" for number, (ending, _) in enumerate(files)]
        for path, (_, content) in zip(paths, files, strict=True):
            path.write_bytes(content)

        said = oracle.ask("pictures", list(map(str, paths)), rules.channels, rules.is_classified)

        for path, (ending, content), verdict in zip(paths, files, said["verdicts"], strict=True):
            image = check_image(content, ending, rules, Limits())
            held = None if isinstance(image, Remark) else [image.height, image.width]
            assert held == (verdict["shape"] if verdict["good"] and verdict["read"] else None), path
            if isinstance(image, CheckedImage):
                assert [image.decoded[1], image.decoded[0]] == verdict["read"]

    @given(content=st.binary(max_size=60), start=st.sampled_from(list(ACCEPTED.values())))
    @settings(max_examples=150, deadline=None, derandomize=True)
    def test_any_bytes_are_an_image_or_a_remark(self, content: bytes, start: bytes) -> None:
        place = len(content) * 7 % len(start)

        image = check(start[:place] + content + start[place + len(content) :])

        assert isinstance(image, CheckedImage | Remark)

    def test_decoders_write_nothing_to_stderr(self, capfd: pytest.CaptureFixture[str]) -> None:
        for content in (*(content for content, _ in REFUSED.values()), *ACCEPTED.values()):
            check(content)

        assert capfd.readouterr().err == ""

    def test_the_limits_of_images_are_settings(self) -> None:
        image = check_image(an_image(), ".jpg", ImageRules(), replace(Limits(), max_image_side=63))

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

    def test_pages_beyond_the_limits_are_refused_before_they_are_decoded(self) -> None:
        limits = replace(Limits(), max_image_pixels=500)

        image = check_image(frames("TIFF", 5), ".tif", ImageRules(2), limits)

        assert isinstance(image, Remark)
        assert image.code is Code.IMAGE_TOO_LARGE

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
