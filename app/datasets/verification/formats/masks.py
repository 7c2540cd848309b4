"""Semantic masks: PNG files whose pixel values are class ids; pixels of 255 are ignored."""

from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from app.datasets.archives.findings import Code, Remark, shown
from app.datasets.verification.dataset_yaml import IGNORED_ID
from app.datasets.verification.images import DECODING_ERRORS

ID_MODES: Final = frozenset({"1", "L", "P", "I", "I;16"})
RAW_IDS: Final = 256

Table = npt.NDArray[np.uint8]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class MaskRules:
    """The class of each raw id, as Ultralytics maps them (8.4.190, data/dataset.py:969)."""

    classes: int
    table: Table

    @classmethod
    def of(cls, classes: int, mapping: dict[int, int] | None) -> "MaskRules":
        """Build the table from label_mapping. Ids outside 0-255 are left out: no pixel has them."""
        table = np.arange(RAW_IDS, dtype=np.uint8)
        for raw, mapped in (mapping or {}).items():
            if 0 <= raw < RAW_IDS:
                table[raw] = mapped
        return cls(classes, table)

    @property
    def last_id(self) -> int:
        """The largest class id; with one class, 0 is the background and 1 the foreground."""
        return max(self.classes - 1, 1)


@dataclass(frozen=True)
class CheckedMask:
    """The classes in a valid mask."""

    classes: frozenset[int]


def check_mask(content: bytes, size: tuple[int, int], rules: MaskRules) -> CheckedMask | Remark:
    """Check one mask against `size`, the (width, height) of its image."""
    try:
        with Image.open(BytesIO(content), formats=("PNG",)) as mask:
            if mask.mode not in ID_MODES:
                return Remark(
                    Code.MASK_MODE,
                    f"Its mode is {mask.mode}; class ids need a gray or palette PNG.",
                )
            if mask.size != size:
                return Remark(
                    Code.MASK_SIZE,
                    f"It has {mask.width} x {mask.height} pixels, its image {size[0]} x {size[1]}.",
                )
            mask.load()
            raw = np.unique(_ids(mask)).astype(np.int64)
    except UnidentifiedImageError:
        return Remark(Code.MASK_UNREADABLE, "It is not a PNG.")
    except DECODING_ERRORS as error:
        return Remark(Code.MASK_UNREADABLE, shown(f"It cannot be decoded: {error}."))
    return _judge_ids(raw, rules)


def _ids(mask: Image.Image) -> npt.NDArray[np.generic]:
    """Return the ids as Ultralytics reads them: indices of a colour palette, levels of gray."""
    if mask.mode == "P":
        palette = np.array(mask.getpalette()).reshape(-1, 3)
        is_gray = bool((palette == palette[:, :1]).all())
        return np.asarray(mask.convert("L") if is_gray else mask)
    return np.asarray(mask)


def _judge_ids(raw: Ids, rules: MaskRules) -> CheckedMask | Remark:
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
    ids_held = {int(number) for number in mapped if number != IGNORED_ID}
    if rules.classes == 1:
        return CheckedMask(frozenset({0} if 1 in ids_held else set()))
    return CheckedMask(frozenset(ids_held))
