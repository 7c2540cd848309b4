"""Find what the paths of a data.yaml lead to: a folder of images, or a text file that lists them.

A path is looked up below the YAML file's own folder, below `path` and below the archive's root.
Otherwise its last parts are matched (see `matching`), because most authors wrote the paths of their
own machine. The splits that both names contain must agree: `valid/images` is never `train/images`.
"""

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from app.datasets.verification.images import IMAGE_SUFFIXES
from app.datasets.verification.matching import PathIndex, parts_of, split_of
from app.datasets.verification.tree import Tree, suffix

MAX_CANDIDATES_SHOWN: Final = 5
QUOTES: Final = "\"'"


@dataclass(frozen=True)
class ResolvedPath:
    """What a path leads to; `is_matched` if only its last parts are in the archive."""

    path: str
    is_list: bool = False
    is_matched: bool = False


@dataclass(frozen=True)
class UnresolvedPath:
    """A path that leads nowhere, or to several folders."""

    candidates: list[str] = field(default_factory=list)


class YamlPaths:
    """Resolves the paths of one data.yaml."""

    def __init__(self, tree: Tree, yaml: str, root: str | None) -> None:
        self._tree = tree
        self._bases = list(_bases(posixpath.dirname(yaml), root))
        self._near = posixpath.dirname(yaml)
        self._folders = PathIndex(sorted(tree.image_folders()), tree.root)
        lists = (path for path in tree.files if suffix(path) == ".txt")
        self._lists = PathIndex(sorted(lists), tree.root)

    def find(self, value: str) -> ResolvedPath | UnresolvedPath:
        """Return the folder or list that `value` means."""
        for base in self._bases:
            path = posixpath.normpath(posixpath.join(base, value.replace("\\", "/")))
            folder = "" if path == "." else path
            if self._tree.has_images(folder):
                return ResolvedPath(folder)
            if path in self._tree.files and suffix(path) == ".txt":
                return ResolvedPath(path, is_list=True)
        return self._match(value)

    def _match(self, value: str) -> ResolvedPath | UnresolvedPath:
        is_list = suffix(value) == ".txt"
        index = self._lists if is_list else self._folders
        candidates = [
            path for path in index.find(value, self._near) if is_list or _agree(value, path)
        ]
        if len(candidates) == 1:
            return ResolvedPath(candidates[0], is_list=is_list, is_matched=True)
        return UnresolvedPath(candidates[:MAX_CANDIDATES_SHOWN])


def _bases(own: str, root: str | None) -> Iterator[str]:
    plain = (root or "").replace("\\", "/")
    if plain and not posixpath.isabs(plain):
        yield posixpath.join(own, plain)
        yield plain
    yield own
    yield ""


def _agree(value: str, folder: str) -> bool:
    """Return whether both paths name the same split, or one of them names none."""
    wanted = split_of("/".join([*parts_of(value), ""]))
    held = split_of(folder + "/")
    return wanted == held


class ListedImages:
    """Finds the images that lists name, one path a line, on the author's machine."""

    def __init__(self, tree: Tree) -> None:
        self._index = PathIndex(tree.images_below(""), tree.root)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for image in tree.images_below(""):
            self._by_stem[image.rpartition(".")[0]].append(image)
        self._stems = PathIndex(self._by_stem, tree.root)

    def find(self, lines: Iterable[str], file: str) -> tuple[list[str], list[str]]:
        """Return the images of a list in its order, and the lines that name no image."""
        found: dict[str, None] = {}
        missing = []
        for line in lines:
            name = line.strip().strip(QUOTES)
            if not name:
                continue
            candidates = self._named(name, posixpath.dirname(file))
            if len(candidates) == 1:
                found[candidates[0]] = None
            else:
                missing.append(name)
        return list(found), missing

    def _named(self, name: str, near: str) -> list[str]:
        """Return the images with a name, which may lack its suffix as in lists of Pascal VOC."""
        if suffix(name) in IMAGE_SUFFIXES:
            return self._index.find(name, near)
        return [image for stem in self._stems.find(name, near) for image in self._by_stem[stem]]
