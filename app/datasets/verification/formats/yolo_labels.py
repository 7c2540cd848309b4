"""Find the label file of each image.

As in Ultralytics, the last folder `images` of an image's path is replaced by `labels`, and without
such a folder the label lies beside its image (8.4.190, data/utils.py:123). Where no image of a
folder has a label there, the labels of the whole folder are looked for: beside the images, in a
folder with another case or the usual other names, and at last in the folder whose files have the
same names.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Final

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings, shown
from app.datasets.verification.matching import folded, split_of
from app.datasets.verification.tree import Tree, suffix

LABEL_SUFFIX: Final = ".txt"
MAX_FOLDERS_OF_A_NAME: Final = 100
"""A name that is in more folders of labels does not tell which of them is meant."""
MIN_SHARE_OF_NAMES: Final = 0.5
"""A folder has the labels of a folder of images if it has as many of their names as this."""


def target_stem(image: str, folder: str) -> str:
    """Return the path of an image's target without suffix: `folder` replaces the last `images`.

    Without such a folder, the target is beside the image.
    """
    parts = list(PurePosixPath(image).parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = folder
            break
    return stem_of("/".join(parts))


def stem_of(path: str) -> str:
    """Return the path without the suffix of its file name."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{name.rpartition('.')[0] or name}"


def is_label_file(path: str) -> bool:
    """Return whether the file may have label rows."""
    return suffix(path) == LABEL_SUFFIX


class LabelFinder:
    """Finds the label files of images, folder by folder."""

    def __init__(self, tree: Tree) -> None:
        self._files = {stem_of(path): path for path in sorted(tree.files) if is_label_file(path)}
        self._by_folded = {_folded_path(stem): path for stem, path in self._files.items()}
        self._by_folder: dict[str, dict[str, str]] = defaultdict(dict)
        self._folders_with: dict[str, list[str]] = defaultdict(list)
        for stem, path in self._files.items():
            folder, _, name = stem.rpartition("/")
            self._by_folder[folder][name] = path
            self._folders_with[name].append(folder)

    def labels_of(self, images: Sequence[str], findings: Findings) -> dict[str, str]:
        """Return the label file of each image that has one."""
        by_folder: dict[str, list[str]] = defaultdict(list)
        for image in images:
            by_folder[image.rpartition("/")[0]].append(image)
        found: dict[str, str] = {}
        for folder, of_folder in by_folder.items():
            found |= self._labels_of_folder(folder, of_folder, findings)
        return found

    def has_labels(self, images: Iterable[str]) -> bool:
        """Return whether any image has a label file where Ultralytics looks, or beside it."""
        return any(
            target_stem(image, "labels") in self._files or stem_of(image) in self._files
            for image in images
        )

    def _labels_of_folder(
        self, folder: str, images: Sequence[str], findings: Findings
    ) -> dict[str, str]:
        usual = _present(
            images, {image: target_stem(image, "labels") for image in images}, self._files
        )
        if usual:
            self._note_unused(images, usual, findings)
            return usual
        beside = _present(images, {image: stem_of(image) for image in images}, self._files)
        if beside:
            return beside
        wanted = {image: _folded_path(target_stem(image, "labels")) for image in images}
        elsewhere = _present(images, wanted, self._by_folded) or self._by_names(folder, images)
        if elsewhere:
            at = next(iter(elsewhere.values())).rpartition("/")[0]
            text = f"The labels of {shown(folder) or 'the root'} were found in {shown(at)}."
            findings.add(Code.LABELS_ELSEWHERE, text)
        return elsewhere

    def _by_names(self, folder: str, images: Sequence[str]) -> dict[str, str]:
        """Return the labels of the one folder whose files have the names of the images."""
        names = {image: stem_of(image).rpartition("/")[2] for image in images}
        held: Counter[str] = Counter()
        for name in set(names.values()):
            folders = self._folders_with[name]
            if len(folders) <= MAX_FOLDERS_OF_A_NAME:
                held.update(folders)
        split = split_of(f"{folder}/")
        most = max(held.values(), default=0)
        best = [
            at
            for at, count in held.items()
            if count == most and split_of(f"{at}/") in {split, None}
        ]
        if len(best) != 1 or most < MIN_SHARE_OF_NAMES * len(images):
            return {}
        labels = self._by_folder[best[0]]
        return {image: labels[name] for image, name in names.items() if name in labels}

    def _note_unused(
        self, images: Sequence[str], usual: dict[str, str], findings: Findings
    ) -> None:
        for image in images:
            beside = self._files.get(stem_of(image))
            if image not in usual and beside is not None:
                at = target_stem(image, "labels").rpartition("/")[0]
                text = (
                    f"It is not used: the labels of this folder are in {shown(at)}. Move it there."
                )
                findings.add(Code.LABEL_NOT_USED, text, file=beside)


def _present(images: Sequence[str], stems: dict[str, str], files: dict[str, str]) -> dict[str, str]:
    return {image: files[stems[image]] for image in images if stems[image] in files}


def _folded_path(stem: str) -> str:
    *folders, name = stem.split("/")
    return "/".join([*(folded(part) for part in folders), name.casefold()])
