"""Decide from the names alone which files are read or ignored, and their paths in the pack.

All packs have one layout: `images/<split>/…` beside `labels`, `masks` or `depth`, or
`<split>/<class>/…` for classification.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Final

from app.datasets.archives.audit import Member
from app.datasets.archives.findings import Code, Findings
from app.datasets.archives.report import IgnoredMembers, IgnoreReason, Split
from app.datasets.verification.images import IMAGE_SUFFIXES

YAML_SUFFIXES: Final = frozenset({".yaml", ".yml"})
READ_SUFFIXES: Final = IMAGE_SUFFIXES | YAML_SUFFIXES | {".txt", ".npy"}
SYSTEM_FILES: Final = frozenset({"thumbs.db", "desktop.ini"})
SYSTEM_FOLDERS: Final = frozenset({"__macosx", "@eadir", "$recycle.bin"})
SPLIT_FOLDERS: Final[dict[Split, tuple[str, ...]]] = {
    "train": ("train",),
    "val": ("val", "validation", "valid"),
    "test": ("test",),
}
"""Folder names of each split, in the order that Ultralytics tries (8.4.190, utils.py:904)."""

LAYOUT_FOLDERS: Final = frozenset(
    {"images", "labels", "masks", "depth", "train", "val", "validation", "valid", "test"}
)
MAX_EXAMPLES: Final = 5
MAX_PART_BYTES: Final = 200
MAX_PATH_BYTES: Final = 1000


@dataclass(frozen=True, slots=True)
class Sample:
    """An image and its target: their paths in the archive and in the pack.

    For classification, `target` is None and `label` is the class. Otherwise `label` is None.
    """

    image: str
    image_path: str
    target: str | None = None
    target_path: str | None = None
    label: int | None = None


@dataclass(frozen=True)
class Layout:
    """The samples of each split in training order; for classification also the class folders."""

    samples: dict[Split, list[Sample]]
    class_folders: list[str] | None = None


def suffix(path: str) -> str:
    """Return the lower-case suffix of the file name, with its dot."""
    return PurePosixPath(path).suffix.lower()


@dataclass
class Tree:
    """The files that are read. Their names are relative to the folder around everything, if any."""

    files: dict[str, Member]
    ignored: dict[IgnoreReason, list[str]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self._images = sorted(path for path in self.files if suffix(path) in IMAGE_SUFFIXES)
        self._folders = {
            str(folder) for path in self.files for folder in PurePosixPath(path).parents
        }

    def has_folder(self, folder: str) -> bool:
        """Return whether `folder` contains, at any depth, a file that is read; "" is the root."""
        return (folder or ".") in self._folders

    def images_below(self, folder: str) -> Sequence[str]:
        """Return the images below `folder` in the order in which Ultralytics sorts them."""
        if not folder:
            return self._images
        first = bisect_left(self._images, folder + "/")
        return self._images[first : bisect_left(self._images, folder + "0")]  # "0" follows "/"

    def folders_in(self, folder: str) -> list[str]:
        """Return the names of the folders directly in `folder`, sorted."""
        prefix = f"{folder}/" if folder else ""
        inside = (name[len(prefix) :] for name in self._folders if name.startswith(prefix))
        return sorted(name for name in inside if name not in {"", "."} and "/" not in name)

    def ignore_unused(self, used: Iterable[str | None]) -> None:
        """Record as ignored every file that belongs to no split."""
        rest = self.files.keys() - set(used)
        self.ignored["not-in-a-split"].extend(sorted(rest))

    def ignored_members(self) -> list[IgnoredMembers]:
        """Return the ignored members by reason."""
        return [
            IgnoredMembers(reason=reason, count=len(names), examples=names[:MAX_EXAMPLES])
            for reason, names in sorted(self.ignored.items())
            if names
        ]


def tree_of(members: Iterable[Member]) -> Tree:
    """Divide the members into those that are read and those that are ignored."""
    read: dict[str, Member] = {}
    ignored: dict[IgnoreReason, list[str]] = defaultdict(list)
    for member in members:
        reason = _reason_to_ignore(member.name)
        if reason is None:
            read[member.name] = member
        else:
            ignored[reason].append(member.name)
    root = _wrapping_folder(read)
    files = {name[len(root) :]: member for name, member in read.items() if name.startswith(root)}
    ignored["not-in-a-split"].extend(name for name in read if not name.startswith(root))
    return Tree(files, ignored)


def _reason_to_ignore(name: str) -> IgnoreReason | None:
    parts = name.lower().split("/")
    if SYSTEM_FOLDERS.intersection(parts) or any(part.startswith(".") for part in parts):
        return "system-metadata"
    if parts[-1] in SYSTEM_FILES:
        return "system-metadata"
    if parts[-1].endswith(".cache"):
        return "labels-cache"
    return None if suffix(name) in READ_SUFFIXES else "unread-type"


def _wrapping_folder(names: Iterable[str]) -> str:
    """Return the folders around all files, with a final slash; .txt files outside do not count."""
    folders = [name.split("/")[:-1] for name in names if suffix(name) != ".txt"]
    root: list[str] = []
    while folders:
        first = folders[0][len(root) : len(root) + 1]
        if not first or first[0].lower() in LAYOUT_FOLDERS:
            break
        if any(parts[len(root) : len(root) + 1] != first for parts in folders):
            break
        root += first
    return "".join(f"{part}/" for part in root)


def place(
    split: Split, entries: Sequence[tuple[str, str]], findings: Findings
) -> list[tuple[str, str]]:
    """Choose the path in the pack, below the split's folder, of each image of a split.

    `entries` are (path in the archive, preferred path) in training order. If the preferred paths
    would change that order, collide or be unsafe, numbers replace all of them.
    """
    preferred = [path for _, path in entries]
    stems = [path.rpartition(".")[0] for path in preferred]
    in_order = all(first < second for first, second in pairwise(preferred))
    if in_order and len(set(stems)) == len(stems) and all(map(_is_safe, preferred)):
        return list(entries)
    findings.add(
        Code.NAMES_REPLACED,
        f"The {len(entries)} files of {split} were renamed to numbers in the same order.",
    )
    return [(source, f"{number:07d}{suffix(source)}") for number, (source, _) in enumerate(entries)]


def _is_safe(path: str) -> bool:
    """Return whether every file system can store the name.

    The limits leave room for the suffixes of files that Ultralytics writes beside it.
    """
    return (
        path.isprintable()
        and len(path.encode()) <= MAX_PATH_BYTES
        and all(len(part.encode()) <= MAX_PART_BYTES for part in path.split("/"))
    )
