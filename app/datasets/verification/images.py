"""Check an image file, first its header and then every pixel, so that training can read it.

The bytes stay unchanged, including an EXIF rotation. Only a JPEG without an end marker is
re-encoded, exactly as Ultralytics would do inside the dataset (8.4.190, data/utils.py:280).
"""

import struct
import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from PIL import Image, ImageOps, UnidentifiedImageError

from app.datasets.archives.findings import Code, Remark, shown
from app.datasets.archives.report import Limits

IMAGE_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
IMAGE_FORMATS: Final = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
MIN_SIDE: Final = 10
ORIENTATION_TAG: Final = 274
SIDEWAYS: Final = frozenset({5, 6, 7, 8})
JPEG_END: Final = b"\xff\xd9"

DECODING_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow's decoders raise for broken files; the types differ between decoders."""


@dataclass(frozen=True)
class CheckedImage:
    """An image that training can read; width and height are upright, in pixels."""

    content: bytes
    width: int
    height: int
    remarks: tuple[Remark, ...] = ()


def check_image(content: bytes, channels: int, limits: Limits) -> CheckedImage | Remark:
    """Check one image file. A remark instead of an image gives the reason why it is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(BytesIO(content), formats=IMAGE_FORMATS) as image:
                refusal = _refuse_size(image, limits) or _refuse_channels(image, channels)
                if refusal:
                    return refusal
                image.verify()
            return _decode(content, channels)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            return Remark(
                Code.IMAGE_TOO_LARGE, f"It has more than {limits.max_image_pixels} pixels."
            )
        except UnidentifiedImageError:
            return Remark(
                Code.IMAGE_UNREADABLE,
                f"Its content is not in one of the formats {', '.join(IMAGE_FORMATS)}.",
            )
        except DECODING_ERRORS as error:
            return Remark(Code.IMAGE_UNREADABLE, shown(f"It cannot be decoded: {error}."))


def _refuse_size(image: Image.Image, limits: Limits) -> Remark | None:
    width, height = image.size
    if width * height > limits.max_image_pixels or max(width, height) > limits.max_image_side:
        return Remark(
            Code.IMAGE_TOO_LARGE,
            f"It has {width} x {height} pixels; at most {limits.max_image_side} per side and"
            f" {limits.max_image_pixels} in total are allowed.",
        )
    if min(width, height) < MIN_SIDE:
        return Remark(
            Code.IMAGE_TOO_SMALL,
            f"It has {width} x {height} pixels; Ultralytics needs {MIN_SIDE} or more per side.",
        )
    return None


def _frames(image: Image.Image) -> int:
    return int(getattr(image, "n_frames", 1))


def _refuse_channels(image: Image.Image, channels: int) -> Remark | None:
    """Refuse an image without the required channels.

    Any gray or colour image can be read with 1 or 3 channels. Other numbers must equal the pages
    times the bands of a TIFF.
    """
    if channels in {1, 3}:
        return None
    held = _frames(image) * len(image.getbands())
    if image.format == "TIFF" and held == channels:
        return None
    return Remark(
        Code.IMAGE_CHANNELS,
        f"data.yaml requires a TIFF with {channels} channels; this image has {held}.",
    )


def _decode(content: bytes, channels: int) -> CheckedImage:
    """Load every pixel; a truncated file raises an error here."""
    with Image.open(BytesIO(content), formats=IMAGE_FORMATS) as image:
        frames = _frames(image)
        for frame in range(1 if channels in {1, 3} else frames):
            image.seek(frame)
            image.load()
        width, height = image.size
        if image.getexif().get(ORIENTATION_TAG) in SIDEWAYS:
            width, height = height, width
        remarks = []
        if frames > 1 and channels in {1, 3}:
            remarks.append(Remark(Code.IMAGE_FRAMES, f"The first of {frames} frames is used."))
        if image.format == "JPEG" and not content.endswith(JPEG_END):
            content = _restored_jpeg(content)
            remarks.append(
                Remark(
                    Code.JPEG_RESTORED, "It had no end marker; it was re-encoded at quality 100."
                )
            )
    return CheckedImage(content, width, height, tuple(remarks))


def _restored_jpeg(content: bytes) -> bytes:
    """Re-encode a JPEG as Ultralytics does: upright, quality 100, no chroma subsampling."""
    restored = BytesIO()
    with Image.open(BytesIO(content), formats=("JPEG",)) as image:
        ImageOps.exif_transpose(image).save(restored, "JPEG", subsampling=0, quality=100)
    return restored.getvalue()
