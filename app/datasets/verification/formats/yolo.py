"""Datasets with a target file per image, found by the data.yaml or by the usual folder names.

The usual folders are `images/train` beside `labels/train`, or Roboflow's `train/images` beside
`train/labels`. A split path in the data.yaml is looked up below its `path`, then below the
archive's root, then without its leading `../` (Roboflow writes `../train/images` for a folder of
the same archive).
"""

import posixpath
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from app.datasets.archives.audit import DRIVE
from app.datasets.archives.findings import Code, Findings, shown
from app.datasets.archives.report import SPLITS, Split
from app.datasets.verification.dataset_yaml import DatasetFields
from app.datasets.verification.layout import (
    SPLIT_FOLDERS,
    YAML_SUFFIXES,
    Layout,
    Sample,
    Tree,
    place,
    suffix,
)

PREFERRED_YAML: Final = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")


@dataclass(frozen=True)
class Targets:
    """The folder that replaces `images` in a target's path, and the suffixes to try, in order."""

    folder: str
    suffixes: tuple[str, ...]
    pack_folder: str


LABELS: Final = Targets("labels", (".txt",), "labels")
DEPTH: Final = Targets("depth", (".png", ".npy"), "depth")


def mask_targets(fields: DatasetFields) -> Targets:
    """Return the targets of masks: their folder is `masks_dir` of the data.yaml, or `masks`."""
    return Targets(posixpath.normpath(fields.masks_dir or "masks"), (".png",), "masks")


def find_yaml(tree: Tree, findings: Findings) -> str | None:
    """Return the data.yaml at the root: by its name, or the only YAML file there.

    Adds a finding if several files could be meant.
    """
    found = sorted(path for path in tree.files if "/" not in path and suffix(path) in YAML_SUFFIXES)
    for name in PREFERRED_YAML:
        if name in found:
            return name
    if len(found) > 1:
        findings.add(
            Code.YAML_AMBIGUOUS,
            f"Rename one of them to data.yaml: {shown(', '.join(found[:5]))}.",
        )
    return found[0] if len(found) == 1 else None


def plan_yolo(
    tree: Tree, fields: DatasetFields, targets: Targets, findings: Findings
) -> Layout | None:
    """Pair every image of every split with its target. Return None if a split path is wrong."""
    folders = {split: _split_folders(tree, fields, split, findings) for split in SPLITS}
    if findings.has_errors:
        return None
    samples: dict[Split, list[Sample]] = {}
    for split, below in folders.items():
        images = _images_of(tree, below, targets, split, findings)
        if images:
            samples[split] = _pair(tree, split, images, targets, findings)
    _refuse_shared_images(samples, findings)
    return Layout(samples)


def _split_folders(
    tree: Tree, fields: DatasetFields, split: Split, findings: Findings
) -> list[str]:
    given: list[str] | None = getattr(fields, split)
    if given is None:
        return _usual_folders(tree, split)
    found = []
    for value in given:
        folder = _resolve(tree, value, fields.path)
        if isinstance(folder, Wrong):
            code = Code.YAML_PATH
            if split == "test" and folder.is_missing:
                code = Code.SPLIT_FOLDER_MISSING
            findings.add(code, f"{split}: {shown(value)!r} {folder.reason}")
        else:
            found.append(folder)
    return found


def _usual_folders(tree: Tree, split: Split) -> list[str]:
    for name in SPLIT_FOLDERS[split]:
        for folder in (f"images/{name}", f"{name}/images"):
            if tree.has_folder(folder):
                return [folder]
    return []


@dataclass(frozen=True)
class Wrong:
    """The reason why a path in the data.yaml is refused."""

    reason: str
    is_missing: bool = False


