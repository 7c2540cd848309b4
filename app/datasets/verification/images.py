"""Check an image file, first its header and then its pixels, so that training can read it.

Pillow reads the header, as the scan of Ultralytics does (8.4.190, data/utils.py:263), and refuses
sizes above the limits. OpenCV, which reads images in training, then decodes the pixels once. The
bytes stay unchanged, including an EXIF rotation. Only a JPEG without an end marker is re-encoded,
exactly as Ultralytics would do inside the dataset (data/utils.py:280).
"""

from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Remark, shown
from app.datasets.reports.report import Limits
from app.datasets.verification.checks.decoding import (
    DECODING_ERRORS,
    Pixels,
    decode,
    decode_for_classes,
    opened,
)
from app.datasets.verification.checks.plain_jpeg import plain_header

IMAGE_SUFFIXES: Final = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".png",
        ".bmp",
        ".webp",
        ".tif",
        ".tiff",
        ".avif",
        ".jp2",
        ".mpo",
        ".dng",
    }
)
"""Suffixes of images that are read: Ultralytics takes them and OpenCV decodes them."""

UNREAD_PICTURE_SUFFIXES: Final = frozenset(
    {
        ".heic",
        ".heif",
        ".gif",
        ".jfif",
        ".jpe",
        ".jxl",
        ".j2k",
        ".jpx",
        ".pbm",
        ".pgm",
        ".ppm",
        ".pnm",
        ".tga",
        ".ico",
        ".svg",
        ".psd",
        ".exr",
        ".hdr",
        ".cr2",
        ".nef",
        ".arw",
        ".dcm",
    }
)
"""Suffixes of pictures that are not read: Ultralytics ignores them, or nothing decodes them."""

IMAGE_FORMATS: Final = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "AVIF", "JPEG2000")
"""Formats of contents, whatever the suffix says (Ultralytics 8.4.190, data/utils.py:282).

Pillow reads a JPEG of several pictures, MPO, as JPEG.
"""

LFS_POINTER: Final = b"version https://git-lfs"
MARKUP_BYTES: Final = 256
MIN_SIDE: Final = 10
ORIENTATION_TAG: Final = 274
SIDEWAYS: Final = frozenset({5, 6, 7, 8})
TURNED_BY_HEADER: Final = frozenset({"JPEG", "MPO", "PNG", "AVIF"})
JPEG_END: Final = b"\xff\xd9"
BYTES_TO_DECODE_PIXEL: Final = 8
"""Of four channels and a second buffer of the same size."""

CURE: Final = "save it as PNG or JPEG with 8 bits per channel"


@dataclass(frozen=True)
class ImageRules:
    """How training reads the images."""

    channels: int = 3
    is_classified: bool = False

    def decode(self, content: bytes, suffix: str) -> Pixels | None:
        """Return the pixels as training reads them, or None."""
        if self.is_classified:
            return decode_for_classes(content, suffix)
        return decode(content, suffix, self.channels)

    @property
    def has_pages(self) -> bool:
        """Whether the pages of a TIFF are channels."""
        return self.channels not in {1, 3}


