"""The home of an instance is used by one server at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.core.errors import Conflict
from app.core.files import locked, private_folder


class HomeInUse(Conflict):
    """Another server, or another `trainyard up`, is running on this home."""

    slug, title = "home-in-use", "The home is in use"


@contextmanager
def locked_home(home: Path, *, by: str, holder: str) -> Iterator[None]:
    """Lock the home for this process; the kernel releases the lock when the process ends.

    Args:
        home: the home; it is created if it does not exist.
        by: name of the lock, `up` or `server`.
        holder: what may hold the lock, for the message.

    Raises:
        HomeInUse: another process holds it.
    """
    run = home / "run"
    for folder in (home, run):
        private_folder(folder)
    try:
        lock = locked(run / f"{by}.lock")
    except BlockingIOError:
        raise HomeInUse(
            f"Another {holder} is running on {home}; stop it, or choose another --home."
        ) from None
    with lock:
        yield
