"""Darknet's description of a dataset: `obj.data` with its lists of images, or the lists alone."""

from typing import Final

from app.datasets.archives.legacy_text import decode_text
from app.datasets.reports.report import Split
from app.datasets.verification.dataset_yaml import DatasetFields
from app.datasets.verification.formats.yolo_paths import ListedImages
from app.datasets.verification.formats.yolo_yaml import ChosenYaml
from app.datasets.verification.matching import folded
from app.datasets.verification.source import Upload
from app.datasets.verification.tree import suffix

DATA_SUFFIX: Final = ".data"
MAX_DESCRIPTION_BYTES: Final = 64 * 1024
PEEK_BYTES: Final = 4096
SPLIT_OF_KEY: Final[dict[str, Split]] = {
    "train": "train",
    "valid": "val",
    "val": "val",
    "test": "test",
}


def choose_description(upload: Upload) -> ChosenYaml:
    """Return the splits that an `obj.data` or lists such as `train.txt` describe, if any."""
    described = sorted(
        (path for path in upload.tree.files if suffix(path) == DATA_SUFFIX),
        key=lambda path: (path.count("/"), path),
    )
    for path in described:
        fields = _fields_of(upload.members.prefix(path, MAX_DESCRIPTION_BYTES))
        if fields is not None:
            return ChosenYaml(path, fields)
    return _lists_alone(upload)


def _fields_of(content: bytes) -> DatasetFields | None:
    """Return the lists that a description names; its lines are `key = value`."""
    decoded = decode_text(content)
    lists: dict[Split, str] = {}
    for line in decoded[0].splitlines() if decoded is not None else []:
        key, equals, value = (part.strip() for part in line.partition("="))
        split = SPLIT_OF_KEY.get(key.lower())
        if equals and split is not None and value:
            lists[split] = value[:1000]
    return _listed(lists) if lists else None


def _listed(lists: dict[Split, str]) -> DatasetFields:
    return DatasetFields.model_validate({split: [path] for split, path in lists.items()})


def _lists_alone(upload: Upload) -> ChosenYaml:
    """Return the text files called like a split whose first line names an image."""
    images = ListedImages(upload.tree)
    lists: dict[Split, str] = {}
    for path in sorted(upload.tree.files, key=lambda path: (path.count("/"), path)):
        name = path.rpartition("/")[2]
        split = SPLIT_OF_KEY.get(folded(name.rpartition(".")[0]))
        if suffix(path) != ".txt" or split is None or split in lists:
            continue
        decoded = decode_text(upload.members.prefix(path, PEEK_BYTES))
        first = decoded[0].split("\n", 1)[0] if decoded is not None else ""
        if images.find([first], path)[0]:
            lists[split] = path
    if not lists:
        return ChosenYaml(None, DatasetFields())
    return ChosenYaml(next(iter(lists.values())), _listed(lists))
