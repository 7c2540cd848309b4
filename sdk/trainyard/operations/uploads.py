"""Send files so that a broken connection costs nothing: tus 1.0."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Final

from trainyard.core.connection import Connection, Patience
from trainyard.core.steps import FileContent, Operation, Request, call
from trainyard.errors import ConflictError, UnavailableError, UnreachableError
from trainyard.operations.waiting import pause
from trainyard.views.base import parsed
from trainyard.views.datasets import UploadView

TUS: Final = {"Tus-Resumable": "1.0.0"}
BYTES: Final = {**TUS, "Content-Type": "application/offset+octet-stream"}
LAST_SECONDS: Final = 600.0
"""After the last byte the server stores the file before it answers."""

OnBytes = Callable[[int, int], None]
"""Told how many bytes of how many have been sent."""


def send_file(
    connection: Connection, path: Path, project: str | None, on_bytes: OnBytes | None = None
) -> Operation[UploadView]:
    """Send a file and return its finished upload.

    Args:
        connection: to the server.
        path: of the file.
        project: for which it is.
        on_bytes: told about the bytes that were sent.

    Raises:
        UnreachableError: the server did not answer for too long, and nothing more arrived.
        ProblemError: it refuses the file.
    """
    size = yield from call(lambda: path.stat().st_size)
    upload = yield from _created(connection, path.name, size, project)
    patience = Patience(connection.patience_seconds)
    while upload.state != "finished":
        offset = upload.offset_bytes
        try:
            yield from _send_rest(connection, upload, path, on_bytes)
        except UnreachableError as error:
            yield from pause(connection, patience, error)
        except (ConflictError, UnavailableError) as error:
            if error.slug not in {"upload-offset-mismatch", "upload-busy", "upload-interrupted"}:
                raise
            yield from pause(connection, patience, error)
        upload = yield from read_upload(connection, upload.id)
        if upload.offset_bytes > offset:
            patience.renew()
    return upload


def read_upload(connection: Connection, upload: str) -> Operation[UploadView]:
    """Read how much of an upload arrived."""
    document = yield from connection.json("GET", f"/v1/uploads/{upload}", headers=TUS)
    return parsed(UploadView, document)


def _created(
    connection: Connection, name: str, size: int, project: str | None
) -> Operation[UploadView]:
    facts = {"filename": name, **({} if project is None else {"project": project})}
    pairs = [f"{key} {base64.b64encode(text.encode()).decode()}" for key, text in facts.items()]
    headers = {**TUS, "Upload-Length": str(size), "Upload-Metadata": ",".join(pairs)}
    # An upload that was made twice is removed by the server after a day.
    document = yield from connection.json(
        "POST", "/v1/uploads", headers=headers, is_repeatable=True
    )
    return parsed(UploadView, document)


def _send_rest(
    connection: Connection, upload: UploadView, path: Path, on_bytes: OnBytes | None
) -> Operation[None]:
    sent = upload.offset_bytes

    def count(more: int) -> None:
        nonlocal sent
        sent += more
        if on_bytes is not None:
            on_bytes(min(sent, upload.size_bytes), upload.size_bytes)

    rest = FileContent(path, sent, upload.size_bytes - sent, count)
    headers = {**BYTES, "Upload-Offset": str(sent)}
    address = f"/v1/uploads/{upload.id}"
    yield from connection.send(
        Request("PATCH", address, headers=headers, content=rest, silent_seconds=LAST_SECONDS)
    )
