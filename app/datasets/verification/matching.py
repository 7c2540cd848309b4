"""Find files and folders of the archive by the last parts of a path from another machine.

Paths in a data.yaml, a list of images or an annotation file name folders of the author's machine.
Drives, roots and `..` are left out; the path that shares the most last parts is meant. Letter case
and the usual synonyms of folders (`valid` and `val`, `image` and `images`) do not matter unless
they tell two candidates apart.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

from app.datasets.reports.report import Split

SYNONYMS: Final[dict[str, str]] = {
    name: meant
    for meant, names in {
        "train": ("train", "training", "train_set", "training_set", "trainset"),
        "val": ("val", "valid", "validate", "validation", "valid_set", "val_set", "validation_set"),
        "test": ("test", "testing", "test_set", "testset"),
        "images": ("images", "image", "imgs", "img", "jpegimages"),
        "labels": ("labels", "label"),
    }.items()
    for name in names
}
SPLIT_OF_FOLDER: Final[dict[str, Split]] = {"train": "train", "val": "val", "test": "test"}
DRIVE_OR_VARIABLE: Final = re.compile(r"^[A-Za-z]:|^~|^\$\{[^}]*\}|^\$\w+|^\w+://")
WORDS: Final = re.compile(r"[A-Za-z]+")
MAX_COMPARED: Final = 1000
"""More candidates with the same last parts are not compared."""
NOT_A_NAME: Final = frozenset({"", ".", ".."})


def parts_of(path: str) -> list[str]:
    """Return the parts of a path, without drive, root, variables, `.` and `..`."""
    plain = DRIVE_OR_VARIABLE.sub("", path.strip().replace("\\", "/"))
    return [part for part in plain.split("/") if part not in NOT_A_NAME]


def folded(part: str) -> str:
    """Return the part in lower case; synonyms of the usual folders become one name."""
    lower = part.casefold()
    return SYNONYMS.get(lower, lower)


def split_of_part(part: str) -> Split | None:
    """Return the split that the name of a folder means: `train`, `Testing`, `seg_train`."""
    whole = SPLIT_OF_FOLDER.get(folded(part))
    if whole is not None:
        return whole
    words = {SPLIT_OF_FOLDER.get(folded(word)) for word in WORDS.findall(part)} - {None}
    return words.pop() if len(words) == 1 else None


def split_of(path: str) -> Split | None:
    """Return the split that a folder of `path` names; the last such folder counts."""
    for part in reversed(path.split("/")[:-1]):
        found = split_of_part(part)
        if found is not None:
            return found
    return None


class PathIndex:
    """Finds paths by their last parts, in time that grows with the logarithm of their number."""

    def __init__(self, paths: Iterable[str], root: str = "") -> None:
        """Index `paths`; `root` is the folder around all of them, which a path may name too."""
        self._around = parts_of(root)
        self._paths = set(paths)
        self._backwards = sorted(
            (_backwards([*self._around, *p.split("/")]), p) for p in self._paths
        )

    def find(self, value: str, near: str = "") -> list[str]:
        """Return the paths that share the most last parts with `value`.

        Of equal candidates, exact letters decide, then `near`: the path that shares the
        most first parts with that folder is meant. Several are returned if they stay equal.
        """
        wanted = parts_of(value)
        if not wanted:
            return []
        beside = "/".join([*filter(None, [near]), *wanted])
        if beside in self._paths:
            return [beside]
        candidates = self._sharing_most(_backwards(wanted))
        if len(candidates) <= 1 or len(candidates) > MAX_COMPARED:
            return candidates[:MAX_COMPARED]
        scores = {path: self._score(path, wanted, near) for path in candidates}
        best = max(scores.values())
        return [path for path in candidates if scores[path] == best]

    def _sharing_most(self, wanted: Sequence[str]) -> list[str]:
        """Return the paths that share the most last parts with `wanted`, which is backwards."""
        at = bisect_left(self._backwards, (list(wanted), ""))
        beside = self._backwards[max(0, at - 1) : at + 1]
        most = max((_shared_start(parts, wanted) for parts, _ in beside), default=0)
        if not most:
            return []
        shared = list(wanted[:most])
        first = bisect_left(self._backwards, (shared, ""))
        last = bisect_left(self._backwards, ([*shared[:-1], shared[-1] + "\x00"], ""))
        return sorted(path for _, path in self._backwards[first:last])

    def _score(self, path: str, wanted: Sequence[str], near: str) -> tuple[int, int]:
        held = [*self._around, *path.split("/")]
        return _shared_end(held, wanted), _shared_start(path.split("/"), near.split("/"))


def _backwards(parts: Sequence[str]) -> list[str]:
    return [folded(part) for part in reversed(parts)]


def _shared_end(held: Sequence[str], wanted: Sequence[str]) -> int:
    count = 0
    for one, other in zip(reversed(held), reversed(wanted), strict=False):
        if one != other:
            break
        count += 1
    return count


def _shared_start(held: Sequence[str], wanted: Sequence[str]) -> int:
    count = 0
    for one, other in zip(held, wanted, strict=False):
        if one != other:
            break
        count += 1
    return count
