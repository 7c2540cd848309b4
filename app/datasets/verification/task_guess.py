"""Infer the task of a dataset from its folders, its data.yaml and the columns of its labels."""

from collections.abc import Iterable
from itertools import islice
from typing import Final

from app.core.tasks import TASKS, Task
from app.datasets.archives.findings import Code
from app.datasets.verification.dataset_yaml import DatasetFields
from app.datasets.verification.formats.yolo import DEPTH, mask_targets
from app.datasets.verification.labels import BOX_COLUMNS, MIN_POLYGON_COLUMNS, OBB_COLUMNS
from app.datasets.verification.layout import SPLIT_FOLDERS, Tree, suffix
from app.datasets.verification.members import MemberReader

MAX_LABEL_FILES: Final = 500
YOLO_FOLDERS: Final = ("images", "labels")
PREFIX_BYTES: Final = 64 * 1024


def guess_task(tree: Tree, fields: DatasetFields, members: MemberReader) -> Task | None:
    """Return the task, or add a finding that requests it and return None if it is ambiguous."""
    task = _by_folders(tree, fields) or _by_columns(tree, members)
    if task is None:
        members.findings.add(
            Code.TASK_NEEDED,
            f"The files do not determine the task; send `task`: one of {', '.join(TASKS)}.",
        )
    return task


def _by_folders(tree: Tree, fields: DatasetFields) -> Task | None:
    if fields.kpt_shape is not None:
        return "pose"
    masks = mask_targets(fields).folder
    if _has(tree, DEPTH.folder, frozenset({".png", ".npy"})):
        return "depth"
    if _has(tree, masks, frozenset({".png"})):
        return "semantic"
    has_layout = any(name in path.split("/")[:-1] for path in tree.files for name in YOLO_FOLDERS)
    train = SPLIT_FOLDERS["train"][0]
    if not has_layout and tree.images_below(train):
        return "classify"
    return None


def _has(tree: Tree, folder: str, suffixes: frozenset[str]) -> bool:
    return any(f"/{folder}/" in f"/{path}" and suffix(path) in suffixes for path in tree.files)


def _by_columns(tree: Tree, members: MemberReader) -> Task | None:
    """Infer detect from five columns and segment from polygons.

    If all rows have nine columns, they may be segments or oriented boxes.
    """
    columns = set(_columns(_label_files(tree), members))
    if columns == {BOX_COLUMNS}:
        return "detect"
    are_polygons = all(count >= MIN_POLYGON_COLUMNS and count % 2 for count in columns)
    if columns and are_polygons and columns != {OBB_COLUMNS}:
        return "segment"
    return None


def _label_files(tree: Tree) -> Iterable[str]:
    return (
        path for path in sorted(tree.files) if "/labels/" in f"/{path}" and suffix(path) == ".txt"
    )


def _columns(paths: Iterable[str], members: MemberReader) -> Iterable[int]:
    for path in islice(paths, MAX_LABEL_FILES):
        content = members.read_labels(path) or b""
        for line in content[:PREFIX_BYTES].splitlines()[:100]:
            if line.strip():
                yield len(line.split())
