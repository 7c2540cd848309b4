"""Arrange the images of a source in the pack: the path of each image and of its target.

All packs have one layout: `images/<split>/…` beside `labels`, `masks` or `depth`, or
`<split>/<class>/…` for classification.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from app.core.plain_text import is_plain
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings, shown
from app.datasets.reports.report import SPLITS, Split
from app.datasets.verification.source import Source, SourceImage
from app.datasets.verification.tree import MAX_PART_BYTES, Sample, place, suffix


def sort_classes(source: Source, findings: Findings) -> None:
    """Sort the classes of a classification dataset by name, as Ultralytics sorts their folders.

    A class that cannot be the name of a folder is an error.
    """
    for name in source.names:
        if not _is_folder(name):
            text = (
                f"A class is the name of a folder, printable and of at most {MAX_PART_BYTES} bytes;"
                f" rename {shown(name)}."
            )
            findings.add(Code.CLASS_NAME_INVALID, text)
    order = sorted(range(len(source.names)), key=lambda number: source.names[number])
    numbers = {old: new for new, old in enumerate(order)}
    source.names = [source.names[number] for number in order]
    source.images = {
        split: [
            replace(image, label=None if image.label is None else numbers[image.label])
            for image in images
        ]
        for split, images in source.images.items()
    }


def _is_folder(name: str) -> bool:
    is_word = is_plain(name) and not {"/", "\\"}.intersection(name)
    return is_word and name not in {".", ".."} and len(name.encode()) <= MAX_PART_BYTES


def arrange(source: Source, findings: Findings) -> dict[Split, list[Sample]]:
    """Return the samples of each split in training order."""
    arranged: dict[Split, list[Sample]] = {}
    for split in SPLITS:
        images = source.images.get(split)
        if images and source.task == "classify":
            arranged[split] = _classified(split, images, source.names, findings)
        elif images:
            arranged[split] = _paired(split, images, _pack_folder(source), findings)
    return arranged


def _pack_folder(source: Source) -> str:
    if source.task == "depth":
        return "depth"
    return "masks" if source.has_masks else "labels"


def _paired(
    split: Split, images: Sequence[SourceImage], folder: str, findings: Findings
) -> list[Sample]:
    by_image = {image.image: image for image in images}
    samples = []
    entries = sorted((image.image, image.name) for image in images)
    for path, name in place(split, entries, findings):
        image = by_image[path]
        ending = ".txt" if image.target is None else suffix(image.target)
        has_target = image.target is not None or image.rows is not None
        target_path = f"{folder}/{split}/{name.rpartition('.')[0]}{ending}" if has_target else None
        samples.append(
            Sample(
                path,
                f"images/{split}/{name}",
                image.target,
                target_path,
                rows=image.rows,
                in_pixels=image.in_pixels,
                fault=image.fault,
            )
        )
    return samples


def _classified(
    split: Split, images: Sequence[SourceImage], names: Sequence[str], findings: Findings
) -> list[Sample]:
    by_class: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for image in images:
        if image.label is not None:
            by_class[image.label].append((image.image, image.name))
    return [
        Sample(path, f"{split}/{names[label]}/{below}", label=label)
        for label in sorted(by_class)
        for path, below in place(split, by_class[label], findings)
    ]
