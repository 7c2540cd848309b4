"""The images of a split, and their labels, masks or depth maps, where `yolo` looks for them."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trainyard.errors import TrainyardError

IMAGE_SUFFIXES: Final = frozenset(
    (
        *("avif", "bmp", "dng", "heic", "heif", "jp2", "jpeg"),
        *("jpg", "mpo", "png", "tif", "tiff", "webp"),
    )
)
NAMED: Final = 3


class LayoutError(TrainyardError):
    """A dataset cannot be sent as it is; nothing was sent."""


@dataclass(frozen=True)
class Split:
    """The images of one split.

    Args:
        name: `train`, `val` or `test`.
        images: absolute paths, sorted as Ultralytics sorts them.
        folders: the folders that they come from; None if a list of images names them.
    """

    name: str
    images: list[Path]
    folders: list[Path] | None


def read_split(name: str, values: Sequence[str], base: Path) -> Split:
    """Return the images of a split.

    Args:
        name: of the split.
        values: folders or lists of images, as the data.yaml has them.
        base: the folder that they are relative to.

    Raises:
        LayoutError: one of them does not exist, or there is no image.
    """
    places = [_place(name, value, base) for value in values]
    images = sorted({image for place in places for image in _images_of(name, place)}, key=str)
    if not images:
        raise LayoutError(f"{name}: there is no image in {', '.join(map(str, places))}.")
    has_lists = any(place.is_file() for place in places)
    return Split(name, images, None if has_lists else places)


def _place(name: str, value: str, base: Path) -> Path:
    path = (base / value).resolve()
    if not path.exists() and value.startswith("../"):
        path = (base / value[3:]).resolve()
    if not path.exists():
        raise LayoutError(
            f"{name}: {value} leads to {path}, which does not exist. Correct `{name}` or `path` in"
            " the data.yaml."
        )
    return path


def _images_of(name: str, place: Path) -> Iterator[Path]:
    if place.is_dir():
        yield from (path for path in files_below(place) if is_image(path.name))
        return
    if is_image(place.name):
        yield place
        return
    text = place.read_text(encoding="utf-8-sig", errors="surrogateescape")
    lines = [line for line in text.strip().splitlines() if is_image(line)]
    missing = []
    for line in lines:
        path = _listed(line, place.parent)
        if path is None:
            missing.append(line)
        else:
            yield path
    if missing:
        shown = ", ".join(missing[:NAMED]) + (", …" if len(missing) > NAMED else "")
        raise LayoutError(f"{name}: {len(missing)} images of {place} do not exist: {shown}")


def _listed(line: str, folder: Path) -> Path | None:
    """Return the image of a line: `./` is beside the list, other paths as the shell sees them."""
    first = folder / line[2:] if line.startswith("./") else Path(line)
    for path in (first, folder / line):
        if path.is_file():
            return Path(os.path.normpath(path.absolute()))
    return None


def is_image(name: str) -> bool:
    """Return whether Ultralytics reads a file of this name as an image."""
    return name.rpartition(".")[2].lower() in IMAGE_SUFFIXES


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, also behind links, without hidden files and folders."""
    seen: set[str] = set()
    for current, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(current)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        yield from (Path(current, each) for each in sorted(files) if not each.startswith("."))


def target_of(image: Path, folder: str, suffix: str) -> Path:
    """Return where the label, mask or depth map of an image is.

    Args:
        image: its path.
        folder: takes the place of the last folder `images` in the path, if there is one.
        suffix: takes the place of the image's.
    """
    separated = f"{os.sep}{folder}{os.sep}".join(str(image).rsplit(f"{os.sep}images{os.sep}", 1))
    return Path(separated.rsplit(".", 1)[0] + suffix)
