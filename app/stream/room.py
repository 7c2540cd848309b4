"""The streams of one server: what its lifespan opens and its routes use."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.core.database import Database
from app.events.log import PositionSeal
from app.settings import Settings
from app.stream.feed import Listener
from app.stream.following import Follower, Start
from app.stream.hub import Hub
from app.stream.messages import ByeReason
from app.stream.places import Places
from app.stream.source import DatabaseSource


@dataclass(frozen=True)
class Streams:
    """The hub of a server, its followers, and the count of its streams."""

    hub: Hub
    follower: Follower
    places: Places
    seal: PositionSeal

    def start_of(self, after: str | None) -> Start:
        """Return where a client begins that sent this position, if any."""
        if after is None:
            return Start()
        position = self.seal.open(after)
        return Start(position, is_unknown=position is None)

    def end(self) -> None:
        """End all streams: the server is about to stop."""
        self.hub.end_all(ByeReason.SHUTDOWN)


@contextmanager
def open_streams(
    database: Database,
    settings: Settings,
    seal: PositionSeal,
    *,
    listen: Callable[[], Listener],
    is_stopping: Callable[[], bool],
) -> Iterator[Streams]:
    """Yield the streams of a server; nothing runs before there is one.

    Args:
        database: with the log.
        settings: of the server.
        seal: seals positions.
        listen: returns a new listener for wake-ups.
        is_stopping: whether the server is about to stop.
    """
    source = DatabaseSource(
        database,
        seal,
        silent=settings.timing.worker_silence,
        idle=settings.accounts.session_idle,
    )
    with Hub(source, listen) as hub:
        places = Places(settings.streams, is_stopping)
        yield Streams(hub, Follower(hub, source), places, seal)
