"""Decode images with the functions that training uses, so that the verdict is that of training.

The rules are those of Ultralytics 8.4.190: `utils/patches.py:19` for most tasks, with the flags of
`data/base.py:153`, and `data/dataset.py:1305` for classification.
"""

import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from io import BytesIO
from typing import Any, Final

# OpenCV reads this once, when it is loaded. It bounds files whose header Pillow and OpenCV
# understand differently; all other sizes are checked in the header.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**27))

import cv2
import numpy as np
import numpy.typing as npt
from PIL import AvifImagePlugin, Image, ImageOps

# One image at a time is decoded, in a process with a budget of CPU time.
cv2.setNumThreads(1)
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

Pixels = npt.NDArray[Any]

TIFF_SUFFIXES: Final = (".tif", ".tiff")
PILLOW_SUFFIXES: Final = (".avif", ".heic", ".heif")
FLAGS: Final = {1: cv2.IMREAD_GRAYSCALE, 3: cv2.IMREAD_COLOR}
STDERR: Final = 2
COLOUR_AXES: Final = 3
_IS_QUIET: Final = ContextVar("is_quiet", default=False)

DECODING_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
    cv2.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What decoders raise for broken files; the types differ between decoders.

A MemoryError is that of a parser which a header asks for too much.
"""


@contextmanager
def opened(content: bytes, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """Open an image with Pillow, which reads its header. A bomb is an error, nothing is a warning.

    Raises:
        UnidentifiedImageError: the content is in none of the formats.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(BytesIO(content), formats=formats) as image:
            yield image


def decode(content: bytes, suffix: str, channels: int) -> Pixels | None:
    """Return the pixels as training reads them, (height, width, channels), or None.

    Args:
        content: the file.
        suffix: its lower-case suffix, which some formats depend on.
        channels: the `channels` of the data.yaml.
    """
    flags = FLAGS.get(channels, cv2.IMREAD_UNCHANGED)
    pixels = None
    with quiet_stderr():
        if flags != cv2.IMREAD_GRAYSCALE and suffix in TIFF_SUFFIXES:
            pixels = _decode_tiff(content, flags)
        if pixels is None and suffix in PILLOW_SUFFIXES:
            pixels = _decode_with_pillow(content, flags)
        if pixels is None:
            pixels = _imdecode(content, flags)
    if pixels is None:
        return None
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    return pixels[..., None] if pixels.ndim < COLOUR_AXES else pixels


def decode_for_classes(content: bytes, suffix: str) -> Pixels | None:
    """Return the pixels of an image of a classification dataset, or None."""
    if suffix in PILLOW_SUFFIXES:
        return decode(content, suffix, 3)
    with quiet_stderr():
        return _imdecode(content, cv2.IMREAD_COLOR)


def decode_mask(content: bytes) -> Pixels | None:
    """Return the ids of a mask without a palette, (height, width), or None (data/utils.py:371)."""
    with quiet_stderr():
        return _imdecode(content, cv2.IMREAD_ANYDEPTH)


def is_gray(content: bytes) -> bool:
    """Return whether all colour channels of an image are equal."""
    with quiet_stderr():
        pixels = _imdecode(content, cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim < COLOUR_AXES:
        return pixels is not None
    return bool((pixels[..., :1] == pixels[..., 1:3]).all())


def _imdecode(content: bytes, flags: int) -> Pixels | None:
    if not content:
        return None
    try:
        pixels: Pixels | None = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from error
        return None
    return pixels


def _decode_tiff(content: bytes, flags: int) -> Pixels | None:
    """Return the first colour page or the stacked gray pages; None where Ultralytics goes on.

    Of a colour image it decodes all pages and uses the first, so here that one is decoded.
    """
    buffer = np.frombuffer(content, np.uint8)
    try:
        if flags == cv2.IMREAD_COLOR:
            is_read, frames = cv2.imdecodemulti(buffer, cv2.IMREAD_UNCHANGED, range=(0, 1))
        else:
            is_read, frames = cv2.imdecodemulti(buffer, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if not is_read:
        return None
    first: Pixels = frames[0]
    if first.ndim == COLOUR_AXES:
        return first if flags == cv2.IMREAD_UNCHANGED else first[..., :3]
    is_stack = len(frames) > 1 and all(frame.shape == first.shape for frame in frames)
    return np.stack(frames, axis=2) if flags == cv2.IMREAD_UNCHANGED and is_stack else None


def _decode_with_pillow(content: bytes, flags: int) -> Pixels | None:
    try:
        with ImageOps.exif_transpose(Image.open(BytesIO(content))) as image:
            if flags == cv2.IMREAD_GRAYSCALE:
                return np.asarray(image.convert("L"))
            return np.asarray(image.convert("RGB"))[..., ::-1]
    except DECODING_ERRORS:
        return None


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Discard what the C libraries of decoders write to stderr, which is the log of a process.

    Around many images this is done once: inside such a block it changes nothing.
    """
    if _IS_QUIET.get():
        yield
        return
    kept, nowhere = os.dup(STDERR), os.open(os.devnull, os.O_WRONLY)
    token = _IS_QUIET.set(True)
    try:
        os.dup2(nowhere, STDERR)
        yield
    finally:
        _IS_QUIET.reset(token)
        os.dup2(kept, STDERR)
        os.close(kept)
        os.close(nowhere)
