"""Datasets with a target file per image: labels, masks or depth maps, found by a data.yaml or not.

The usual folders are `images/train` beside `labels/train`, or Roboflow's `train/images` beside
`train/labels`.
"""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from app.datasets.archives.inner import ARCHIVE_SUFFIXES
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import shown
from app.datasets.reports.report import Split
from app.datasets.verification.dataset_yaml import DatasetFields
from app.datasets.verification.formats.class_names import is_name_file, name_files, read_names
from app.datasets.verification.formats.yolo_labels import LabelFinder, target_stem
from app.datasets.verification.formats.yolo_splits import Divided, YoloSplits
from app.datasets.verification.formats.yolo_yaml import ChosenYaml
from app.datasets.verification.source import YOLO, Source, SourceImage, Upload
from app.datasets.verification.task_guess import guess_task
from app.datasets.verification.tree import ANNOTATION_SUFFIXES, Tree, suffix

MAX_NAMED: Final = 5


@dataclass(frozen=True)
class Targets:
    """The folder that replaces `images` in a target's path, and the suffixes to try, in order."""

    folder: str
    suffixes: tuple[str, ...]
    pack_folder: str

    def are_in(self, tree: Tree) -> bool:
        """Return whether the archive has such a target."""
        return any(
            f"/{self.folder}/" in f"/{path}" and suffix(path) in self.suffixes
            for path in tree.files
        )


LABELS: Final = Targets("labels", (".txt",), "labels")
DEPTH: Final = Targets("depth", (".png", ".npy"), "depth")


def mask_targets(fields: DatasetFields) -> Targets:
    """Return the targets of masks: their folder is `masks_dir` of the data.yaml, or `masks`."""
    return Targets(posixpath.normpath(fields.masks_dir or "masks"), (".png",), "masks")


def has_targets(upload: Upload, fields: DatasetFields) -> bool:
    """Return whether the archive has labels, masks or depth maps in YOLO's places."""
    tree = upload.tree
    if DEPTH.are_in(tree) or mask_targets(fields).are_in(tree) or LABELS.are_in(tree):
        return True
    return LabelFinder(tree).has_labels(tree.images_below(""))


def read_yolo(upload: Upload, yaml: ChosenYaml) -> Source | None:
    """Read a dataset with a target file per image; without a data.yaml, by its folders."""
    targets = _targets(upload, yaml.fields)
    finder = LabelFinder(upload.tree)

    def is_target(path: str) -> bool:
        return targets is not LABELS and f"/{targets.folder}/" in f"/{path}"

    def is_labelled(images: Sequence[str]) -> bool:
        return targets is not LABELS or finder.has_labels(images)

    divided = YoloSplits(upload, yaml, is_target, is_labelled).divide()
    if divided is None or not _has_images(upload, divided):
        return None
    found = _targets_of(upload, divided, targets, finder)
    read = {yaml.file} if yaml.file is not None else set()
    source = _source(upload, yaml.fields, targets, sorted(set(found.values())), read)
    if source is None:
        return None
    source.images = {
        split: [SourceImage(image, name, found.get(image)) for image, name in images.items()]
        for split, images in divided.items()
    }
    return source


def _targets(upload: Upload, fields: DatasetFields) -> Targets:
    task, masks = upload.options.task, mask_targets(fields)
    if task == "depth" or (task is None and DEPTH.are_in(upload.tree)):
        return DEPTH
    if task in {None, "semantic"} and fields.kpt_shape is None and masks.are_in(upload.tree):
        return masks
    return LABELS


def _has_images(upload: Upload, divided: Divided) -> bool:
    if any(divided.values()):
        return True
    archives = [
        path
        for path in upload.tree.ignored["unread-type"]
        if PurePosixPath(path).suffix.lower() in ARCHIVE_SUFFIXES
    ]
    if archives:
        text = (
            f"The images are not in the upload, but {len(archives)} archives are:"
            f" {shown(', '.join(archives[:MAX_NAMED]))}. Unpack them, and send all files in one"
            " archive."
        )
        upload.findings.add(Code.IMAGES_MISSING, text, file=archives[0])
        return False
    labels = sum(suffix(path) == ".txt" for path in upload.tree.files)
    upload.findings.add(
        Code.IMAGES_MISSING,
        f"The archive has {labels} text files, but no image of the dataset. Export it with its"
        " images: in CVAT with `Save images`, in Label Studio as `YOLO with images`.",
    )
    return False


