"""Find the image in the archive that an annotation file names, and the split that a name gives."""

import posixpath
import re
from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from app.datasets.reports.report import Split
from app.datasets.verification.matching import SPLIT_OF_FOLDER, PathIndex, folded, parts_of
from app.datasets.verification.tree import Tree

WORD: Final = re.compile(r"[^\W\d_]+")
SPLIT_FOLDER: Final = re.compile(r"^([a-z]+?)[\W_]*(?:images?|imgs?|annotations?)?[\W_]*\d*$")
UPLOAD_PREFIX: Final = re.compile(r"^[0-9a-f]{8}-")
"""Label Studio puts eight hex digits before the name of an uploaded file."""


class ImageFinder:
    """Finds images by the names in annotation files."""

    def __init__(self, tree: Tree) -> None:
        self._paths = tree.images_below("")
        self._exact = frozenset(self._paths)
        self._index = PathIndex(self._paths, tree.root)

    @property
    def is_empty(self) -> bool:
        """Whether the archive has no image at all."""
        return not self._paths

    def find(self, name: str, near: str, split: Split | None) -> str | None:
        """Return the image that is meant, or None if there is not exactly one.

        Args:
            name: the path, name or URL of the image as the annotation file gives it.
            near: the folder of the annotation file, which is preferred.
            split: the split of the annotation file; its folders are preferred.
        """
        for spelling in _spellings(name):
            found = self._one_of(self._by_path(spelling, near), split)
            if found is not None:
                return found
        path = "/".join(parts_of(name))
        for stem in (posixpath.splitext(path)[0], path):
            found = self._one_of(self._by_stem(stem), split)
            if found is not None:
                return found
        return None

    def find_first(self, names: Iterable[str], near: str, split: Split | None) -> str | None:
        """Return the image of the first name that `find` finds, or None."""
        found = (self.find(name, near, split) for name in names)
        return next((path for path in found if path is not None), None)

    def _by_path(self, name: str, near: str) -> list[str]:
        path = "/".join(parts_of(name))
        for folder in (near, posixpath.dirname(near), ""):
            exact = posixpath.join(folder, path)
            if exact in self._exact:
                return [exact]
        return self._index.find(name, near)

    def _one_of(self, paths: list[str], split: Split | None) -> str | None:
        """Return the only path; an image in the folder of another split has only the same name."""
        if split is not None and split in self._splits:
            of_split = [path for path in paths if split_of_path(path) == split]
            paths = of_split or [path for path in paths if split_of_path(path) is None]
        return paths[0] if len(paths) == 1 else None

    @cached_property
    def _splits(self) -> set[Split | None]:
        return {split_of_path(path) for path in self._paths}

    def _by_stem(self, stem: str) -> list[str]:
        return [self._path_of_stem[found] for found in self._stems.find(stem)]

    @cached_property
    def _path_of_stem(self) -> dict[str, str]:
        """The image of each path without suffix that no other image has."""
        paths: dict[str, str] = {}
        repeated = set()
        for path in self._paths:
            stem = posixpath.splitext(path)[0]
            if stem in paths:
                repeated.add(stem)
            paths[stem] = path
        return {stem: path for stem, path in paths.items() if stem not in repeated}

    @cached_property
    def _stems(self) -> PathIndex:
        return PathIndex(self._path_of_stem)


def _spellings(name: str) -> list[str]:
    """Return the name as written, then as the path in a URL, then without Label Studio's prefix."""
    spellings = [name]
    if "?" in name or "%" in name or "://" in name:
        try:
            url = urlsplit(name)
            local = parse_qs(url.query).get("d", [""])[0]
        except ValueError:  # an address such as http://[
            return spellings
        spellings += [unquote(local or url.path)]
    last = spellings[-1]
    folder, slash, file = last.replace("\\", "/").rpartition("/")
    if UPLOAD_PREFIX.match(file):
        spellings.append(f"{folder}{slash}{UPLOAD_PREFIX.sub('', file)}")
    return spellings


def split_of_path(path: str) -> Split | None:
    """Return the split that a folder of `path` names, as in `train2017/`; the last one counts."""
    return _split_of_folders(path.rpartition("/")[0])


@lru_cache(maxsize=1024)
def _split_of_folders(folders: str) -> Split | None:
    for folder in reversed(folders.split("/")):
        named = SPLIT_FOLDER.match(folder.casefold())
        found = SPLIT_OF_FOLDER.get(folded(folder)) or (
            SPLIT_OF_FOLDER.get(folded(named[1])) if named else None
        )
        if found is not None:
            return found
    return None


def split_of_file(path: str) -> Split | None:
    """Return the split of an annotation file: by a word of its name, or by its folder."""
    words = WORD.findall(path.rpartition("/")[2].casefold())
    named = {SPLIT_OF_FOLDER[folded(word)] for word in words if folded(word) in SPLIT_OF_FOLDER}
    return named.pop() if len(named) == 1 else split_of_path(path)


def pack_names(paths: Iterable[str]) -> dict[str, str]:
    """Return the preferred name in the pack of each image: without folders of splits and images."""
    return {path: _without_usual_folders(path) for path in paths}


def _without_usual_folders(path: str) -> str:
    *folders, name = path.split("/")
    kept = [
        folder
        for folder in folders
        if folded(folder) != "images" and split_of_path(f"{folder}/") is None
    ]
    return "/".join([*kept, name])
