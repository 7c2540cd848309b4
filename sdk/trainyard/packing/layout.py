"""What `yolo` would read of a dataset: a data.yaml, a folder with one, or folders of classes.

The rules are those of Ultralytics 8.4.190: data/utils.py, `check_det_dataset` and
`check_cls_dataset`; data/base.py, `get_img_files`.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from trainyard.packing.splits import (
    IMAGE_SUFFIXES,
    LayoutError,
    Split,
    files_below,
    is_image,
    read_split,
    target_of,
)
from trainyard.packing.ultralytics_settings import settings_folder
from trainyard.packing.yaml_keys import Entry, YamlError, entries_of, without

SPLITS: Final = ("train", "val", "test")
REPLACED: Final = ("path", "train", "val", "validation", "test", "minival", "download")
VALIDATION_FOLDERS: Final = ("val", "validation", "valid")
ANNOTATIONS: Final = frozenset(
    ("txt", "json", "jsonl", "ndjson", "xml", "csv", "yaml", "yml", "npy", "names", "data")
)
YAML: Final = "data.yaml"


@dataclass
class Packing:
    """The files of a dataset, by their path in it.

    Args:
        source: what was read.
        files: the files of this machine.
        texts: files that are written for the server, such as the data.yaml with its paths.
        images: number of images by split; empty where the server divides them.
        targets: number of images with a label, mask or depth map.
    """

    source: Path
    files: dict[str, Path] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    targets: int = 0

    def describe(self) -> str:
        """Return one line that says what would be sent."""
        counts = ", ".join(f"{count} {split}" for split, count in self.images.items())
        what = f"images: {counts}" if counts else f"{len(self.files)} files"
        return f"{self.source}: {what}; {self.targets} with labels"


def read_dataset(path: str | Path, task: str | None = None) -> Packing:
    """Return the files of a dataset that a training reads.

    Args:
        path: a data.yaml, a folder with one, or a folder of classes.
        task: of the training; None: as the files say.

    Raises:
        LayoutError: `yolo` could not train on it either; the message says what to change.
    """
    source = Path(path).expanduser()
    if source.is_dir():
        yaml = None if task == "classify" else _yaml_of(source)
        if yaml is not None:
            return _read_yaml(yaml, task)
        return _read_classes(source) if _is_classes(source, task) else _read_all(source)
    if not source.is_file():
        raise LayoutError(f"There is no {source} on this machine.")
    if task == "classify":
        raise LayoutError(f"A classification dataset is a folder of classes, not a file: {source}.")
    return _read_yaml(source, task)


def _yaml_of(folder: Path) -> Path | None:
    for pattern in ("*.yaml", "*.yml"):
        found = sorted(folder.glob(pattern)) or sorted(folder.rglob(pattern))
        if len(found) > 1:
            found = [each for each in found if each.stem == folder.name] or found
        if len(found) > 1:
            names = ", ".join(str(each.relative_to(folder)) for each in found)
            raise LayoutError(f"{folder} has several YAML files: {names}. Name the one you mean.")
        if found:
            return found[0]
    return None


def _read_yaml(yaml: Path, task: str | None) -> Packing:
    text = yaml.read_bytes().decode("utf-8-sig", "surrogateescape")
    try:
        entries = entries_of(text)
        splits = _splits_of(yaml, entries)
        masks = entries["masks_dir"].paths() if "masks_dir" in entries else []
    except YamlError as error:
        raise LayoutError(f"{yaml}, line {error.line}: {error}") from None
    targets = _targets(splits, masks[0] if masks else None, task)
    root = _root_of(splits, targets)
    packing = Packing(yaml, images={each.name: len(each.images) for each in splits})
    for split in splits:
        for image in split.images:
            packing.files[_inside(image, root)] = image
    packing.files |= {_inside(each, root): each for each in targets.values()}
    packing.targets = len(targets)
    kept = without(text, [entry for key, entry in entries.items() if key in REPLACED])
    paths = "".join(_line_of(split, root, packing) for split in splits)
    packing.texts[YAML] = f"{kept}{paths}".encode("utf-8", "surrogateescape")
    return packing


def _splits_of(yaml: Path, entries: dict[str, Entry]) -> list[Split]:
    values = {key: entry.paths() for key, entry in entries.items() if key in REPLACED[:5]}
    values["val"] = values.get("val") or values.pop("validation", [])
    for key in ("train", "val"):
        if not values.get(key):
            raise LayoutError(f"{yaml} has no `{key}`; name the folder of its images.")
    if "names" not in entries and "nc" not in entries:
        raise LayoutError(f"{yaml} has neither `names` nor `nc`; add the names of the classes.")
    base = _base_of(yaml, values.get("path") or [])
    return [read_split(key, values[key], base) for key in SPLITS if values.get(key)]


def _base_of(yaml: Path, path: list[str]) -> Path:
    base = Path(path[0]) if path else yaml.parent
    if base.exists() or base.is_absolute():
        return base
    for folder in (settings_folder("datasets_dir"), yaml.parent):
        if folder is not None and (folder / base).exists():
            return folder / base
    return base


def _targets(splits: list[Split], masks: str | None, task: str | None) -> dict[Path, Path]:
    """Return what `yolo` reads beside the images: label files, else masks, else depth maps."""
    images = [image for split in splits for image in split.images]
    kinds: dict[str | None, list[tuple[str, tuple[str, ...]]]] = {
        "depth": [("depth", (".png", ".npy"))],
        "semantic": [(masks or "masks", (".png",)), ("labels", (".txt",))],
        None: [
            *([(masks, (".png",))] if masks else []),
            *(("labels", (".txt",)), ("masks", (".png",)), ("depth", (".png", ".npy"))),
        ],
    }
    for folder, suffixes in kinds.get(task, [("labels", (".txt",))]):
        found = {image: _existing(image, folder, suffixes) for image in images}
        there = {image: target for image, target in found.items() if target is not None}
        if there:
            return there
    example = target_of(images[0], "labels", ".txt")
    raise LayoutError(
        f"No image has labels where they are looked for. {images[0]} would have them in {example}."
    )


def _existing(image: Path, folder: str, suffixes: tuple[str, ...]) -> Path | None:
    for suffix in suffixes:
        target = target_of(image, folder, suffix)
        if target.is_file():
            return target
    return None


def _root_of(splits: list[Split], targets: dict[Path, Path]) -> Path:
    folders = {str(image.parent) for split in splits for image in split.images}
    folders |= {str(target.parent) for target in targets.values()}
    folders |= {str(folder) for split in splits for folder in split.folders or []}
    try:
        return Path(os.path.commonpath(folders))
    except ValueError:
        raise LayoutError("The dataset lies on several drives; move it to one.") from None


def _inside(path: Path, root: Path) -> str:
    name = path.relative_to(root).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        raise LayoutError(f"The name of {name!r} is not UTF-8; rename the file.") from None
    return name


def _line_of(split: Split, root: Path, packing: Packing) -> str:
    """Return the line of a split in the data.yaml; a list of images becomes a file of its own."""
    if split.folders is not None:
        folders = [_inside(folder, root) for folder in split.folders]
        return f"{split.name}: {json.dumps(folders, ensure_ascii=False)}\n"
    name = f"split-{split.name}.txt"
    lines = "".join(f"{_inside(image, root)}\n" for image in split.images)
    packing.texts[name] = lines.encode("utf-8", "surrogateescape")
    return f"{split.name}: {name}\n"


def _is_classes(folder: Path, task: str | None) -> bool:
    if task == "classify":
        return True
    train = folder / "train"
    top = train if train.is_dir() else folder
    classes = [each for each in sorted(top.iterdir()) if each.is_dir()]
    return bool(classes) and all(_is_class(each) for each in classes)


def _is_class(folder: Path) -> bool:
    names = {each.name for each in folder.iterdir() if not each.name.startswith(".")}
    return bool(names) and folder.name not in {"images", "labels"} and all(map(is_image, names))


def _read_classes(folder: Path) -> Packing:
    packing = Packing(folder)
    parts = {"train": folder / "train"} if (folder / "train").is_dir() else {}
    if parts:
        validation = next((folder / n for n in VALIDATION_FOLDERS if (folder / n).is_dir()), None)
        parts |= {"val": validation} if validation is not None else {}
        parts |= {"test": folder / "test"} if (folder / "test").is_dir() else {}
    for name, part in (parts or {"": folder}).items():
        images = [path for path in files_below(part) if is_image(path.name)]
        packing.files |= {_inside(path, folder): path for path in images}
        if name:
            packing.images[name] = len(images)
    packing.targets = len(packing.files)
    if not packing.files:
        raise LayoutError(f"There is no image in the folders of {folder}.")
    return packing


def _read_all(folder: Path) -> Packing:
    """Return all images and annotations, in any format; the server finds out which it is."""
    packing = Packing(folder)
    for path in files_below(folder):
        if path.suffix[1:].lower() in IMAGE_SUFFIXES | ANNOTATIONS:
            packing.files[_inside(path, folder)] = path
    packing.targets = sum(not is_image(path.name) for path in packing.files.values())
    if not any(is_image(path.name) for path in packing.files.values()):
        raise LayoutError(f"There is no image in {folder}.")
    return packing