def _resolve(tree: Tree, value: str, root: str | None) -> str | Wrong:
    path = value.replace("\\", "/")
    if path.startswith("/") or DRIVE.match(path) or "://" in path:
        return Wrong("must be a folder of the archive, not an absolute path.")
    below_root = posixpath.normpath(posixpath.join((root or ".").replace("\\", "/"), path))
    plain = posixpath.normpath(path)
    stripped = plain
    while stripped.startswith("../"):
        stripped = stripped[3:]
    for candidate in (below_root, plain, stripped):
        folder = "" if candidate == "." else candidate
        if tree.has_folder(folder):
            return folder
        if candidate in tree.files or suffix(candidate) == ".txt":
            return Wrong("is a file; name a folder of images. Lists of images are not read.")
    return Wrong("is not a folder of the archive.", is_missing=True)


def refuse_absolute_root(fields: DatasetFields, file: str, findings: Findings) -> None:
    """Add an error if `path` is absolute, and an info for any other `path`: it is only a hint."""
    if fields.path is None:
        return
    path = fields.path.replace("\\", "/")
    if path.startswith("/") or DRIVE.match(path) or "://" in path:
        findings.add(
            Code.YAML_PATH,
            "Remove `path`: an absolute path has no meaning inside an archive.",
            file=file,
        )
    elif posixpath.normpath(path) != ".":
        findings.add(
            Code.YAML_ROOT_IGNORED,
            f"path {shown(fields.path)!r} is used only if it is a folder of the archive.",
            file=file,
        )


def _images_of(
    tree: Tree, folders: list[str], targets: Targets, split: Split, findings: Findings
) -> list[tuple[str, str]]:
    """Return (image, preferred path) in training order, without targets that are image files."""
    several = len(folders) > 1
    found: dict[str, str] = {}
    for folder in folders:
        below = "" if several or not folder else f"{folder}/"
        for path in tree.images_below(folder):
            if _is_target(path, targets):
                continue
            if path in found:
                findings.add(
                    Code.SPLIT_OVERLAP, f"Two folders of {split} contain this image.", file=path
                )
            found[path] = _without_images_folders(path[len(below) :])
    return sorted(found.items())


def _is_target(path: str, targets: Targets) -> bool:
    """Return whether an image file is a mask or depth map: inside their folder, at any level."""
    if targets.suffixes[0] == ".txt":
        return False
    return f"/{targets.folder}/" in f"/{path}"


def _without_images_folders(path: str) -> str:
    *parents, name = path.split("/")
    return "/".join([*(part for part in parents if part != "images"), name])


def target_stem(image: str, folder: str) -> str:
    """Return the target's path without suffix: the last folder `images` is replaced by `folder`.

    Ultralytics pairs them in the same way (8.4.190, data/utils.py:123). Without such a folder, the
    target is beside the image.
    """
    parts = list(PurePosixPath(image).parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = folder
            break
    return "/".join(parts).rpartition(".")[0]


def _pair(
    tree: Tree,
    split: Split,
    images: list[tuple[str, str]],
    targets: Targets,
    findings: Findings,
) -> list[Sample]:
    samples = []
    for image, path in place(split, images, findings):
        stem = target_stem(image, targets.folder)
        target = next((stem + end for end in targets.suffixes if stem + end in tree.files), None)
        target_path = None
        if target is not None:
            ending = suffix(target)
            target_path = f"{targets.pack_folder}/{split}/{path.rpartition('.')[0]}{ending}"
        samples.append(Sample(image, f"images/{split}/{path}", target, target_path))
    return samples


def _refuse_shared_images(samples: dict[Split, list[Sample]], findings: Findings) -> None:
    seen: dict[str, Split] = {}
    for split, of_split in samples.items():
        for sample in of_split:
            other = seen.setdefault(sample.image, split)
            if other != split:
                findings.add(
                    Code.SPLIT_OVERLAP, f"It is in {other} and in {split}.", file=sample.image
                )


def labels_without_image(tree: Tree, layout: Layout) -> list[str]:
    """Return the label files that no image of a split uses."""
    used = {sample.target for samples in layout.samples.values() for sample in samples}
    return sorted(
        path
        for path in tree.files
        if suffix(path) == ".txt" and "/labels/" in f"/{path}" and path not in used
    )
