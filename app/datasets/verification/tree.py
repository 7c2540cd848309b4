"""Decide from the names alone which files are read or ignored, and their paths in the pack.

All packs have one layout: `images/<split>/…` beside `labels`, `masks` or `depth`, or
`<split>/<class>/…` for classification.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from app.core import plain_text
from app.core.plain_text import is_plain
from app.datasets.archives.audit import Archive, Member
from app.datasets.archives.names import is_system_file
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings
from app.datasets.reports.report import IgnoredMembers, IgnoreReason, Split
from app.datasets.verification.images import IMAGE_SUFFIXES

YAML_SUFFIXES: Final = frozenset({".yaml", ".yml"})
ANNOTATION_SUFFIXES: Final = frozenset(
    {".json", ".jsonl", ".ndjson", ".xml", ".csv", ".tsv", ".names", ".data", ".labels"}
)
READ_SUFFIXES: Final = IMAGE_SUFFIXES | YAML_SUFFIXES | ANNOTATION_SUFFIXES | {".txt", ".npy"}
DESCRIBING_TEXTS: Final = frozenset(
    {"classes.txt", "predefined_classes.txt", "train.txt", "val.txt", "valid.txt", "test.txt"}
)
SPLIT_FOLDERS: Final[dict[Split, tuple[str, ...]]] = {
    "train": ("train",),
    "val": ("val", "validation", "valid"),
    "test": ("test",),
}
"""Folder names of each split, in the order that Ultralytics tries (8.4.190, utils.py:904)."""

LAYOUT_FOLDERS: Final = frozenset(
    {"images", "labels", "masks", "depth", "train", "val", "validation", "valid", "test"}
)
WRITTEN_SUFFIXES: Final = (".cache", ".npy")
"""Of files that Ultralytics writes (8.4.190, data/dataset.py:306, data/base.py:174)."""

MAX_EXAMPLES: Final = 5
MAX_PART_BYTES: Final = 200
MAX_PATH_BYTES: Final = 1000


@dataclass(frozen=True, slots=True)
class Sample:
    """An image and its target: their paths in the archive and in the pack.

    For classification, `target` is None and `label` is the class. Otherwise `label` is None. `rows`
    are label rows that were converted from another format, and then `target` is None; if they are
    `in_pixels`, they are divided by the size of the image when it is checked. With a `fault`, it is
    dropped without a check.
    """

    image: str
    image_path: str
    target: str | None = None
    target_path: str | None = None
    label: int | None = None
    rows: bytes | None = None
    in_pixels: bool = False
    fault: Code | None = None


def suffix(path: str) -> str:
    """Return the lower-case suffix of the file name, with its dot."""
    name = path[path.rfind("/") + 1 :]
    dot = name.rfind(".")
    return name[dot:].lower() if 0 < dot < len(name) - 1 else ""


def is_yaml(path: str) -> bool:
    """Return whether the name is that of a YAML file; an editor may have added `.txt` to it."""
    return suffix(path.lower().removesuffix(".txt")) in YAML_SUFFIXES


@dataclass
class Tree:
    """The files that are read. Their names are relative to the folder around everything, if any.

    `root` is that folder, with a final slash, or "".
    """

    files: dict[str, Member]
    root: str = ""
    empty_folders: list[str] = field(default_factory=list)
    ignored: dict[IgnoreReason, list[str]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self._images = sorted(path for path in self.files if suffix(path) in IMAGE_SUFFIXES)
        self._folders = _folders_of(self.files)
        self._image_folders = _folders_of(self._images)

    def size_of(self, paths: Iterable[str]) -> int:
        """Return the sum of the sizes of files, in bytes; a path that is not read counts 0."""
        members = (self.files.get(path) for path in paths)
        return sum(member.size_bytes for member in members if member is not None)

    def has_folder(self, folder: str) -> bool:
        """Return whether `folder` contains, at any depth, a file that is read; "" is the root."""
        return not folder or folder in self._folders

    def has_images(self, folder: str) -> bool:
        """Return whether `folder` contains an image at any depth; "" is the root."""
        return bool(self.images_below(folder))

    def image_folders(self) -> set[str]:
        """Return every folder that contains an image at any depth, without the root."""
        return self._image_folders

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
        return sorted(name for name in inside if name and "/" not in name)

    def ignore_unused(self, used: Iterable[str | None]) -> None:
        """Record as ignored every file that belongs to no split."""
        for path in sorted(self.files.keys() - set(used)):
            is_annotation = suffix(path) in ANNOTATION_SUFFIXES
            self.ignored["unread-type" if is_annotation else "not-in-a-split"].append(path)

    def ignored_members(self) -> list[IgnoredMembers]:
        """Return the ignored members by reason; what people cannot see in names is escaped."""
        return [
            IgnoredMembers(
                reason=reason,
                count=len(names),
                examples=[*map(plain_text.shown, names[:MAX_EXAMPLES])],
            )
            for reason, names in sorted(self.ignored.items())
            if names
        ]


def _folders_of(paths: Iterable[str]) -> set[str]:
    """Return the folders around the paths, without the root."""
    folders: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return folders


def tree_of(members: Sequence[Member], folders: Iterable[str] = ()) -> Tree:
    """Divide the members into those that are read and those that are ignored.

    `folders` are those that the archive lists, with files or without.
    """
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
    filled = _folders_of(member.name for member in members)
    empty = [
        folder[len(root) :]
        for folder in sorted(set(folders) - filled)
        if folder.startswith(root) and _reason_to_ignore(f"{folder}/x.txt") is None
    ]
    return Tree(files, root, empty, ignored)


def without_wrapping_folder(archive: Archive) -> Archive:
    """Return the archive without the folder around all its files; files beside it are left out."""
    names = [member.name for member in archive.members if _reason_to_ignore(member.name) is None]
    root = _wrapping_folder(names)
    members = tuple(
        replace(member, name=member.name[len(root) :])
        for member in archive.members
        if member.name.startswith(root)
    )
    return replace(archive, members=members, folders=())


def _reason_to_ignore(name: str) -> IgnoreReason | None:
    if is_system_file(name):
        return "system-metadata"
    if name.lower().endswith(".cache"):
        return "labels-cache"
    return None if suffix(name) in READ_SUFFIXES else "unread-type"


def _wrapping_folder(names: Iterable[str]) -> str:
    """Return the folders around all files, with a final slash.

    Text files directly in one of these folders do not count, unless they describe the dataset.
    """
    folders: list[list[str]] = []
    texts: list[list[str]] = []
    for name in names:
        is_text = suffix(name) == ".txt" and name.rpartition("/")[2].lower() not in DESCRIBING_TEXTS
        (texts if is_text else folders).append(name.split("/")[:-1])
    root = _shared_folders(folders)
    folders += [parts for parts in texts if parts != root[: len(parts)]]
    return "".join(f"{part}/" for part in _shared_folders(folders))


def _shared_folders(folders: Sequence[Sequence[str]]) -> list[str]:
    root: list[str] = []
    while folders:
        first = folders[0][len(root) : len(root) + 1]
        if not first or first[0].lower() in LAYOUT_FOLDERS:
            break
        if any(parts[len(root) : len(root) + 1] != first for parts in folders):
            break
        root += first
    return root


def place(
    split: Split, entries: Sequence[tuple[str, str]], findings: Findings
) -> list[tuple[str, str]]:
    """Choose the path in the pack, below the split's folder, of each image of a split.

    `entries` are (path in the archive, preferred path) in training order. If the preferred paths
    would change that order, collide with each other or with files that Ultralytics writes, or be
    unsafe, numbers replace all of them.
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
    """Return whether every file system can store the name, and Ultralytics can write beside it.

    The limits leave room for the suffixes of files that Ultralytics writes. A folder must not have
    the name of one of them: `train.cache` beside `train`, `a.npy` beside `a.jpg`.
    """
    folders = path.lower().split("/")[:-1]
    return (
        path.isprintable()
        and is_plain(path)
        and not any(folder.endswith(WRITTEN_SUFFIXES) for folder in folders)
        and len(path.encode()) <= MAX_PATH_BYTES
        and all(len(part.encode()) <= MAX_PART_BYTES for part in path.split("/"))
    )
