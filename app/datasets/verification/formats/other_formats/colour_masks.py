"""Semantic masks without a data.yaml: a PNG for each image, in a folder or with a name of its own.

The folders are `masks` beside `images`, `SegmentationClass` beside `JPEGImages`, `trainannot`
beside `train` and the like; Roboflow puts `NAME_mask.png` beside the image. Classes come from a
file that names colours or pixel values, or from `names` or `colours` of the upload.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Remark, shown
from app.datasets.reports.report import Split
from app.datasets.verification.dataset_yaml import IGNORED_ID, DatasetFields
from app.datasets.verification.formats.other_formats.annotated import pack_name
from app.datasets.verification.formats.other_formats.colour_tables import (
    ColourTable,
    colour_tables,
)
from app.datasets.verification.formats.other_formats.image_lists import IMAGE_SETS, listed_splits
from app.datasets.verification.formats.other_formats.mask_colours import Colour, values_of
from app.datasets.verification.formats.other_formats.stems import StemIndex, without_suffix
from app.datasets.verification.matching import folded, split_of
from app.datasets.verification.source import Source, SourceImage, Upload
from app.datasets.verification.tree import suffix

NAME: Final = "semantic masks"
MASK_FOLDER: Final = re.compile(
    r"^(?P<before>.*?)[ _-]?"
    r"(masks?|annot|gt|ground[ _-]?truth|segmentationclass|(?P<weak>annotations?|labels?))$",
    re.IGNORECASE,
)
MASK_NAME: Final = re.compile(r"[_-](masks?|label|gt|l|seg|segmentation)$", re.IGNORECASE)
OBJECTS: Final = "segmentationobject/"
"""The folder of masks whose colours are objects, not classes."""

LOSSY: Final = frozenset({".jpg", ".jpeg", ".webp"})
BINARY: Final = ["background", "foreground"]
MAX_SAMPLED: Final = 64
MAX_LOOKED_AT: Final = 4
MAX_VALUES: Final = 256
MIN_PAIRED: Final = 0.5


def recognise(upload: Upload) -> list[str]:
    """Return the masks of the archive if most of them belong to an image."""
    if upload.options.task not in {None, "semantic"}:
        return []
    masks = [path for path in upload.tree.images_below("") if _is_mask(path)]
    pairs = {mask: images[0] for mask, images in _pairs(upload, masks).items() if len(images) == 1}
    if not pairs or len(set(pairs.values())) < MIN_PAIRED * len(masks):
        return []
    return masks if _hold_classes(upload, pairs) else []


def _hold_classes(upload: Upload, pairs: dict[str, str]) -> bool:
    """Return whether masks have few values; classes of faces with masks are photos.

    Of lossy files this cannot be told; their images must be in the usual folder.
    """
    masks = sorted(pairs)
    for mask in masks[:: max(1, len(masks) // MAX_LOOKED_AT)]:
        if suffix(mask) in LOSSY:
            wanted, held = _image_path(mask).split("/")[:-1], pairs[mask].split("/")[:-1]
            if [folded(part) for part in wanted] != [folded(part) for part in held]:
                return False
            continue
        content = upload.members.read(mask)
        values = None if content is None else values_of(content, upload.members.limits)
        if isinstance(values, set) and len(values) > MAX_VALUES:
            return False
    return True


def _is_mask(path: str) -> bool:
    """Return whether the folders or the name of an image say that it is a mask.

    Folders of annotations or labels hold masks only if these are PNG files.
    """
    is_png = suffix(path) == ".png"
    for folder in path.split("/")[:-1]:
        found = MASK_FOLDER.match(folder)
        if found is not None and (is_png or not found["weak"]):
            return True
    return is_png and without_suffix(path).lower().endswith(("_mask", "-mask"))


def _pairs(upload: Upload, masks: Sequence[str]) -> dict[str, list[str]]:
    """Return the images of each mask: those of its name, in the folder that belongs to its own."""
    held = set(masks)
    images = [path for path in upload.tree.images_below("") if path not in held]
    images = [path for path in images if OBJECTS not in path.lower()]
    usual = {mask: _image_path(mask) for mask in masks}
    return StemIndex(images, upload.tree.root).pairs(usual)


def _image_path(mask: str) -> str:
    """Return where the image of a mask lies usually."""
    *folders, name = mask.split("/")
    stem = name.rpartition(".")[0]
    found = [_image_folder(folder) for folder in folders]
    return "/".join([*found, f"{MASK_NAME.sub('', stem)}.png"])


def _image_folder(folder: str) -> str:
    found = MASK_FOLDER.match(folder)
    return folder if found is None else found["before"] or "images"


def read(upload: Upload, files: Sequence[str]) -> Source | None:
    """Read the masks and the names of their classes."""
    if all(suffix(path) in LOSSY for path in files):
        text = (
            f"Masks as {suffix(files[0])[1:].upper()} are not read: their compression changes the"
            " ids at the borders. Save the masks as PNG."
        )
        upload.findings.add(Code.FORMAT_UNREAD, text, file=files[0])
        return None
    targets = {
        images[0]: mask for mask, images in _pairs(upload, files).items() if len(images) == 1
    }
    source = _as_sent(upload) or _with_table(upload) or _by_values(upload, sorted(targets.values()))
    if source is None:
        return None
    source.images = {
        split: [SourceImage(image, pack_name(image), targets.get(image)) for image in images]
        for split, images in _divided(upload, targets, files).items()
    }
    return source


def _divided(
    upload: Upload, targets: dict[str, str], masks: Sequence[str]
) -> dict[Split | None, list[str]]:
    """Return the images of the folders that have images with masks, by split."""
    if any(IMAGE_SETS in path.lower() for path in upload.tree.files):
        listed = listed_splits(upload, StemIndex(targets, upload.tree.root))
        if listed.images:
            return listed.images
    folders = {image.rpartition("/")[0] for image in targets}
    held = set(masks)
    divided: dict[Split | None, list[str]] = {}
    for image in upload.tree.images_below(""):
        if image not in held and image.rpartition("/")[0] in folders:
            divided.setdefault(split_of(image), []).append(image)
    return divided


def _as_sent(upload: Upload) -> Source | None:
    """Return a source with the classes of the option `colours`, if it was sent."""
    colours = upload.options.colours
    if colours is None:
        return None
    return Source(NAME, "semantic", list(colours), {}, has_masks=True)


def _with_table(upload: Upload) -> Source | None:
    """Return a source with the classes of the files that name colours or values, if any."""
    tables = colour_tables(upload)
    if not tables:
        return None
    table = tables[0]
    differing = [each.file for each in tables if _key(each) != _key(table)]
    if differing:
        text = f"It names other classes than {shown(table.file)}; use one list for all splits."
        upload.findings.add(Code.ANNOTATIONS_INVALID, text, file=differing[0])
        return None
    names = list(upload.options.names or table.names)
    mapping = {value: number for value, number in table.values.items() if value != number}
    source = Source(NAME, "semantic", names, {}, _mapped(mapping), has_masks=True)
    source.mask_colours = table.colours or None
    source.read = {each.file for each in tables}
    return source


def _mapped(mapping: dict[int, int]) -> DatasetFields:
    """Return the fields of a data.yaml with the class of each pixel value."""
    written = {str(value): str(number) for value, number in mapping.items()}
    return DatasetFields.model_validate({"label_mapping": written} if written else {})


def _key(table: ColourTable) -> tuple[object, ...]:
    return tuple(table.names), tuple(table.colours.items()), tuple(table.values.items())


def _by_values(upload: Upload, masks: Sequence[str]) -> Source | None:
    """Return a source for masks whose values nothing in the archive names."""
    ids: set[int] = set()
    colours: set[Colour] = set()
    for path in masks[:: max(1, len(masks) // MAX_SAMPLED)]:
        content = upload.members.read(path)
        values = None if content is None else values_of(content, upload.members.limits)
        if values is None or isinstance(values, Remark):
            continue
        for value in values:
            if isinstance(value, int):
                ids.add(value)
            else:
                colours.add(value)
    if colours:
        _ask_for_colours(upload, colours, masks[0])
        return None
    return _by_ids(upload, ids, masks[0])


def _by_ids(upload: Upload, ids: set[int], example: str) -> Source | None:
    names = upload.options.names
    is_binary = ids <= {0, 1} or ids == {0, IGNORED_ID}
    if names is None and is_binary and _is_called_mask(example):
        names = list(BINARY)
        text = (
            f"The masks have the ids {_listed(ids)}, and nothing names them: they were called"
            f" {' and '.join(BINARY)}. Send `names` to call them otherwise."
        )
        upload.findings.add(Code.NAMES_MADE, text)
    if names is None:
        count = max(ids - {IGNORED_ID}, default=0) + 1
        text = (
            f"The masks ({shown(example)}) have the ids {_listed(ids)}, and nothing names them."
            f" Send `names` with {count} names, in the order of the ids from 0."
        )
        upload.findings.add(Code.NAMES_MISSING, text)
        return None
    return Source(NAME, "semantic", list(names), {}, has_masks=True)


def _is_called_mask(path: str) -> bool:
    return any(folded(part).startswith("mask") for part in path.split("/")[:-1])


def _listed(ids: Iterable[int]) -> str:
    ordered = sorted(ids)
    shown_ids = ", ".join(map(str, ordered[:20]))
    return shown_ids if len(ordered) <= 20 else f"{shown_ids}, …"  # noqa: PLR2004 -- as above


def _ask_for_colours(upload: Upload, colours: set[Colour], example: str) -> None:
    listed = "; ".join("{}, {}, {}".format(*colour) for colour in sorted(colours)[:8])
    text = (
        f"The masks have {len(colours)} colours ({listed}), and nothing names them. Send `colours`"
        " with the name of each, or add a labelmap.txt with lines `name:red,green,blue::`."
    )
    upload.findings.add(Code.NAMES_MISSING, text, file=example)
