"""What every request handler may reach: one value, made at start and kept on the application."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Annotated

from fastapi import Depends, Request

from app.core.database import Database
from app.core.pages import CursorSeal
from app.core.shared_reads import SharedReads
from app.core.storage import ArtifactStore
from app.settings import Settings


@dataclass(frozen=True)
class Context:
    """The server's database, store and settings, and its ways to wake others after a commit.

    `draining` is set once the process must end.
    """

    settings: Settings
    database: Database
    store: ArtifactStore
    cursors: CursorSeal
    ring: Callable[[str, int, str], None]
    wake_verifier: Callable[[], None]
    shared_reads: SharedReads = field(default_factory=SharedReads)
    draining: Event = field(default_factory=Event)


async def get_context(request: Request) -> Context:
    """Return the application's context; `async`, so that no thread is needed for it."""
    context: Context = request.app.state.context
    return context


InContext = Annotated[Context, Depends(get_context)]
