"""Lists that name the images of each split: ImageSets/Main/train.txt of VOC and its variants."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from app.datasets.reports.report import Split
from app.datasets.verification.formats.other_formats.plain_text import text_of
from app.datasets.verification.formats.other_formats.stems import StemIndex
from app.datasets.verification.matching import SPLIT_OF_FOLDER, folded
from app.datasets.verification.source import Upload
from app.datasets.verification.tree import suffix

TRAINVAL: Final = "trainval"
UNDIVIDED: Final = frozenset({"default", "all"})
"""Lists of images in no split, as CVAT names them."""

IMAGE_SETS: Final = "imagesets/"
LIST_FOLDERS: Final = ("imagesets", "main", "segmentation", "layout")


@dataclass
class ListedImages:
    """The images of each split, and the lists that name them."""

    images: dict[Split | None, list[str]] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)


def listed_splits(upload: Upload, images: StemIndex) -> ListedImages:
    """Return the images of the lists in ImageSets, or of train.txt and val.txt elsewhere.

    Images of trainval are train, but for those of the list val; if neither train nor val nor test
    is listed, they are in no split.
    """
    by_list: dict[str, list[str]] = defaultdict(list)
    listed = ListedImages()
    for file in _lists(upload):
        found = _images_of(upload, file, images)
        if found:
            listed.files.add(file)
            by_list[_list_name(file)] += found
    listed.images = _divided(by_list)
    return listed


def _lists(upload: Upload) -> list[str]:
    found = sorted(
        path for path in upload.tree.files if suffix(path) == ".txt" and _list_name(path)
    )
    in_sets = [path for path in found if IMAGE_SETS in path.lower()]
    usual = [path for path in in_sets if path.lower().split("/")[-2] in LIST_FOLDERS]
    main = [path for path in usual if "/main/" in f"/{path.lower()}"]
    beside = [path for path in found if _list_name(path) not in UNDIVIDED]
    return main or usual or in_sets or beside


def _list_name(file: str) -> str:
    """Return train, val, test, trainval or default, or "" for another file."""
    stem = file.rpartition("/")[2].rpartition(".")[0].lower()
    if stem == TRAINVAL or stem in UNDIVIDED:
        return stem
    name = folded(stem)
    return name if name in SPLIT_OF_FOLDER else ""


def _images_of(upload: Upload, file: str, images: StemIndex) -> list[str]:
    folders = file.split("/")[:-1]
    while folders and folders[-1].lower() in LIST_FOLDERS:
        folders.pop()
    near = "/".join(folders)
    found = []
    for line in (text_of(upload, file, upload.members.read(file)) or "").splitlines():
        value = line.strip()
        if not value:
            continue
        meant = images.find_named(value, near) or images.find_named(value.split()[0], near)
        found += meant[:1]
    return list(dict.fromkeys(found))


def _divided(by_list: dict[str, list[str]]) -> dict[Split | None, list[str]]:
    divided: dict[Split | None, list[str]] = {
        split: by_list[name] for name, split in SPLIT_OF_FOLDER.items() if by_list.get(name)
    }
    undivided = [path for name in sorted(UNDIVIDED) for path in by_list.get(name, [])]
    both = by_list.get(TRAINVAL, [])
    if "train" in divided and "val" in divided:
        both = []
    if both and divided:
        listed = {path for paths in divided.values() for path in paths}
        rest = [path for path in both if path not in listed]
        missing: Split = "val" if "train" in divided else "train"
        if rest:
            divided[missing] = rest
    elif both or (undivided and not divided):
        divided[None] = both or undivided
    return divided
