"""Read class names from the files that labelling tools write beside their labels.

These are `classes.txt` (labelImg, Label Studio), `*.names` (Darknet), `_darknet.labels` (Roboflow)
and `notes.json` (Label Studio).
"""

import json
from collections.abc import Callable, Sequence
from typing import Final

from app.core.plain_text import is_plain
from app.datasets.archives.legacy_text import decode_text
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import shown
from app.datasets.verification.dataset_yaml import MAX_CLASSES, MAX_NAME_CHARACTERS
from app.datasets.verification.source import Upload

LISTS: Final = ("classes.txt", "predefined_classes.txt", "obj.names", "_darknet.labels")
NOTES: Final = "notes.json"
MAX_BYTES: Final = 4 * 1024 * 1024


def name_files(upload: Upload) -> list[str]:
    """Return the files with class names, those nearest to the root first."""
    return sorted(filter(is_name_file, upload.tree.files), key=lambda path: (path.count("/"), path))


def is_name_file(path: str) -> bool:
    """Return whether the file is called like those with class names."""
    name = path.rpartition("/")[2].lower()
    return name in LISTS or name == NOTES or name.endswith(".names")


def read_names(upload: Upload, files: Sequence[str]) -> tuple[list[str], str] | None:
    """Return the class names and their file, or None with a finding if files disagree."""
    found: dict[str, list[str]] = {}
    for path in files:
        content = upload.members.prefix(path, MAX_BYTES)
        reader: Callable[[str], list[str] | None] = (
            _from_notes if path.lower().endswith(".json") else _from_lines
        )
        decoded = decode_text(content)
        names = reader(decoded[0]) if decoded is not None else None
        if names is not None and _are_names(names):
            found[path] = names
    if len({tuple(names) for names in found.values()}) > 1:
        text = "They name different classes; keep one, or send `names`: "
        upload.findings.add(Code.NAMES_MISSING, text + shown(", ".join(found)) + ".")
        return None
    return next(((names, path) for path, names in found.items()), None)


def _from_lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _from_notes(text: str) -> list[str] | None:
    try:
        categories = json.loads(text)["categories"]
        by_id = {int(each["id"]): str(each["name"]) for each in categories}
    except (ValueError, TypeError, LookupError, RecursionError, OverflowError):
        return None
    return [by_id[number] for number in sorted(by_id)]


def _are_names(names: Sequence[str]) -> bool:
    return 1 <= len(names) <= MAX_CLASSES and all(
        name and len(name) <= MAX_NAME_CHARACTERS and is_plain(name) for name in names
    )
