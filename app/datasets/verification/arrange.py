"""Arrange the images of a source in the pack: the path of each image and of its target.

All packs have one layout: `images/<split>/…` beside `labels`, `masks` or `depth`, or
`<split>/<class>/…` for classification.
"""

from collections import defaultdict
from collections.abc import Sequence

from app.datasets.archives.findings import Findings
from app.datasets.archives.report import SPLITS, Split
from app.datasets.verification.source import Source, SourceImage
from app.datasets.verification.tree import Sample, place, suffix


def arrange(source: Source, findings: Findings) -> dict[Split, list[Sample]]:
    """Return the samples of each split in training order."""
    arranged: dict[Split, list[Sample]] = {}
    for split in SPLITS:
        images = source.images.get(split)
        if images and source.task == "classify":
            arranged[split] = _classified(split, images, findings)
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
            )
        )
    return samples


def _classified(split: Split, images: Sequence[SourceImage], findings: Findings) -> list[Sample]:
    by_class: dict[str, list[tuple[str, str]]] = defaultdict(list)
    labels = {image.image: image.label for image in images}
    for image in images:
        name, _, below = image.name.partition("/")
        by_class[name].append((image.image, below))
    return [
        Sample(path, f"{split}/{name}/{below}", label=labels[path])
        for name in sorted(by_class)
        for path, below in place(split, by_class[name], findings)
    ]
