"""Number the classes of COCO JSON files, and derive the fields of keypoints."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings, shown
from app.datasets.verification.dataset_yaml import MAX_CLASSES, MAX_KEYPOINTS, DatasetFields
from app.datasets.verification.formats.json_formats.coco_survey import (
    Category,
    Identity,
    Survey,
)
from app.datasets.verification.formats.json_formats.values import name_fault

SIDES: Final = {"left": "right", "right": "left", "l": "r", "r": "l"}
NAME_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+|[^A-Za-z\d]+")


@dataclass
class Classes:
    """The names of the classes, and the number of each category of each file."""

    names: list[str] = field(default_factory=list)
    numbers: dict[tuple[str, Identity], int] = field(default_factory=dict)
    keypoints: dict[int, tuple[str, ...]] = field(default_factory=dict)


def classes_of(
    surveys: Sequence[Survey], given: Sequence[str] | None, findings: Findings
) -> Classes | None:
    """Number the categories of all files by their ids; equal names of two files are one class.

    `given` are the names of the upload's options, for files without categories.
    """
    if not any(survey.categories for survey in surveys):
        return _classes_as_given(surveys, given, findings)
    places: dict[tuple[str, int], tuple[bool, Identity]] = {}
    held: dict[tuple[str, Identity], tuple[str, int]] = {}
    for survey in surveys:
        seen: dict[str, int] = {}
        for category in _in_order(survey.categories.values()):
            if _is_placeholder(category, surveys):
                continue
            key = (category.name, seen.get(category.name, 0))
            seen[category.name] = key[1] + 1
            place = _place(category)
            places[key] = min(place, places.get(key, place))
            held[survey.file, category.identity] = key
    order = {key: number for number, key in enumerate(sorted(places, key=places.__getitem__))}
    classes = Classes([name for name, _ in order])
    classes.numbers = {found: order[key] for found, key in held.items()}
    for survey in surveys:
        for identity, category in survey.categories.items():
            number = classes.numbers.get((survey.file, identity))
            if number is not None and category.keypoints:
                classes.keypoints.setdefault(number, category.keypoints)
    return classes if _are_good(classes.names, surveys[0].file, findings) else None


def _place(category: Category) -> tuple[bool, Identity]:
    return isinstance(category.identity, str), category.identity


def _in_order(categories: Iterable[Category]) -> list[Category]:
    return sorted(categories, key=_place)


def _is_placeholder(category: Category, surveys: Sequence[Survey]) -> bool:
    """Return whether this is the group that Roboflow lists as category 0 without annotations."""
    if category.identity != 0 or any(survey.used[0] for survey in surveys):
        return False
    return any(
        other.group == category.name and other.identity != 0
        for survey in surveys
        for other in survey.categories.values()
    )


def _classes_as_given(
    surveys: Sequence[Survey], given: Sequence[str] | None, findings: Findings
) -> Classes | None:
    identities = {identity for survey in surveys for identity in survey.used}
    order = sorted(identities, key=lambda identity: (isinstance(identity, str), identity))
    if given is None or len(order) != len(given):
        text = f"It has no categories. Send `names` with the names of its {len(order)} category ids"
        some = ", ".join(str(identity) for identity in order[:10])
        findings.add(
            Code.NAMES_MISSING, shown(f"{text}, in this order: {some}."), file=surveys[0].file
        )
        return None
    numbers = {
        (survey.file, identity): number
        for survey in surveys
        for number, identity in enumerate(order)
    }
    return Classes(list(given), numbers)


def _are_good(names: Sequence[str], file: str, findings: Findings) -> bool:
    fault = name_fault(names)
    if len(names) > MAX_CLASSES:
        fault = f"it has {len(names)} categories; at most {MAX_CLASSES} are allowed"
    if not names:
        fault = "it has no category with annotations"
    if fault is None:
        return True
    findings.add(Code.ANNOTATIONS_INVALID, shown(f"categories: {fault}."), file=file)
    return False


def keypoint_count(classes: Classes, surveys: Sequence[Survey]) -> int:
    """Return the number of keypoints: of the category with the most, else of the annotations."""
    named = max((len(names) for names in classes.keypoints.values()), default=0)
    return named or max(survey.keypoints for survey in surveys)


def keypoint_fields(classes: Classes, count: int) -> DatasetFields | None:
    """Return the fields of a pose dataset, or None if there are none or too many keypoints."""
    if not 1 <= count <= MAX_KEYPOINTS:
        return None
    names = {
        number: list(points)
        for number, points in sorted(classes.keypoints.items())
        if len(points) == count and name_fault(points) is None
    }
    flips = [_flip_idx(points) for points in names.values()]
    same = bool(flips) and all(flip == flips[0] for flip in flips)
    return DatasetFields(
        kpt_shape=(count, 3), kpt_names=names or None, flip_idx=flips[0] if same else None
    )


def _flip_idx(names: Sequence[str]) -> list[int] | None:
    """Return the index of the mirrored keypoint for each, or None if no name has a side."""
    indexes = {name: index for index, name in enumerate(names)}
    mirrored = [_mirrored(name) for name in names]
    if len(indexes) < len(names) or list(names) == mirrored:
        return None
    found = [indexes.get(name) for name in mirrored]
    flips = [index for index in found if index is not None]
    return flips if len(flips) == len(names) else None


def _mirrored(name: str) -> str:
    """Return the name with left and right exchanged, in the same letter case."""
    return "".join(_other_side(word) for word in NAME_WORDS.findall(name))


def _other_side(word: str) -> str:
    other = SIDES.get(word.lower())
    if other is None:
        return word
    if word.isupper() and len(word) > 1:
        return other.upper()
    return other.capitalize() if word[0].isupper() else other
