"""The socket that the server listens on, made before anything else is started."""

import os
import socket

from app.core.errors import Unavailable

NOTE = "server.json"
"""Name of the file in the home that says where the server answers, while it does."""
BACKLOG = 2048
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- read, not bound


class CannotListen(Unavailable):
    """The address is taken, or not one of this machine."""

    slug, title = "cannot-listen", "The address cannot be listened on"


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; from now on callers wait instead of being refused.

    Raises:
        CannotListen: the port is in use, needs other rights, or the address is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise CannotListen(
            f"Cannot listen on {host} port {port}: {os.strerror(error.errno or 0).lower()}; choose "
            "another with --port (0: a free one)."
        ) from error


def url_of(listener: socket.socket) -> str:
    """The base URL under which this machine reaches `listener`."""
    host, port = listener.getsockname()[:2]
    host = ANY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
