"""The server's listening socket, which is opened before any process is started."""

import json
import os
import socket

from app.core.errors import Unavailable
from app.settings import Settings

NOTE = "server.json"
"""Name of the file in the home that contains the server's URL while the server is running."""
BACKLOG = 2048
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- read, not bound


class CannotListen(Unavailable):
    """The address is in use, or does not belong to this machine."""

    slug, title = "cannot-listen", "Cannot listen on the address"


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; from now on, connections wait instead of being refused.

    Raises:
        CannotListen: the port is in use or requires other privileges, or the address does not
            belong to this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise CannotListen(
            f"Cannot listen on {host} port {port}: {os.strerror(error.errno or 0).lower()}; choose "
            "another port with --port (0 selects a free port)."
        ) from error


def url_of(listener: socket.socket, *, tls: bool) -> str:
    """Return the base URL of `listener` for clients on this machine."""
    host, port = listener.getsockname()[:2]
    return _url(host, port, tls=tls)


def configured_url(settings: Settings) -> str:
    """Return the base URL of the server of a home: of the running one, or as it is configured."""
    try:
        url: str = json.loads((settings.home / NOTE).read_text())["url"]
    except (OSError, ValueError, KeyError):
        tls = settings.has_tls
        return _url(settings.host, settings.port, tls=tls)
    return url


def _url(host: str, port: int, *, tls: bool) -> str:
    host = ANY_ADDRESS.get(host, host)
    scheme = "https" if tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
