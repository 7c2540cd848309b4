"""Apply the options `class_map` and `colours` to what a format read, before anything is counted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Fix, shown
from app.datasets.verification.checks.class_change import ClassChange
from app.datasets.verification.formats.other_formats.colour_tables import ids_of
from app.datasets.verification.formats.other_formats.mask_colours import Colour
from app.datasets.verification.source import Source, SourceImage, Upload

MAX_EXAMPLES: Final = 10

KeypointNames = dict[int, list[str]]


def apply_class_options(source: Source, upload: Upload) -> None:
    """Rename, merge and drop the classes of a source; report an option that does not fit it."""
    options = upload.options
    if options.colours is not None:
        _use_colours(source, upload, options.colours)
    if options.class_map is not None and _fits(source, upload, options.class_map):
        _renumber(source, ClassChange.of(source.names, options.class_map))


def _use_colours(source: Source, upload: Upload, colours: Mapping[str, Colour]) -> None:
    if not source.has_masks:
        text = "`colours` were sent, but the dataset has no masks; leave them out."
        upload.findings.add(Code.OPTION_UNFIT, text, fixes=[{"colours": None}])
        return
    source.names = list(colours)
    source.mask_colours = ids_of(colours.values())
    source.fields = source.fields.model_copy(update={"label_mapping": None})


def _fits(source: Source, upload: Upload, wanted: Mapping[str, str | None]) -> bool:
    """Return whether all names are classes of the dataset and some class is left."""
    known = set() if source.task == "depth" else set(source.names)
    unknown = [name for name in wanted if name not in known]
    left = [name for name in source.names if wanted.get(name, name) is not None]
    if unknown:
        text = (
            f"`class_map` has names that are no classes: {_listed(unknown)}. The classes are:"
            f" {_listed(source.names) if known else 'none'}."
        )
        upload.findings.add(Code.OPTION_UNFIT, text, fixes=[_without(unknown, wanted)])
    elif not left:
        text = "`class_map` drops every class; keep one."
        upload.findings.add(Code.OPTION_UNFIT, text, fixes=[{"class_map": None}])
    return bool(left) and not unknown


def _without(unknown: Sequence[str], wanted: Mapping[str, str | None]) -> Fix:
    left_out = set(unknown)
    kept = {name: new for name, new in wanted.items() if name not in left_out}
    return {"class_map": {**kept} or None}


def _listed(names: Sequence[str]) -> str:
    examples = ", ".join(shown(name) for name in names[:MAX_EXAMPLES])
    more = len(names) - MAX_EXAMPLES
    return f"{examples} and {more} more" if more > 0 else examples


def _renumber(source: Source, change: ClassChange) -> None:
    """Give the source its new classes; label files and masks are changed when they are read."""
    source.names = list(change.names)
    source.class_change = change
    source.images = {
        split: _ordered(source, [_renumbered(image, change) for image in images])
        for split, images in source.images.items()
    }
    source.fields = source.fields.model_copy(
        update={"kpt_names": _keypoint_names(source.fields.kpt_names, change.numbers)}
    )


def _ordered(source: Source, images: Iterable[SourceImage | None]) -> list[SourceImage]:
    """Leave out images without a class; sort those for classification as one folder would be."""
    kept = [image for image in images if image is not None]
    return sorted(kept, key=lambda image: image.name) if source.task == "classify" else kept


def _renumbered(image: SourceImage, change: ClassChange) -> SourceImage | None:
    """Return the image with its new class, or None if its only class is dropped."""
    if image.rows is not None:
        return replace(image, rows=change.rows(image.rows))
    if image.label is None:
        return image
    label = change.numbers[image.label]
    return None if label is None else replace(image, label=label)


def _keypoint_names(
    names: KeypointNames | None, numbers: Sequence[int | None]
) -> KeypointNames | None:
    """Return the names of the keypoints by new class: of merged classes, those of the first."""
    if names is None:
        return None
    kept: KeypointNames = {}
    for old in sorted(names):
        new = numbers[old] if old < len(numbers) else None
        if new is not None:
            kept.setdefault(new, names[old])
    return kept
