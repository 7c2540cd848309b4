"""A client's list of the files of a dataset: JSON Lines with path, SHA-256 and size of each.

A client that has most files of a dataset in common with earlier versions sends the list, learns
which files the project lacks, and sends only these.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.core.errors import FieldError, Invalid
from app.datasets.archives.names import normalised_name
from app.datasets.packs.manifest import DIGEST_PATTERN
from app.datasets.reports.findings import shown

Digest = Annotated[str, StringConstraints(pattern=DIGEST_PATTERN)]

MAX_FILES: Final = 500_000
MAX_LINE_BYTES: Final = 32 * 1024
QUOTES: Final = 10
"""Of a line with each key once, unless its path has some: then the keys are counted."""
EXPECTED: Final = 'expected {"path": …, "sha256": …, "size": …} on one line'


class ListedFile(BaseModel):
    """One line of a list of files."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str = Field(
        min_length=1,
        max_length=4096,
        description="Path in the dataset, with `/`.",
        examples=["images/train/a.jpg"],
    )
    sha256: Digest = Field(
        description="SHA-256 of the file's bytes, hex.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    size: int = Field(ge=0, le=2**40, description="Size in bytes.", examples=[214_318])


class ListingInvalid(Invalid):
    """A line of a list of files is not what is expected."""

    slug, title = "listing-invalid", "The list of files is invalid"

    def __init__(self, line: int, reason: str) -> None:
        message = f"Line {line} of the list of files: {reason}"
        super().__init__(message, errors=[FieldError("/body", self.slug, message)])


def read_listing(path: Path) -> Iterator[ListedFile]:
    """Yield the files of a list.

    Raises:
        ListingInvalid: a line is damaged, or there are more than `MAX_FILES`.
    """
    with path.open("rb") as lines:
        number = 0
        while line := lines.readline(MAX_LINE_BYTES):
            number += 1
            if number > MAX_FILES:
                raise ListingInvalid(number, f"A list has at most {MAX_FILES} files.")
            try:
                file = ListedFile.model_validate_json(line)
            except ValidationError as error:
                raise ListingInvalid(number, _reason(error)) from None
            if line.count(b'"') != QUOTES and _has_a_key_twice(line):
                raise ListingInvalid(number, f"A key is there twice; {EXPECTED}.")
            if normalised_name(file.path) != file.path:
                text = f"{shown(file.path)} is not a path inside the dataset, such as images/a.jpg."
                raise ListingInvalid(number, text)
            yield file


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place + ': ' if place else ''}{first['msg']}; {EXPECTED}."


def _has_a_key_twice(line: bytes) -> bool:
    pairs: list[tuple[str, object]] = json.loads(line, object_pairs_hook=list)
    return len(dict(pairs)) != len(pairs)


def check_listing(path: Path) -> None:
    """Check a whole list.

    Raises:
        ListingInvalid: a line is damaged, or two files have the same path.
    """
    seen: set[bytes] = set()  # of digests: paths may be long
    for number, file in enumerate(read_listing(path), start=1):
        digest = hashlib.blake2b(file.path.encode(), digest_size=16).digest()
        if digest in seen:
            raise ListingInvalid(number, f"{shown(file.path)} is listed twice.")
        seen.add(digest)