@dataclass(frozen=True)
class CheckedImage:
    """An image that training can read.

    `width` and `height` are those that the scan of Ultralytics reads in the header, upright;
    `decoded` are those of `pixels`, (height, width, channels). They differ only if the header is
    ambiguous.
    """

    content: bytes
    width: int
    height: int
    pixels: Pixels
    remarks: tuple[Remark, ...] = ()

    @property
    def decoded(self) -> tuple[int, int]:
        """Width and height of the pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


@dataclass(frozen=True)
class _Header:
    kind: str
    mode: str
    size: tuple[int, int]
    is_sideways: bool
    frames: int


def check_image(
    content: bytes, suffix: str, rules: ImageRules, limits: Limits
) -> CheckedImage | Remark:
    """Check one image file. A remark instead of an image gives the reason why it is refused.

    Raises:
        MemoryError: there is no memory for an image within the limits.
    """
    header = _read_header(content, rules, limits)
    if isinstance(header, Remark):
        return header
    try:
        return _read(content, suffix, header, rules)
    except MemoryError:
        raise
    except DECODING_ERRORS as error:
        return Remark(Code.IMAGE_UNREADABLE, shown(f"It cannot be decoded: {error}."))


def size_in_header(
    content: bytes, suffix: str, rules: ImageRules, limits: Limits
) -> tuple[int, int] | None:
    """Return width and height of an image that was checked before, mostly without decoding it.

    None if it cannot be read.
    """
    header = _read_header(content, rules, limits)
    if isinstance(header, Remark):
        return None
    if not header.is_sideways or header.kind in TURNED_BY_HEADER:
        return header.size[::-1] if header.is_sideways else header.size
    pixels = rules.decode(content, suffix)
    return None if pixels is None else _scanned_size(content, suffix, header, pixels)


def _read_header(content: bytes, rules: ImageRules, limits: Limits) -> _Header | Remark:
    plain = plain_header(content)
    if plain is not None and _is_within(plain[1], plain[2], limits):
        return _Header("JPEG", plain[0], plain[1:], is_sideways=False, frames=1)
    try:
        return _judge_header(content, rules, limits)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError):
        return Remark(Code.IMAGE_TOO_LARGE, f"It has more than {limits.max_image_pixels} pixels.")
    except UnidentifiedImageError:
        return Remark(Code.IMAGE_UNREADABLE, _what_instead_of_image(content))
    except DECODING_ERRORS as error:
        return Remark(Code.IMAGE_UNREADABLE, shown(f"It cannot be decoded: {error}."))


def _what_instead_of_image(content: bytes) -> str:
    """Say what a file is that is called an image, but is not one."""
    beginning = content[:MARKUP_BYTES].lstrip().lower()
    if not content:
        return "It is empty."
    if beginning.startswith(LFS_POINTER):
        return "It is a pointer of Git LFS, not the image: run `git lfs pull`, and pack again."
    if beginning.startswith((b"<!doctype html", b"<html")):
        return "It is a web page (HTML), not the image: download the image again."
    return f"Its content is not in one of the formats {', '.join(IMAGE_FORMATS)}."


def _is_within(width: int, height: int, limits: Limits) -> bool:
    is_small = width * height <= limits.max_image_pixels
    return (
        is_small and min(width, height) >= MIN_SIDE and max(width, height) <= limits.max_image_side
    )


def _judge_header(content: bytes, rules: ImageRules, limits: Limits) -> _Header | Remark:
    with opened(content, IMAGE_FORMATS) as image:
        refusal = _refuse_size(image, limits)
        if refusal is not None:
            return refusal
        image.verify()
        kind, mode, size = str(image.format), image.mode, image.size
        is_sideways = _is_sideways(image)
        frames = _frames(image)
        if rules.has_pages and kind == "TIFF" and not _pages_fit(content, frames, rules, limits):
            return Remark(
                Code.IMAGE_TOO_LARGE,
                f"Its {frames} pages have more pixels than {rules.channels} channels of"
                f" {limits.max_image_pixels}.",
            )
    return _Header(kind, mode, size, is_sideways, frames)


def _refuse_size(image: Image.Image, limits: Limits) -> Remark | None:
    width, height = image.size
    if _is_within(width, height, limits):
        return None
    if width * height > limits.max_image_pixels or max(width, height) > limits.max_image_side:
        return Remark(
            Code.IMAGE_TOO_LARGE,
            f"It has {width} x {height} pixels; at most {limits.max_image_side} per side and"
            f" {limits.max_image_pixels} in total are allowed.",
        )
    return Remark(
        Code.IMAGE_TOO_SMALL,
        f"It has {width} x {height} pixels; Ultralytics needs {MIN_SIDE} or more per side.",
    )


def _is_sideways(image: Image.Image) -> bool:
    """Return whether EXIF turns the image by 90 degrees; of unreadable EXIF, no."""
    try:
        tags = image.tag_v2 if isinstance(image, TiffImageFile) else image.getexif()
        return tags.get(ORIENTATION_TAG) in SIDEWAYS
    except DECODING_ERRORS:
        return False


def _frames(image: Image.Image) -> int:
    """Return the number of frames; where a later frame cannot be found, 1."""
    try:
        return int(getattr(image, "n_frames", 1))
    except DECODING_ERRORS:
        return 1


def _pages_fit(content: bytes, frames: int, rules: ImageRules, limits: Limits) -> bool:
    """Return whether all pages together are as small as the channels of one image may be."""
    pixels = 0
    with opened(content, ("TIFF",)) as image:
        for frame in range(frames):
            image.seek(frame)
            pixels += image.width * image.height
    return pixels <= limits.max_image_pixels * rules.channels


def _read(content: bytes, suffix: str, header: _Header, rules: ImageRules) -> CheckedImage | Remark:
    remarks = []
    if header.kind == "JPEG" and not content.endswith(JPEG_END):
        content = _restored_jpeg(content)
        text = "It had no end marker; it was re-encoded at quality 100."
        remarks.append(Remark(Code.JPEG_RESTORED, text))
    pixels = rules.decode(content, suffix)
    if pixels is None:
        _need_memory(header)
        return _undecoded(header)
    refusal = _refuse_pixels(pixels, header, rules)
    if refusal is not None:
        return refusal
    if header.frames > 1 and not (rules.has_pages and header.kind == "TIFF"):
        text = f"The first of {header.frames} frames is used."
        remarks.append(Remark(Code.IMAGE_FRAMES, text))
    width, height = _scanned_size(content, suffix, header, pixels)
    return CheckedImage(content, width, height, pixels, tuple(remarks))


def _restored_jpeg(content: bytes) -> bytes:
    """Re-encode a JPEG as Ultralytics does: upright, quality 100, no chroma subsampling."""
    restored = BytesIO()
    with opened(content, ("JPEG",)) as image:
        ImageOps.exif_transpose(image).save(restored, "JPEG", subsampling=0, quality=100)
    return restored.getvalue()


def _need_memory(header: _Header) -> None:
    """Raise MemoryError if that is why OpenCV decoded nothing; it does not say why."""
    np.empty(header.size[0] * header.size[1] * BYTES_TO_DECODE_PIXEL, np.uint8)


def _undecoded(header: _Header) -> Remark:
    return Remark(
        Code.IMAGE_UNREADABLE,
        f"OpenCV, which reads images in training, cannot decode it ({header.kind}, mode"
        f" {header.mode}); {CURE}.",
    )


def _refuse_pixels(pixels: Pixels, header: _Header, rules: ImageRules) -> Remark | None:
    held = pixels.shape[2]
    if held != rules.channels:
        return Remark(
            Code.IMAGE_CHANNELS,
            f"data.yaml requires {rules.channels} channels; OpenCV reads {held} from this"
            f" {header.kind} of {header.frames} frames. Save it as one TIFF of {rules.channels}"
            " gray pages of one size, or correct `channels`.",
        )
    if pixels.dtype != np.uint8:
        return Remark(
            Code.IMAGE_UNREADABLE,
            f"Its pixels are {pixels.dtype}; training reads 8 or 16 bits: {CURE}.",
        )
    return None


def _scanned_size(content: bytes, suffix: str, header: _Header, pixels: Pixels) -> tuple[int, int]:
    """Return width and height as Ultralytics' scan finds them (data/utils.py:248)."""
    if not header.is_sideways:
        return header.size
    if header.kind in TURNED_BY_HEADER:
        return header.size[1], header.size[0]
    colours = pixels if pixels.shape[2] in {1, 3} else decode(content, suffix, 3)
    return header.size if colours is None else (colours.shape[1], colours.shape[0])
