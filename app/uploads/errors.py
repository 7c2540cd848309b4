"""Errors of requests about uploads."""

from app.core.errors import (
    BadRequest,
    ChecksumMismatch,
    Conflict,
    FieldError,
    Gone,
    InsufficientStorage,
    Invalid,
    NotFound,
    PreconditionFailed,
    TooLarge,
    TooManyRequests,
    Unavailable,
    UnsupportedMediaType,
)


class EmptyBody(BadRequest):
    """The request has no body."""

    slug, title = "empty-body", "No bytes were sent"

    def __init__(self, message: str = "Send the file as the body of the request.") -> None:
        super().__init__(message)


class UploadNotFound(NotFound):
    """The caller has no such upload, or it was removed."""

    slug, title = "upload-not-found", "No such upload"

    def __init__(self) -> None:
        super().__init__("You have no upload with this id.")


class UnknownUpload(Invalid):
    """A request names an upload that the caller does not have."""

    slug, title = "unknown-upload", "Unknown upload"

    def __init__(self) -> None:
        message = "You have no upload with this id."
        super().__init__(message, errors=[FieldError("/upload", "unknown-upload", message)])


class UploadExpired(Gone):
    """No byte of the upload arrived for too long; its bytes are removed."""

    slug, title = "upload-expired", "The upload has expired"

    def __init__(self) -> None:
        super().__init__("This upload has expired; create it again and send all bytes.")


class UnsupportedTusVersion(PreconditionFailed):
    """`Tus-Resumable` is missing or is not a version of this server."""

    slug, title = "unsupported-tus-version", "Unsupported tus version"

    def __init__(self, version: str) -> None:
        super().__init__(f"Send the header Tus-Resumable: {version}.")


class UnsupportedChecksum(BadRequest):
    """`Upload-Checksum` is not an algorithm of this server and its digest in Base64."""

    slug, title = "unsupported-checksum", "Unsupported checksum"

    def __init__(self, algorithms: str) -> None:
        super().__init__(
            "Upload-Checksum must be an algorithm, a space and the digest of the body in Base64; "
            f"the algorithms are {algorithms}."
        )


class DamagedChunk(ChecksumMismatch):
    """The bytes of a PATCH do not have the checksum of `Upload-Checksum`; none was kept."""

    def __init__(self, algorithm: str, offset: int) -> None:
        super().__init__(
            f"The bytes do not have the {algorithm} that Upload-Checksum names; none of them was "
            f"kept. Send them again at offset {offset}.",
            extra={"offset_bytes": offset},
        )


class NotAChunk(UnsupportedMediaType):
    """The Content-Type of a PATCH is not that of tus."""

    def __init__(self, media_type: str) -> None:
        super().__init__(f"Send the bytes with Content-Type: {media_type}.")


class OffsetMismatch(Conflict):
    """`Upload-Offset` is not the number of bytes that the server has."""

    slug, title = "upload-offset-mismatch", "Wrong offset"

    def __init__(self, offset: int) -> None:
        super().__init__(
            f"The server has {offset} bytes of this upload; continue at this offset.",
            extra={"offset_bytes": offset},
        )


class UploadBusy(Conflict):
    """Another request is sending bytes of the same upload."""

    slug, title = "upload-busy", "The upload is busy"

    def __init__(self) -> None:
        super().__init__(
            "Another request is sending bytes of this upload; read its offset, then try again."
        )


class UploadIncomplete(Conflict):
    """The upload cannot be used yet: bytes are missing."""

    slug, title = "upload-incomplete", "The upload is incomplete"

    def __init__(self, offset: int, size: int) -> None:
        super().__init__(
            f"The server has {offset} of the {size} bytes of this upload; send the rest first.",
            extra={"offset_bytes": offset, "size_bytes": size},
        )


class UploadElsewhere(Unavailable):
    """The bytes of the upload are not on this server's disk: on another server's, or lost."""

    slug, title = "upload-elsewhere", "The bytes are on another server"

    def __init__(self) -> None:
        super().__init__(
            "The bytes of this upload are not on this server. Try again if there are several "
            "servers; otherwise delete the upload and send it again."
        )


class IncompleteUpload(BadRequest):
    """The client disconnected, or sent nothing for too long, before it had sent the whole body."""

    slug, title = "incomplete-upload", "The upload is incomplete"


class UploadInterrupted(Unavailable):
    """The server shuts down; the bytes that arrived are kept."""

    slug, title = "upload-interrupted", "The upload is interrupted"

    def __init__(self) -> None:
        super().__init__("The server shuts down; read the offset, then continue there.")


class UploadTooLarge(TooLarge):
    """The upload is larger than allowed, or its body is longer than announced."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"An upload may have at most {limit} bytes; this one has at least {size}.",
            extra={"limit_bytes": limit, "size_bytes": size},
        )


class ChunkTooLarge(TooLarge):
    """A PATCH has more bytes than the upload lacks."""

    def __init__(self, missing: int, offset: int) -> None:
        super().__init__(
            f"Only {missing} bytes of this upload are missing after offset {offset}.",
            extra={"missing_bytes": missing, "offset_bytes": offset},
        )


class NoRoom(InsufficientStorage):
    """A disk of the server has no room for the upload and those that have begun."""

    def __init__(self, needed: int, free: int, reserve: int) -> None:
        super().__init__(
            f"This upload and those that have begun need {needed} bytes; the disk has {free} "
            f"bytes free, of which {reserve} stay in reserve.",
            extra={"needed_bytes": needed, "free_bytes": free, "reserve_bytes": reserve},
        )


class TooManyUploads(TooManyRequests):
    """The caller has too many unfinished uploads."""

    slug, title = "too-many-uploads", "Too many unfinished uploads"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"You have {limit} unfinished uploads, the most allowed; finish or delete some.",
            extra={"limit": limit},
        )
