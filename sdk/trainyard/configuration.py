"""Which server the client uses, and with which key.

The first of these that names a server decides: arguments, the environment, `trainyard.toml` in the
working directory, the user's own file, and a `trainyard up` that runs on this machine. A stored key
is only ever sent to the server for which it was stored.
"""

import json
import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from trainyard.errors import ConfigurationError

URL: Final = "TRAINYARD_URL"
KEY: Final = "TRAINYARD_API_KEY"
PROJECT_FILE: Final = "trainyard.toml"
PRIVATE: Final = 0o600
NO_SERVER: Final = (
    "No server is known. Set TRAINYARD_URL and TRAINYARD_API_KEY, run `trainyard login URL`, or"
    " start a server on this machine with `trainyard up`."
)


@dataclass(frozen=True)
class Server:
    """Where to send requests.

    Args:
        url: without a slash at its end.
        key: None sends requests without a key.
        source: what named the server, for messages.
    """

    url: str
    key: str | None = field(repr=False)
    source: str


def find_server(url: str | None = None, key: str | None = None) -> Server:
    """Return the server to use.

    Args:
        url: takes the place of every other source of the address.
        key: takes the place of every other source of the key.

    Raises:
        ConfigurationError: no server is known, or a file cannot be read.
    """
    named, source = _address(url)
    if named is None:
        local = _running_up()
        if local is None:
            raise ConfigurationError(NO_SERVER)
        named, source = local.url, local.source
    address = normal_url(named)
    return Server(address, key or _key_of(address), source)


def _address(url: str | None) -> tuple[str | None, str]:
    """Return the address that a person named, and where."""
    if url:
        return url, "the argument"
    if os.environ.get(URL):
        return os.environ[URL], URL
    project = _table(Path(PROJECT_FILE))
    if project.keys() & {"key", "keys", "api_key"}:
        raise ConfigurationError(
            f"{PROJECT_FILE} has a key, and such files get into repositories. Revoke it, set {KEY},"
            " or run `trainyard login`."
        )
    if "url" in project:
        return _text(project, "url", Path(PROJECT_FILE)), PROJECT_FILE
    own = user_file()
    table = _table(own)
    if "url" in table:
        return _text(table, "url", own), str(own)
    return None, ""


def _key_of(address: str) -> str | None:
    """Return the key for an address: of the environment, stored for it, or of `trainyard up`."""
    if os.environ.get(KEY):
        return os.environ[KEY].strip()
    keys = _table(user_file()).get("keys", {})
    if isinstance(keys, dict) and isinstance(keys.get(address), str):
        return str(keys[address])
    local = _running_up()
    return local.key if local is not None and local.url == address else None


def user_file() -> Path:
    """Return the path of the user's own configuration; it need not exist."""
    from platformdirs import user_config_path  # noqa: PLC0415 - only who needs it pays for it

    return user_config_path("trainyard", appauthor=False) / "config.toml"


def store_login(url: str, key: str) -> Path:
    """Store a key for a server, readable by the user only, and use that server from now on.

    Returns:
        The file.
    """
    path = user_file()
    table = _table(path)
    stored = table.get("keys", {})
    keys = {**(stored if isinstance(stored, dict) else {}), normal_url(url): key}
    lines = [f"url = {json.dumps(normal_url(url))}", "", "[keys]"]
    lines += [f"{json.dumps(name)} = {json.dumps(each)}" for name, each in keys.items()]
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, PRIVATE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    new.replace(path)
    return path


def normal_url(url: str) -> str:
    """Return an address as the client compares and uses it.

    Raises:
        ConfigurationError: it is no HTTP address.
    """
    text = url.strip().rstrip("/")
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(f"{url!r} is no address of a server; write https://host:port")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError("The address of the server has only a scheme, a host and a path.")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path}"


def instance_home() -> Path:
    """Return the home of the server that this user runs on this machine; it need not exist."""
    return Path(os.environ.get("TRAINYARD_HOME") or Path.home() / ".trainyard")


def _running_up() -> Server | None:
    """Return the server of `trainyard up` or `trainyard server` in the home of this user."""
    home = instance_home()
    try:
        note = json.loads((home / "server.json").read_text(encoding="utf-8"))
        url, pid = normal_url(str(note["url"])), int(note["pid"])
        if not _is_alive(pid):
            return None
    except (OSError, ValueError, KeyError, TypeError, ConfigurationError):
        return None
    try:
        key = (home / "api-key").read_text(encoding="utf-8").strip()
    except OSError:
        key = None
    return Server(url, key, str(home))


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # no signal asks without consequences
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return True


def _table(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None


def _text(table: Mapping[str, Any], name: str, path: Path) -> str:
    value = table[name]
    if not isinstance(value, str):
        raise ConfigurationError(f"{path}: `{name}` must be a text.")
    return value
