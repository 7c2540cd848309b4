"""Classification datasets: the folder of an image is its class.

Class folders lie in folders that are named like splits (`train`, `Training`, `seg_train`), or
directly at the root. The classes are the folders of train, sorted, as in Ultralytics.
"""

from collections import Counter, defaultdict
from typing import Final

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import shown
from app.datasets.reports.report import USUAL_SHARES, Split
from app.datasets.verification.matching import folded, split_of_part
from app.datasets.verification.source import Source, SourceImage, Upload
from app.datasets.verification.tree import Tree

NAME: Final = "class folders"
NO_CLASSES: Final = frozenset({"images", "labels"})

ByClass = dict[str, list[tuple[str, str]]]
"""By class, the images with their paths below the class folder."""


def read_classes(upload: Upload) -> Source | None:
    """Read a classification dataset. Return None, without a finding, if there are no classes."""
    divided = _divided(upload.tree)
    classes = _classes_of(upload, divided)
    if all(folded(name) in NO_CLASSES or split_of_part(name) for name in classes):
        return None
    _compare_names(upload, classes)
    numbers = {name: number for number, name in enumerate(classes)}
    in_any_case = _in_any_case(classes)
    images: dict[Split | None, list[SourceImage]] = {}
    for split, by_class in divided.items():
        found = images.setdefault(split, [])
        for name in sorted(by_class):
            number = numbers.get(name, in_any_case.get(name.casefold()))
            if number is None:
                _note_unknown(upload, split, name, by_class[name])
                continue
            found.extend(SourceImage(path, below, label=number) for path, below in by_class[name])
    return Source(NAME, "classify", classes, images)


def _in_any_case(classes: list[str]) -> dict[str, int]:
    """Return the numbers of the classes whose names differ from all others in more than case."""
    held = Counter(name.casefold() for name in classes)
    return {
        name.casefold(): number for number, name in enumerate(classes) if held[name.casefold()] == 1
    }


def _divided(tree: Tree) -> dict[Split | None, ByClass]:
    """Return the images below split folders by class; without such folders, those at the root.

    A folder that is named like a split and has no class folders is itself a class, such as `train`
    beside `bus`.
    """
    divided: dict[Split | None, ByClass] = defaultdict(lambda: defaultdict(list))
    for folder in _split_folders(tree):
        split = split_of_part(folder.rpartition("/")[2])
        _collect(tree, _holding_classes(tree, folder), divided[split])
    found = {split: by_class for split, by_class in divided.items() if by_class}
    if not found:
        _collect(tree, _holding_classes(tree, ""), divided[None])
        found = {None: divided[None]}
    return found


def _split_folders(tree: Tree) -> list[str]:
    """Return the folders that are named like a split and lie in no other such folder."""
    found: list[str] = []
    for folder in sorted(tree.image_folders()):
        parents = folder.split("/")[:-1]
        is_split = split_of_part(folder.rpartition("/")[2]) is not None
        if is_split and not any(split_of_part(part) for part in parents):
            found.append(folder)
    return found


def _holding_classes(tree: Tree, folder: str) -> str:
    """Return the folder that has the class folders: `folder`, or its only folder if that has them.

    `seg_train/seg_train/street/1.jpg` has one more folder inside.
    """
    while True:
        inside = [
            name for name in tree.folders_in(folder) if tree.has_images(_joined(folder, name))
        ]
        if len(inside) != 1 or _direct_images(tree, folder):
            return folder
        only = _joined(folder, inside[0])
        if _direct_images(tree, only) or not tree.folders_in(only):
            return folder
        folder = only


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _direct_images(tree: Tree, folder: str) -> bool:
    prefix = f"{folder}/" if folder else ""
    return any("/" not in path[len(prefix) :] for path in tree.images_below(folder))


def _collect(tree: Tree, folder: str, by_class: ByClass) -> None:
    prefix = f"{folder}/" if folder else ""
    for path in tree.images_below(folder):
        name, slash, below = path[len(prefix) :].partition("/")
        if slash:
            by_class[name].append((path, below))
    for path in tree.empty_folders:
        name = path.removeprefix(prefix)
        if path.startswith(prefix) and "/" not in name and by_class:
            by_class.setdefault(name, [])


def _classes_of(upload: Upload, divided: dict[Split | None, ByClass]) -> list[str]:
    """Return the classes of train; of all splits if they are divided again or there is no train."""
    first = divided.get("train") or divided.get(None)
    if first is None or upload.options.splits is not None:
        every = [by_class.items() for by_class in divided.values()]
        first = {}
        for items in every:
            for name, images in items:
                first.setdefault(name, []).extend(images)
    empty = sorted(name for name, images in first.items() if not images)
    if len(empty) == len(first):
        return []
    if empty:
        text = f"Empty class folders count as classes: {shown(', '.join(empty[:20]))}."
        upload.findings.add(Code.CLASS_ABSENT, text)
    return sorted(first)


def _compare_names(upload: Upload, classes: list[str]) -> None:
    """Refuse names that were sent and are not those of the folders, which training reads."""
    names = upload.options.names
    if names is not None and sorted(names) != classes:
        text = (
            "The classes are the folders; rename these with `class_map`, and leave out `names`:"
            f" {', '.join(classes[:20])}."
        )
        upload.findings.add(Code.NAMES_MISFIT, shown(text), fixes=[{"names": None}])


def _note_unknown(
    upload: Upload, split: Split | None, name: str, images: list[tuple[str, str]]
) -> None:
    if images:
        folder = images[0][0].removesuffix(images[0][1]).rstrip("/")
        text = (
            f"train has no class {shown(name)!r}; its {len(images)} images of {split} are left out."
        )
        fixes = [{"splits": USUAL_SHARES}]
        upload.findings.add(Code.CLASS_UNKNOWN, text, file=folder, fixes=fixes)
