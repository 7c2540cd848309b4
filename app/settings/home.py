"""Who has access to the home of an instance: its owner alone."""

import logging
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from pydantic_settings import SettingsError

log = logging.getLogger(__name__)

PRIVATE_FOLDER: Final = 0o700
PRIVATE_FILE: Final = 0o600
OURS: Final = frozenset(
    {
        "api-key",
        "instance-id",
        "node-id",
        "run",
        "secret-key",
        "server.json",
        "spool",
        "store",
        "store-id",
        "trainyard.db",
        "trainyard.db-shm",
        "trainyard.db-wal",
        "worker",
    }
)
"""What lies directly in the home of an instance."""
NOT_OURS: Final = frozenset({"lost+found"})
"""What the root of a file system contains that is mounted as a home."""


def secure_home(home: Path) -> None:
    """Take the access of other users to the home, and to what of an instance lies directly in it.

    The home may exist with looser modes, made by an operator or an earlier release. Folders get
    mode 0700 and files 0600; what is deeper is behind a folder with mode 0700. Links are left
    alone. A home that does not exist is left to the code that creates it. A folder that contains
    other things and nothing of an instance was named by mistake, such as `~` or `/etc`: its modes
    stay as they are. One warning names what was open, with its mode until then.

    Raises:
        SettingsError: the home is a file, or the root of the machine, or a folder of other things;
            or it, or something of ours in it, belongs to another user, or its mode cannot be
            changed.
    """
    closed: list[str] = []
    try:
        status = home.stat()
        if not stat.S_ISDIR(status.st_mode) or home == home.parent:
            raise SettingsError(_message(home, "is no folder that only this instance uses"))
        names = {path.name for path in home.iterdir()} - NOT_OURS
        if names and not names & OURS:
            message = "contains other files and no instance; name an empty or a new folder"
            raise SettingsError(_message(home, message))
        closed += _close(home, status)  # first: no other user exchanges what is in it
        for name in sorted(names & OURS):
            path = home / name
            with suppress(FileNotFoundError):  # a temporary file of another process
                closed += _close(path, path.lstat())
    except FileNotFoundError:
        return
    except OSError as error:
        raise SettingsError(_message(home, os.strerror(error.errno or 0).lower())) from None
    finally:
        if closed:
            log.warning("closed to other users of this machine: %s", ", ".join(closed))


def _close(path: Path, status: os.stat_result) -> list[str]:
    """Take the access of other users; return the path with its mode until then, if it was open."""
    if stat.S_ISLNK(status.st_mode):
        return []
    if status.st_uid != os.getuid():
        advice = f"this process is user {os.getuid()}; run it as that user, or use another --home"
        raise SettingsError(_message(path, f"belongs to user {status.st_uid}, but {advice}"))
    before = stat.S_IMODE(status.st_mode)
    if not before & ~PRIVATE_FOLDER:
        return []
    path.chmod(PRIVATE_FOLDER if stat.S_ISDIR(status.st_mode) else PRIVATE_FILE)
    return [f"{str(path)!r} (mode {before:04o})"]


def _message(path: Path, what: str) -> str:
    return f"home (TRAINYARD_HOME): {path}: {what}"
