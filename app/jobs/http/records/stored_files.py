"""Stored files of jobs, as downloads."""

from collections.abc import Iterable

from app.artifacts.errors import ArtifactBytesMissing
from app.artifacts.media_types import media_type_of
from app.artifacts.tables import Artifact
from app.core.context import Context
from app.core.logging import get_logger
from app.core.ranges import Download

log = get_logger(__name__)


def stored_file(context: Context, artifact: Artifact, *, media_type: str | None = None) -> Download:
    """Return the download of an artifact. Its ETag is the SHA-256 of its bytes.

    Its media type is that of its name, unless another one is given.

    Reading it raises:
        ArtifactBytesMissing: the store does not have the bytes.
        StoredBytesCorrupt: the bytes are damaged.
        StoreUnavailable: the store cannot be reached.
    """

    def read(start: int, length: int) -> Iterable[bytes]:
        try:
            return context.store.open_range(artifact.sha256, start, length)
        except FileNotFoundError:
            log.error("artifact.bytes_missing", artifact_id=artifact.id, sha256=artifact.sha256)  # noqa: TRY400 -- the cause is in the fields
            raise ArtifactBytesMissing from None

    known = media_type_of(artifact.name)
    return Download(
        size_bytes=artifact.size_bytes,
        etag=f'"{artifact.sha256}"',
        media_type=media_type or known.name,
        is_shown=known.is_shown,
        filename=artifact.name,
        read=read,
    )
