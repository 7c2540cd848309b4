"""Find the image that an annotation file belongs to, by its name without suffix."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from app.datasets.verification.images import IMAGE_SUFFIXES
from app.datasets.verification.matching import PathIndex
from app.datasets.verification.tree import suffix

WORDS: Final = re.compile(r"image|img|mask|label|annotation|groundtruth|gt|seg", re.IGNORECASE)
NOT_LETTERS: Final = re.compile(r"[\W_]+")


def without_suffix(path: str) -> str:
    """Return the path without the suffix of its file name; a name without one stays."""
    folder, slash, name = path.rpartition("/")
    stem = name.rpartition(".")[0]
    return f"{folder}{slash}{stem or name}"


class StemIndex:
    """Finds images by a path without suffix, as `PathIndex` finds files."""

    def __init__(self, images: Iterable[str], root: str = "") -> None:
        self._images: dict[str, list[str]] = defaultdict(list)
        for image in images:
            self._images[without_suffix(image)].append(image)
        self._stems = PathIndex(self._images, root)
        self._paths = PathIndex((path for held in self._images.values() for path in held), root)

    def pairs(self, files: Mapping[str, str]) -> dict[str, list[str]]:
        """Return the images of each annotation file.

        `files` has the path where the image of a file usually lies, with any suffix. If no image
        is there, the names are compared without the name of the folder and without words like
        `image` and `label`: `image_2/image_01.png`, `label_2/label_01.txt`.
        """
        found = {file: self.beside(usual) for file, usual in files.items()}
        if any(found.values()):
            return found
        by_rest: dict[str, list[str]] = defaultdict(list)
        for held in self._images.values():
            for image in held:
                by_rest[_rest(image)].append(image)
        return {file: by_rest.get(_rest(file), []) for file in files}

    def beside(self, file: str) -> list[str]:
        """Return the images that have the name of an annotation file: `a.xml` or `a.jpg.xml`."""
        stem = without_suffix(file)
        found = self._images.get(stem)
        if found:
            return found
        folder = file.rpartition("/")[0]
        if suffix(stem) in IMAGE_SUFFIXES:
            named = self._paths.find(stem, folder)
            if named:
                return named
        return self.find(stem, folder)

    def find(self, stem: str, near: str = "") -> list[str]:
        """Return the images whose path without suffix ends like `stem`."""
        return [image for found in self._stems.find(stem, near) for image in self._images[found]]

    def find_named(self, path: str, near: str = "") -> list[str]:
        """Return the images that a path of another machine means, with its suffix or another."""
        found = self._paths.find(path, near)
        if found:
            return found
        named = without_suffix(path) if suffix(path) in IMAGE_SUFFIXES else path
        return self.find(named, near)


def _rest(path: str) -> str:
    """Return what tells a file name from the others of its folder."""
    *folders, name = without_suffix(path).casefold().split("/")
    for folder in folders[-1:]:
        name = name.replace(folder, "")
    return NOT_LETTERS.sub("", WORDS.sub("", name))
