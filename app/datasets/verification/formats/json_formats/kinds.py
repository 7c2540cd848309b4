"""Recognise the kind of a JSON file by the keys at its beginning.

Only the first bytes of a file are inflated. In a folder with a file for each image, a few files
stand for all of them.
"""

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum
from io import BytesIO
from typing import Final

import ijson  # type: ignore[import-untyped]  # it has no types

from app.datasets.verification.formats.json_formats.streams import MAX_DEPTH, UTF8_MARK
from app.datasets.verification.source import Upload

JSON_SUFFIXES: Final = (".json", ".jsonl", ".ndjson")
PREFIX_BYTES: Final = 32 * 1024
MAX_KEYS: Final = 10
FEW_FILES: Final = 40
PROBES: Final = 5
DATASET_LINE: Final = re.compile(rb'^\s*\{[^\n]*"type"\s*:\s*"dataset"')
LABEL_STUDIO_KEY: Final = re.compile(
    r"\.item\.(?:rectangle|polygon|brush|keypoint|ellipse)labels$|^item\.\w+\.item\.original_width$"
)


class Kind(StrEnum):
    """The kinds of JSON that are distinguished."""

    COCO = "COCO JSON"
    CREATEML = "CreateML JSON"
    LABELME = "LabelMe JSON"
    LABEL_STUDIO = "Label Studio JSON"
    NDJSON = "Ultralytics NDJSON"
    SUPERVISELY = "Supervisely JSON"


def kind_of(prefix: bytes) -> Kind | None:
    """Return the kind of the file that begins with these bytes."""
    plain = prefix.removeprefix(UTF8_MARK)
    if DATASET_LINE.match(plain):
        return Kind.NDJSON
    keys = keys_of(plain)
    if {"images.item.file_name", "annotations.item.image_id"} & keys or keys >= COCO_KEYS:
        return Kind.COCO
    if {"shapes", "imagePath"} <= keys or {"shapes", "imageData"} <= keys:
        return Kind.LABELME
    if keys >= {"objects", "size.height", "size.width"}:
        return Kind.SUPERVISELY
    if _is_label_studio(keys):
        return Kind.LABEL_STUDIO
    if {"item.annotations", "item.annotation"} & keys and CREATEML_NAMES & keys:
        return Kind.CREATEML
    return None


COCO_KEYS: Final = frozenset({"images", "annotations", "categories"})
CREATEML_NAMES: Final = frozenset({"item.image", "item.imagefilename", "item.filename"})


def _is_label_studio(keys: set[str]) -> bool:
    answers = {"item.annotations", "item.completions", "item.predictions"}
    if "item.data" in keys and answers & keys:
        return True
    return any(LABEL_STUDIO_KEY.search(key) for key in keys)


def keys_of(prefix: bytes) -> set[str]:
    """Return the paths of the keys in the beginning of a JSON text, such as `images.item.id`."""
    keys: set[str] = set()
    path: list[str] = []
    try:
        for event, value in ijson.basic_parse(BytesIO(prefix), use_float=True):
            if event in {"start_map", "start_array"}:
                path.append("item" if event == "start_array" else "")
            elif event in {"end_map", "end_array"}:
                path.pop()
            elif event == "map_key":
                path[-1] = str(value)
                keys.add(".".join(path[:MAX_KEYS]))
            if len(path) > MAX_DEPTH:
                break
    except (ijson.JSONError, ValueError, RecursionError, OverflowError):
        return keys  # the text is cut, or is not JSON
    return keys


def files_of(upload: Upload, kind: Kind) -> list[str]:
    """Return the files of this kind in the archive, sorted."""
    by_folder: dict[str, list[str]] = defaultdict(list)
    for path in sorted(upload.tree.files):
        if path.lower().endswith(JSON_SUFFIXES):
            by_folder[posixpath.dirname(path)].append(path)
    return [path for paths in by_folder.values() for path in _of_kind(upload, paths, kind)]


def _of_kind(upload: Upload, paths: list[str], kind: Kind) -> Iterable[str]:
    if len(paths) > FEW_FILES:
        probes = {_kind(upload, path) for path in paths[:: len(paths) // PROBES]}
        if len(probes) == 1:
            return paths if probes == {kind} else []
    return [path for path in paths if _kind(upload, path) == kind]


def _kind(upload: Upload, path: str) -> Kind | None:
    return kind_of(upload.members.prefix(path, PREFIX_BYTES))
