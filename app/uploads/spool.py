"""The folder that holds the bytes of unfinished uploads, one file each, on this server's disk."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from app.core.files import PRIVATE_FILE, made_once, private_folder
from app.core.ids import new_id
from app.uploads.errors import UploadBusy, UploadElsewhere

FOLDER: Final = "uploads"
ID_FILE: Final = ".id"


class UploadSpool:
    """The files of a home's unfinished uploads.

    The id of the folder is written to each upload that it holds, so another server does not mistake
    a file of its own for those bytes. Servers that share a home share the folder and its id.
    """

    def __init__(self, home: Path) -> None:
        self.folder = home / "spool" / FOLDER

    @property
    def id(self) -> str:
        """The id of the folder; created together with it."""
        private_folder(self.folder.parent)
        private_folder(self.folder)
        return made_once(self.folder / ID_FILE, lambda: new_id("spl"))

    def path(self, upload_id: str) -> Path:
        """Return the file of an upload, whether it exists or not."""
        return self.folder / upload_id

    def lock(self, upload_id: str, *, is_new: bool) -> int:
        """Open the file of an upload and lock it; return its descriptor, which holds the lock.

        Only the file of a new upload is created if it does not exist.

        Raises:
            UploadBusy: another request holds the lock.
            UploadElsewhere: the file does not exist.
        """
        flags = os.O_RDWR | (os.O_CREAT if is_new else 0)
        try:
            descriptor = os.open(self.path(upload_id), flags, PRIVATE_FILE)
        except FileNotFoundError:
            raise UploadElsewhere from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise UploadBusy from None
        if is_new:
            self._sync_folder()
        return descriptor

    def remove(self, upload_id: str) -> None:
        """Remove the file of an upload; do nothing if it does not exist."""
        self.path(upload_id).unlink(missing_ok=True)

    def upload_ids(self) -> Iterator[str]:
        """Yield the id of each upload that has a file."""
        if self.folder.is_dir():
            yield from (path.name for path in self.folder.iterdir() if path.name[0] != ".")

    def _sync_folder(self) -> None:
        """Make the name of a new file survive a power cut, like the offset that refers to it."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
