"""The manifest of a version: its files with their digests, as JSON Lines sorted by path.

The first line describes the format, each other line one file. Two versions are equal if their
manifests are; the SHA-256 of the whole is the version's digest. Workers and the verification
process import this module, so it uses neither the database nor the web framework.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from app.core.tasks import Task

DATASET_YAML: Final = "data.yaml"
EMPTY_CLASS: Final = ".empty"
"""A file in the folder of a class without images: a zip has no empty folder."""

LABEL_FOLDERS: Final = frozenset({"labels", "masks", "depth"})

FORMAT: Final = 2
"""1 was a single JSON object, which no release stored."""
DIGEST_PATTERN: Final = "^[0-9a-f]{64}$"
_COMPACT: Final = json.JSONEncoder(separators=(",", ":"))
"""Made once: `json.dumps` would make another for each of the lines."""


class ManifestCorruptError(Exception):
    """The bytes are not a manifest that the verifier wrote."""


def encoded_line(content: dict[str, object]) -> bytes:
    """Return an object as a line of compact JSON."""
    return _COMPACT.encode(content).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file of a version.

    `sha256` is hex; `size` is in bytes. An image has `width` and `height` in pixels, and in `label`
    the SHA-256 of its label file, mask or depth map, if it has one.
    """

    path: str
    sha256: str
    size: int
    width: int | None = None
    height: int | None = None
    label: str | None = None

    @property
    def is_image(self) -> bool:
        """Whether the file is an image that training reads."""
        return self.width is not None

    def to_line(self) -> bytes:
        """Return the canonical line of this file."""
        content: dict[str, object] = {"path": self.path, "sha256": self.sha256, "size": self.size}
        if self.is_image:
            content |= {"width": self.width, "height": self.height, "label": self.label}
        return encoded_line(content)

    @classmethod
    def of_line(cls, line: bytes) -> Self:
        """Return the file of a line.

        Raises:
            ManifestCorruptError: the line does not describe a file.
        """
        try:
            return cls(**json.loads(line))
        except (ValueError, TypeError, RecursionError) as error:
            raise ManifestCorruptError(f"a line of the manifest is damaged: {error}") from error


def below_first_folder(path: str) -> str:
    """Return a path without first folder and suffix: that of an image equals that of its label."""
    return path.partition("/")[2].rpartition(".")[0]


class Heading(BaseModel):
    """The first line of a manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    task: Task


def write_manifest(path: Path, task: Task, files: Iterable[ManifestFile]) -> str:
    """Write a manifest; return its SHA-256 in hex."""
    digest = hashlib.sha256()
    with path.open("wb") as target:
        heading = Heading(task=task).model_dump_json().encode() + b"\n"
        digest.update(heading)
        target.write(heading)
        for file in sorted(files, key=lambda file: file.path):
            line = file.to_line()
            digest.update(line)
            target.write(line)
    return digest.hexdigest()


def manifest_files(lines: Iterable[bytes]) -> Iterator[ManifestFile]:
    """Yield the files of a manifest, sorted by path.

    Raises:
        ManifestCorruptError: the lines are no manifest of this format.
    """
    iterator = iter(lines)
    try:
        heading = Heading.model_validate_json(next(iterator, b""))
    except ValidationError as error:
        raise ManifestCorruptError("the first line of the manifest is damaged") from error
    if heading.format != FORMAT:
        raise ManifestCorruptError(f"manifests of format {heading.format} are not read")
    for line in iterator:
        yield ManifestFile.of_line(line)


def read_manifest(path: Path) -> Iterator[ManifestFile]:
    """Yield the files of a manifest in a file; see `manifest_files`."""
    with path.open("rb") as lines:
        yield from manifest_files(lines)
