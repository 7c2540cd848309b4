"""Files with secrets that the operator names, and who may have access to them.

- Only their owner may write to them: another writer would decide what our secrets are.
- If they belong to this process's user, other users may not read them.
- Secrets that Docker and Kubernetes mount are readable by everyone, mode 0444 or 0644. They belong
  to root or to another user of the host, or are on a read-only mount. No other user is in
  the container, and this process cannot change the mode, so they are accepted.
"""

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic_settings import SettingsError

from app.settings.environment import FILE_SUFFIX, PREFIX, SECRET_FIELDS

MAX_BYTES: Final = 64 * 1024
OTHERS_READ: Final = stat.S_IROTH
OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def secrets_from_files(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings whose values are in files that the environment names.

    Raises:
        SettingsError: a setting is given twice, or its file is missing, empty, not a text file, or
            open to other users. The message names the variable and the file.
    """
    variables = {name.upper(): value for name, value in environ.items()}
    found = {}
    for field in SECRET_FIELDS:
        variable = f"{PREFIX}{field.upper()}{FILE_SUFFIX}"
        path = variables.get(variable)
        if path is None:
            continue
        if f"{PREFIX}{field.upper()}" in variables:
            message = f"{variable}: {PREFIX}{field.upper()} is set too; set only one of them"
            raise SettingsError(message)
        found[field] = secret_in(Path(path), variable)
    return found


def secret_in(path: Path, variable: str) -> str:
    """Return the secret in the file that a variable names, without a final line end.

    Raises:
        SettingsError: the file is missing, empty, not a text file, or open to other users.
    """
    content, status = _read(path, variable)
    if status.st_mode & OTHERS_WRITE:
        raise SettingsError(_open_file(variable, path, "can be changed by other users", "600"))
    if _is_readable_by_others(path, status):
        raise SettingsError(_open_file(variable, path, "can be read by every user", "600"))
    text = _text(content, variable, path).removesuffix("\n").removesuffix("\r")
    if not text.strip():
        message = f"{variable}: {path} is empty"
        raise SettingsError(message)
    return text


def configuration_in(path: Path | None) -> dict[str, Any]:
    """Return the content of the TOML file that `TRAINYARD_CONFIG` names; {} without one.

    Raises:
        SettingsError: it cannot be read, other users can write to it, or it contains a secret that
            they can read.
        TOMLDecodeError: it is not TOML.
    """
    if path is None:
        return {}
    variable = f"{PREFIX}CONFIG"
    content, status = _read(path, variable)
    if status.st_mode & stat.S_IWOTH:
        raise SettingsError(_open_file(variable, path, "can be changed by every user", "go-w"))
    found = tomllib.loads(_text(content, variable, path))
    secret = next((key for key in SECRET_FIELDS if _is_secret(key, found.get(key))), None)
    if secret is not None and _is_readable_by_others(path, status):
        contains = f"contains {secret} and can be read by every user"
        raise SettingsError(_open_file(variable, path, contains, "600"))
    return found


def _read(path: Path, variable: str) -> tuple[bytes, os.stat_result]:
    try:
        # Without O_NONBLOCK, a named pipe would stop the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                message = f"{variable}: {path} is not a file"
                raise SettingsError(message)
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else "no valid path"
        message = f"{variable}: {path} cannot be read: {reason.lower()}"
        raise SettingsError(message) from None
    if len(content) > MAX_BYTES:
        message = f"{variable}: {path} is larger than {MAX_BYTES} bytes"
        raise SettingsError(message)
    return content, status


def _text(content: bytes, variable: str, path: Path) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        message = f"{variable}: {path} is not UTF-8 text"
        raise SettingsError(message) from None
    if "\0" in text:
        message = f"{variable}: {path} is not a text file"
        raise SettingsError(message)
    return text


def _is_readable_by_others(path: Path, status: os.stat_result) -> bool:
    if not status.st_mode & OTHERS_READ or status.st_uid != os.getuid():
        return False
    return not os.statvfs(path).f_flag & os.ST_RDONLY


def _open_file(variable: str, path: Path, what: str, mode: str) -> str:
    return f"{variable}: {path} {what}; run: chmod {mode} {path}"


def _is_secret(key: str, value: object) -> bool:
    """Return whether the value of a setting contains a secret; most store URLs contain none."""
    if not isinstance(value, str) or not key.endswith("_url"):
        return value is not None
    try:
        parts = urlsplit(value)
    except ValueError:
        return True  # it will be refused; meanwhile it may contain anything
    return parts.password is not None or bool(parts.query)
