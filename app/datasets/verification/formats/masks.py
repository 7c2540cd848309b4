"""Semantic masks: PNG files whose pixel values are class ids; pixels of 255 are ignored.

Masks of only 0 and 255 are how other tools write "background" and "foreground". Ultralytics would
ignore all foreground, so if all masks of a dataset are such, 255 is stored as class 1.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Remark, shown
from app.datasets.reports.report import Limits
from app.datasets.verification.checks.decoding import (
    DECODING_ERRORS,
    decode_mask,
    is_gray,
    opened,
)
from app.datasets.verification.dataset_yaml import IGNORED_ID

ONE_BIT: Final = "1"
PALETTE: Final = "P"
GRAY_MODES: Final = frozenset({ONE_BIT, "L", "I", "I;16"})
RAW_IDS: Final = 256
BINARY_IDS: Final = frozenset({0, IGNORED_ID})
MAX_BINARY_CLASSES: Final = 2
BACKGROUND_NAMES: Final = frozenset(
    {"background", "_background_", "bg", "unlabeled", "unlabelled", "void", "ground"}
)

Table = npt.NDArray[np.uint8]
Ids = npt.NDArray[Any]
Size = tuple[int, int]


@dataclass(frozen=True)
class MaskRules:
    """The class of each raw id, as Ultralytics maps them (8.4.190, data/dataset.py:969).

    `may_be_binary`: one class has a background, so that 0 and 255 can mean 0 and 1. `is_binary`:
    they do, because all masks contain nothing else. With `final_ids`, masks are stored with the
    final id of each class id, of `final_classes` classes.
    """

    classes: int
    table: Table
    may_be_binary: bool = False
    is_binary: bool = False
    final_ids: Table | None = None
    final_classes: int = 0

    @classmethod
    def of(cls, names: Sequence[str], mapping: dict[int, int] | None) -> "MaskRules":
        """Build the table from label_mapping. Ids outside 0-255 are left out: no pixel has them."""
        table = np.arange(RAW_IDS, dtype=np.uint8)
        for raw, mapped in (mapping or {}).items():
            if 0 <= raw < RAW_IDS:
                table[raw] = mapped
        foreground = names[-1].strip().lower() if names else ""
        may_be_binary = (
            mapping is None
            and len(names) <= MAX_BINARY_CLASSES
            and foreground not in BACKGROUND_NAMES
        )
        return cls(len(names), table, may_be_binary)

    @property
    def last_id(self) -> int:
        """The largest class id; with one class, 0 is the background and 1 the foreground."""
        return max(self.classes - 1, 1)

    def for_masks(self, masks: Iterable[bytes], limits: Limits) -> "MaskRules":
        """Return the rules for a dataset of these masks; reads on only while all are binary."""
        if not self.may_be_binary:
            return self
        found: set[int] = set()
        for content in masks:
            ids = _read_ids(content, lambda held: held[0] * held[1] <= limits.max_image_pixels)
            if isinstance(ids, np.ndarray):
                found.update(np.unique(ids).tolist())
            if not found <= BINARY_IDS:
                return self
        return replace(self, is_binary=IGNORED_ID in found)


@dataclass(frozen=True)
class CheckedMask:
    """A valid mask and the classes in it."""

    content: bytes
    classes: frozenset[int]


def check_mask(content: bytes, size: Size, rules: MaskRules) -> CheckedMask | Remark:
    """Check one mask against `size`, the (width, height) of its image."""
    ids = _read_ids(content, lambda held: held in {size, size[::-1]})
    if ids is None:
        return Remark(Code.MASK_SIZE, f"Its size is not that of its image, {size[0]} x {size[1]}.")
    if isinstance(ids, Remark):
        return ids
    if (ids.shape[1], ids.shape[0]) != size:
        text = f"It has {ids.shape[1]} x {ids.shape[0]} pixels, its image {size[0]} x {size[1]}."
        return Remark(Code.MASK_SIZE, text)
    if rules.is_binary:
        ids = (ids == IGNORED_ID).astype(np.uint8)
        content = _png_of(ids)
    held = _judge_ids(np.unique(ids).astype(np.int64), rules)
    if isinstance(held, Remark):
        return held
    if rules.final_ids is not None:
        ids = rules.final_ids[rules.table[ids]]
        return CheckedMask(_png_of(ids), _classes_in(np.unique(ids), rules.final_classes))
    return CheckedMask(content, held)


def _read_ids(content: bytes, fits: Callable[[Size], bool]) -> Ids | Remark | None:
    """Return the ids as Ultralytics reads them (data/utils.py:371); None if the size is unfit."""
    try:
        with opened(content, ("PNG",)) as mask:
            if not fits(mask.size):
                return None
            if mask.mode == PALETTE:
                return _palette_ids(mask)
            mode = mask.mode
    except UnidentifiedImageError:
        return Remark(Code.MASK_UNREADABLE, "It is not a PNG.")
    except DECODING_ERRORS as error:
        return Remark(Code.MASK_UNREADABLE, shown(f"It cannot be decoded: {error}."))
    if mode not in GRAY_MODES and not is_gray(content):
        text = f"It has colours (mode {mode}); class ids need a gray or palette PNG."
        return Remark(Code.MASK_MODE, text)
    ids = decode_mask(content)
    if ids is None:
        return Remark(Code.MASK_UNREADABLE, "It cannot be decoded: it is damaged or incomplete.")
    return ids // IGNORED_ID if mode == ONE_BIT else ids


def _palette_ids(mask: Image.Image) -> Ids:
    """Return the indices of a colour palette, or the levels of a gray one."""
    palette = np.array(mask.getpalette()).reshape(-1, 3)
    is_gray_palette = bool((palette == palette[:, :1]).all())
    return np.asarray(mask.convert("L") if is_gray_palette else mask)


def _png_of(ids: Ids) -> bytes:
    stream = BytesIO()
    Image.fromarray(ids).save(stream, "PNG")
    return stream.getvalue()


def _judge_ids(raw: npt.NDArray[np.int64], rules: MaskRules) -> frozenset[int] | Remark:
    beyond = raw[(raw < 0) | (raw >= RAW_IDS)]
    known = raw[(raw >= 0) & (raw < RAW_IDS)]
    mapped = rules.table[known]
    wrong = known[(mapped > rules.last_id) & (mapped != IGNORED_ID)]
    if len(beyond) or len(wrong):
        ids = ", ".join(str(number) for number in [*wrong, *beyond][:8])
        return Remark(
            Code.MASK_IDS,
            f"Ids {ids} are neither classes (0 to {rules.last_id}) nor 255; see label_mapping.",
        )
    return _classes_in(mapped, rules.classes)


def _classes_in(ids: npt.NDArray[np.uint8], classes: int) -> frozenset[int]:
    """Return the classes of ids that a mask holds; of one class, id 0 is the background."""
    held = {int(number) for number in ids if number != IGNORED_ID}
    if classes == 1:
        return frozenset({0} if 1 in held else set())
    return frozenset(held)
