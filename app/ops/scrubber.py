"""Hash all stored bytes again, slowly, in one server at a time; and share what is damaged.

A damaged object is marked in the database. Every server then refuses it until its bytes match its
digest again. `trainyard verify` does one pass at full speed.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import uuid4

from app.artifacts.damage import (
    HeldPass,
    damaged_digests,
    forget_damage,
    hold_pass,
    note_progress,
    record_damage,
)
from app.core.background import Background
from app.core.database import OUTAGE, Database
from app.core.errors import TrainyardError
from app.core.logging import get_logger
from app.core.storage import ArtifactStore, StoredBytesCorrupt, StoredObject, local_file
from app.core.stored_objects import objects_after, total_bytes
from app.core.verified_files import Identity
from app.settings.integrity import ScrubSettings

log = get_logger(__name__)

TICK_SECONDS: Final = 5.0
"""Interval at which servers exchange what is damaged, and note how far they have come."""
HOLD: Final = timedelta(minutes=10)
SLOWEST_BYTES: Final = 1_000_000
"""A small store is not hashed more slowly, so that a pass does not hold single files for days."""


class Scrubber(Background):
    """Hashes and exchanges in its own thread while its `with` block runs.

    Args:
        database: has the marks, and how far a pass has come.
        store: the store to read.
        settings: how often, and how fast.
        tick_seconds: see `TICK_SECONDS`.
    """

    def __init__(
        self,
        database: Database,
        store: ArtifactStore,
        settings: ScrubSettings,
        *,
        tick_seconds: float = TICK_SECONDS,
    ) -> None:
        super().__init__("scrubber")
        self._database = database
        self._store = store
        self._settings = settings
        self._tick_seconds = tick_seconds
        self._holder = uuid4().hex
        self._bytes_per_second: float | None = None

    def exchange(self) -> None:
        """Record what this process has found, and learn what others have found."""
        exchange_damage(self._database, self._store)

    def scrub_some(self) -> int:
        """Hash the next objects, for about one tick; return how many."""
        period = timedelta(days=self._settings.period_days)
        if not period:
            return 0
        with self._database.write() as unit:
            held = hold_pass(unit.session, self._holder, period=period, length=HOLD)
        if held is None:
            self._bytes_per_second = None
            return 0
        if self._bytes_per_second is None:
            self._bytes_per_second = self._pace(period)
        ends, hashed, after = time.monotonic() + self._tick_seconds, 0, held.after
        is_end = True
        for stored in objects_after(self._store, held.after):
            if time.monotonic() > ends or self._stopping.is_set():
                is_end = False
                break
            rehash(self._store, stored, pause=self._pause)
            after, hashed = stored.sha256, hashed + 1
        self._note(HeldPass(after, held.objects + hashed), is_end=is_end)
        return hashed

    def _run(self) -> None:
        while not self._stopping.wait(self._tick_seconds):
            try:
                self.scrub_some()
                self.exchange()
            except Stopped:
                return
            except OUTAGE as error:
                log.warning("scrub.database_unavailable", error=type(error).__name__)
            except (TrainyardError, OSError) as error:
                log.warning("scrub.storage_unavailable", error=type(error).__name__)
            except Exception:  # outermost loop of the thread: without it, damage is not noticed
                log.exception("scrub.failed")

    def _pace(self, period: timedelta) -> float:
        evenly = total_bytes(self._store) / period.total_seconds()
        return min(max(evenly, SLOWEST_BYTES), self._settings.bytes_per_second)

    def _pause(self, size_bytes: int) -> None:
        pace = self._bytes_per_second or self._settings.bytes_per_second
        if self._stopping.wait(size_bytes / pace):
            raise Stopped

    def _note(self, reached: HeldPass, *, is_end: bool) -> None:
        with self._database.write() as unit:
            note_progress(unit.session, self._holder, reached, length=HOLD, is_end=is_end)
        if is_end:
            self._bytes_per_second = None
            forget_missing(self._database, self._store)
            log.info("scrub.finished", objects=reached.objects)


class Stopped(Exception):
    """The server is shutting down."""


@dataclass(frozen=True)
class StorePass:
    """The result of a whole pass."""

    objects: int
    damaged: list[str]


def verify_all(
    database: Database, store: ArtifactStore, told: Callable[[str], None] = lambda _: None
) -> StorePass:
    """Hash every stored object now, and record what is damaged; `told` gets each damaged digest.

    Raises:
        Unavailable: the store is unreachable.
        sqlalchemy.exc.SQLAlchemyError: the database is unreachable.
    """
    damaged: list[str] = []
    objects = 0
    for stored in objects_after(store, ""):
        is_whole = rehash(store, stored)
        objects += is_whole is not None
        if is_whole is False:
            damaged.append(stored.sha256)
            told(stored.sha256)
    forget_missing(database, store)
    exchange_damage(database, store)
    return StorePass(objects, damaged)


def rehash(
    store: ArtifactStore, stored: StoredObject, *, pause: Callable[[int], None] = lambda _: None
) -> bool | None:
    """Return whether an object has the bytes of its digest, however well it is known.

    None: it is gone. `pause` is called after each piece, with its size.
    """
    identity = _identity(store, stored.sha256)
    digest = hashlib.sha256()
    try:
        for piece in _pieces(store, stored):
            digest.update(piece)
            pause(len(piece))
        is_whole = digest.hexdigest() == stored.sha256
    except FileNotFoundError:
        return None
    except (EOFError, StoredBytesCorrupt):
        is_whole = False
    if _identity(store, stored.sha256) != identity:
        return None  # replaced meanwhile: who serves it hashes it
    if not is_whole:
        log.error("store.damaged", sha256=stored.sha256, reason="other bytes than its digest")
    store.verified.note(stored.sha256, identity, is_whole=is_whole)
    return is_whole


def exchange_damage(database: Database, store: ArtifactStore) -> None:
    """Record what this process has found damaged or whole again, and learn what others found."""
    news = store.verified.news()
    if news:
        with database.write() as unit:
            record_damage(unit.session, news)
        store.verified.forget_news(news)
    with database.read() as unit:
        store.verified.put_marked(damaged_digests(unit.session))


def forget_missing(database: Database, store: ArtifactStore) -> None:
    """Forget the damage of objects that were removed."""
    with database.read() as unit:
        marked = damaged_digests(unit.session)
    gone = [sha256 for sha256 in marked if not store.exists(sha256)]
    if gone:
        with database.write() as unit:
            forget_damage(unit.session, gone)


def _pieces(store: ArtifactStore, stored: StoredObject) -> Iterator[bytes]:
    if stored.size_bytes:
        yield from store.open_part(stored.sha256, 0, stored.size_bytes)
    else:
        yield b""


def _identity(store: ArtifactStore, sha256: str) -> Identity:
    """Return the identity of a local file as `identity_of` does; () of a remote object."""
    file = local_file(store, sha256)
    try:
        found = file.lstat() if file else None
    except FileNotFoundError:
        found = None
    if found is None:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
