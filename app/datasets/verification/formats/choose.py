"""Choose the format of an archive: the first that recognises its files reads them."""

from collections.abc import Callable, Sequence
from typing import Final

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import shown
from app.datasets.verification.dataset_yaml import DatasetFields
from app.datasets.verification.formats.classify import read_classes
from app.datasets.verification.formats.darknet import choose_description
from app.datasets.verification.formats.json_formats import (
    coco,
    createml,
    label_studio,
    labelme,
    ndjson,
    supervisely,
)
from app.datasets.verification.formats.other_formats import (
    colour_masks,
    csv_boxes,
    cvat,
    dota,
    image_folder,
    kitti,
    open_images,
    unread,
    voc,
)
from app.datasets.verification.formats.yolo import has_targets, read_yolo
from app.datasets.verification.formats.yolo_labels import is_label_file
from app.datasets.verification.formats.yolo_yaml import ChosenYaml, choose_yaml
from app.datasets.verification.source import Source, Upload

Recognise = Callable[[Upload], list[str]]
Read = Callable[[Upload, Sequence[str]], Source | None]

FORMATS: Final[tuple[tuple[str, Recognise, Read], ...]] = tuple(
    (each.NAME, each.recognise, each.read)
    for each in (
        coco,
        ndjson,
        createml,
        label_studio,
        labelme,
        supervisely,
        cvat,
        voc,
        image_folder,
        csv_boxes,
        open_images,
        dota,
        kitti,
        colour_masks,
    )
)
"""Formats with annotation files of their own, those that are recognised most surely first."""


def read_source(upload: Upload) -> Source | None:
    """Return what the archive contains, or None with findings that say why it cannot be read."""
    if not upload.tree.files:
        _name_unread(upload)
        return None
    if upload.options.task == "classify":
        return _classes(upload)
    yaml = choose_yaml(upload)
    if yaml is None:
        return None
    if yaml.file is not None and has_targets(upload, yaml.fields):
        return read_yolo(upload, yaml)
    for name, recognise, read in FORMATS:
        files = recognise(upload)
        if files:
            upload.findings.add(
                Code.FORMAT_CONVERTED,
                f"Read as {name}: {len(files)} annotation files, first {shown(files[0])}.",
            )
            return read(upload, files)
    return _without_annotation_files(upload, yaml)


def _without_annotation_files(upload: Upload, yaml: ChosenYaml) -> Source | None:
    """Read label files, masks, depth maps or class folders, or name what the archive is."""
    if yaml.file is not None:
        return read_yolo(upload, yaml)
    if _name_unread(upload):
        return None
    if has_targets(upload, DatasetFields()) or upload.options.task == "depth":
        return read_yolo(upload, choose_description(upload))
    found = read_classes(upload) if upload.options.task is None else None
    if found is not None:
        return found
    if not upload.tree.has_images("") and not any(map(is_label_file, upload.tree.files)):
        unread.report_unknown(upload)
        return None
    return read_yolo(upload, choose_description(upload))


def _name_unread(upload: Upload) -> bool:
    """Report a format that is known and not read, or an empty archive. Return whether it is one."""
    files = unread.recognise(upload)
    if files:
        unread.read(upload, files)
    elif not upload.tree.files:
        text = "The archive contains no images, labels or depth maps."
        upload.findings.add(Code.ARCHIVE_EMPTY, text)
    return bool(files)


def _classes(upload: Upload) -> Source | None:
    """Read classes that a file names, else the class folders, else the tags of CVAT."""
    named = ((ndjson.recognise, ndjson.read), (image_folder.recognise, image_folder.read))
    for recognise, read in named:
        files = recognise(upload)
        if files:
            return read(upload, files)
    found = read_classes(upload)
    tagged = cvat.recognise(upload) if found is None else []
    if tagged:
        return cvat.read(upload, tagged)
    if found is None:
        upload.findings.add(
            Code.LAYOUT_UNKNOWN,
            "A classification dataset has its images in train/<class>/ and val/<class>/.",
        )
    return found
