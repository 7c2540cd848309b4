"""The objects that request handlers use: one value, created at startup."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Annotated, Final

from fastapi import Depends, Request

from app.core.database import Database
from app.core.free_space import DiskReserve
from app.core.lines import LineIndexStore
from app.core.pages import CursorSeal
from app.core.reservations import Reservations
from app.core.shared_reads import SharedReads
from app.core.storage import ArtifactStore
from app.settings import Settings


@dataclass(frozen=True)
class Context:
    """The server's settings, database and store, and functions to wake other threads after commits.

    Attributes:
        settings: of this process.
        database: the source of truth.
        store: the artifact store.
        cursors: seals and opens page cursors.
        ring: rings the doorbell for a job, see `Doorbell.ring`.
        wake_verifier: wakes the thread that verifies uploaded archives.
        shared_reads: shares the result of a read among concurrent requests.
        line_indexes: where the lines of logs begin that were read last.
        reservations: the bytes that running requests have announced.
        draining: set when the server has started to shut down.
        disk: the free space that stays in reserve.
    """

    settings: Settings
    database: Database
    store: ArtifactStore
    cursors: CursorSeal
    ring: Callable[[str, int, str], None]
    wake_verifier: Callable[[], None]
    shared_reads: SharedReads = field(default_factory=SharedReads)
    line_indexes: LineIndexStore = field(default_factory=LineIndexStore)
    reservations: Reservations = field(default_factory=Reservations)
    draining: Event = field(default_factory=Event)
    disk: DiskReserve = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "disk", DiskReserve.of(self.settings, self.store))


async def get_context(request: Request) -> Context:
    """Return the application's context. It is `async` so that it does not occupy a thread."""
    context: Context = request.app.state.context
    return context


InContext = Annotated[Context, Depends(get_context)]


def require_free_space(context: InContext) -> None:
    """Refuse a request that would take space while a disk has only its reserve.

    The routes that take space depend on it.

    Raises:
        ReserveReached: see `DiskReserve.require`.
    """
    context.disk.require()


TAKES_SPACE: Final = [Depends(require_free_space)]