def _targets_of(
    upload: Upload, divided: Divided, targets: Targets, finder: LabelFinder
) -> dict[str, str]:
    images = sorted({image for of_split in divided.values() for image in of_split})
    if targets is LABELS:
        return finder.labels_of(images, upload.findings)
    found = {}
    for image in images:
        stem = target_stem(image, targets.folder)
        files = upload.tree.files
        target = next((stem + end for end in targets.suffixes if stem + end in files), None)
        if target is not None:
            found[image] = target
    return found


def _source(
    upload: Upload, fields: DatasetFields, targets: Targets, found: Sequence[str], read: set[str]
) -> Source | None:
    if targets is DEPTH:
        return Source(YOLO, "depth", ["depth"], {}, fields, read=read)
    if targets is LABELS and not found:
        _note_no_labels(upload, fields)
        return None
    names = _names(upload, fields, read)
    task = upload.options.task if targets is LABELS else "semantic"
    if task is None:
        task = guess_task(found, fields, upload.members)
    if names is None or task is None:
        return None
    if task == "pose" and fields.kpt_shape is None:
        upload.findings.add(
            Code.KPT_SHAPE_MISSING, "Add kpt_shape: [keypoints, 2 or 3] to the data.yaml."
        )
        return None
    return Source(YOLO, task, names, {}, fields, targets is not LABELS, read)


def _note_no_labels(upload: Upload, fields: DatasetFields) -> None:
    """Say that no image has a label, and what could have been meant instead."""
    folders = {image.split("/")[-2] for image in upload.tree.images_below("") if "/" in image}
    if fields.names is not None and folders == set(fields.names):
        text = (
            "No image has a label file, and the folders of the images have the names of the"
            " classes. To train a classifier, send `task` with the value classify."
        )
        upload.findings.add(Code.TASK_NEEDED, text, fixes=[{"task": "classify"}])
        return
    text = (
        "No image has a label file. Labels are text files with the names of their images, in"
        " `labels/` beside `images/`, or annotations in one of the formats of the docs."
    )
    tables = sorted(path for path in upload.tree.files if suffix(path) in ANNOTATION_SUFFIXES)
    if tables:
        named = ", ".join(tables[:MAX_NAMED])
        more = f" and {len(tables) - MAX_NAMED} more" if len(tables) > MAX_NAMED else ""
        text += f" These files are in none of them: {shown(named)}{more}."
    file = tables[0] if tables else None
    upload.findings.add(Code.ANNOTATIONS_MISSING, text, file=file)


def _names(upload: Upload, fields: DatasetFields, read: set[str]) -> list[str] | None:
    """Return the class names: as sent, as in the data.yaml, or as in a file of names."""
    if upload.options.colours is not None:
        return list(upload.options.colours)
    if upload.options.names is not None:
        return list(upload.options.names)
    if fields.names is not None:
        return fields.names
    files = name_files(upload)
    before = upload.findings.has_errors
    named = read_names(upload, files)
    if named is not None and fields.nc in {None, len(named[0])}:
        read.add(named[1])
        return named[0]
    if fields.nc is not None:
        return fields.class_names
    if upload.findings.has_errors == before:
        text = "Send `names`, or add a data.yaml with names or a classes.txt to the archive."
        upload.findings.add(Code.NAMES_MISSING, f"There are no class names. {shown(text)}")
    return None


def labels_without_image(tree: Tree, images: dict[Split | None, list[SourceImage]]) -> list[str]:
    """Return the label files that no image uses."""
    used = {image.target for of_split in images.values() for image in of_split}
    return sorted(
        path
        for path in tree.files
        if suffix(path) == ".txt"
        and "/labels/" in f"/{path}"
        and path not in used
        and not is_name_file(path)
    )
