"""The worst validation images of a job as one file: a header, a document, and the previews.

    header      HEADER_BYTES of JSON, padded with spaces: where everything lies
    document    a `StoredWorst`
    previews    JPEGs, one after another

A preview is read with the header alone.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, BinaryIO, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.artifacts.errors import ArtifactBytesMissing
from app.artifacts.validation import MOST_WORST, WORST_BYTES, WorstImages
from app.core.logging import get_logger
from app.core.storage import ArtifactStore, StoredBytesCorrupt

HEADER_BYTES: Final = 32 * 1024
PREVIEW_BYTES: Final = 80 * 1024
"""The largest preview. The file has at most 11 MB: 100 previews, and a document of 2.5 MB."""
PREVIEW_SIDE: Final = 640
"""Pixels of the longer side that a preview has at most."""

log = get_logger(__name__)


class Part(BaseModel):
    """A range of bytes of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    offset: int = Field(ge=0, le=2**31)
    size: int = Field(ge=0, le=WORST_BYTES)


class PreviewPart(Part):
    """A preview: where it lies, its size in pixels, and the digest of its bytes."""

    width: int = Field(gt=0, le=PREVIEW_SIDE)
    height: int = Field(gt=0, le=PREVIEW_SIDE)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class BundleHeader(BaseModel):
    """Where the parts of the file lie; `previews` has one entry for each image, None without."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    document: Part
    previews: Annotated[list[PreviewPart | None], Field(max_length=MOST_WORST)]


@dataclass(frozen=True)
class PreviewContent:
    """A preview to write."""

    content: bytes
    width: int
    height: int


def write_bundle(
    file: BinaryIO, images: WorstImages, previews: Mapping[int, PreviewContent]
) -> None:
    """Write the file.

    Args:
        file: an empty file.
        images: the images.
        previews: by the place of their image.
    """
    document = images.model_dump_json().encode()
    parts: list[PreviewPart | None] = []
    offset = HEADER_BYTES + len(document)
    for number in range(len(images.images)):
        preview = previews.get(number)
        parts.append(None if preview is None else _part(preview, offset))
        offset += 0 if preview is None else len(preview.content)
    where = Part(offset=HEADER_BYTES, size=len(document))
    header = BundleHeader(document=where, previews=parts).model_dump_json().encode()
    file.write(header.ljust(HEADER_BYTES))
    file.write(document)
    file.writelines(
        previews[number].content for number, part in enumerate(parts) if part is not None
    )


def _part(preview: PreviewContent, offset: int) -> PreviewPart:
    return PreviewPart(
        offset=offset,
        size=len(preview.content),
        width=preview.width,
        height=preview.height,
        sha256=hashlib.sha256(preview.content).hexdigest(),
    )


class BundleReader:
    """Reads one stored file.

    All methods raise:
        ArtifactBytesMissing: the store does not have the file.
        StoredBytesCorrupt: the file is damaged.
        StoreUnavailable: the store cannot be reached.
    """

    def __init__(self, store: ArtifactStore, sha256: str) -> None:
        self._store, self._sha256 = store, sha256
        header = b"".join(self._read(0, HEADER_BYTES))
        try:
            self._header = BundleHeader.model_validate_json(header)
        except ValidationError as error:
            raise StoredBytesCorrupt(sha256) from error

    @property
    def previews(self) -> list[PreviewPart | None]:
        """The previews, one entry for each image."""
        return self._header.previews

    def images(self) -> WorstImages:
        """Return the images."""
        where = self._header.document
        try:
            return WorstImages.model_validate_json(b"".join(self._read(where.offset, where.size)))
        except ValidationError as error:
            raise StoredBytesCorrupt(self._sha256) from error

    def read(self, part: Part, start: int, length: int) -> Iterable[bytes]:
        """Return `length` bytes of a part, in pieces, from its offset `start`."""
        return self._read(part.offset + start, length)

    def _read(self, offset: int, length: int) -> Iterable[bytes]:
        try:
            return self._store.open_range(self._sha256, offset, length)
        except FileNotFoundError:
            log.error("artifact.bytes_missing", sha256=self._sha256)  # noqa: TRY400 -- the cause is in the fields
            raise ArtifactBytesMissing from None
