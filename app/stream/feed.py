"""The thread that reads for all watchers of a server, while there are any."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from app.core.database import OUTAGE
from app.core.logging import get_logger
from app.core.wake_ups import ACCESS, LOG
from app.events.log import LogPosition
from app.stream.items import Batch, View
from app.stream.source import Source
from app.stream.state import StateItems
from app.stream.watcher import Credential

log = get_logger(__name__)


class Listener(Protocol):
    """Waits for wake-ups; see `app.core.wake_ups`."""

    def wait(self, seconds: float) -> frozenset[str]:
        """Return the topics since the last call, after `seconds` at the latest."""

    def wake(self, topics: Iterable[str]) -> None:
        """End the wait."""


@dataclass(frozen=True)
class Rhythm:
    """How often the feed reads, in seconds.

    Attributes:
        poll: between two reads of the log without a wake-up.
        state: between two reads of the current state.
        access: between two look-ups of all credentials without a wake-up.
        pause: between two reads of the log, however many wake-ups there are.
        again: after a wake-up, when the log is read once more. On PostgreSQL, a row can be read
            only after every older transaction has ended.
        failure: after a read that failed.
    """

    poll: float = 1.0
    state: float = 1.0
    access: float = 15.0
    pause: float = 0.02
    again: float = 0.1
    failure: float = 1.0


USUAL: Final = Rhythm()


@dataclass(frozen=True)
class AccessAnswer:
    """What was looked up: `views` lacks the credentials that are no longer valid."""

    asked: frozenset[Credential]
    views: Mapping[Credential, View]


@dataclass(frozen=True)
class Delivery:
    """What the feed read, for all watchers.

    Attributes:
        position: up to where the log was read.
        batch: what is new.
        everything: all current state, for watchers that join; None: unchanged.
        gap: whether rows are missing in front of the batch: the log is that of a backup.
    """

    position: LogPosition
    batch: Batch
    everything: Batch | None = None
    gap: bool = False


class Feed:
    """Reads the log, the current state and the access of watchers, and delivers what changed.

    Args:
        source: read from.
        listener: waits for wake-ups.
        deliver: called in the thread with everything that was read.
        credentials: returns those of all watchers.
        rhythm: how often.
    """

    def __init__(
        self,
        source: Source,
        listener: Listener,
        deliver: "Callable[[Feed, Delivery | AccessAnswer], None]",
        credentials: Callable[[], frozenset[Credential]],
        rhythm: Rhythm = USUAL,
    ) -> None:
        self._source = source
        self._listener = listener
        self._deliver = deliver
        self._credentials = credentials
        self._rhythm = rhythm
        self._position: LogPosition | None = None
        self._state = StateItems()
        now = time.monotonic()
        self._log_due = self._state_due = now
        self._access_due = now + rhythm.access
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end soon."""
        self._stopping.set()
        self._listener.wake({LOG})

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._thread.join()

    def _run(self) -> None:
        topics: frozenset[str] = frozenset()
        while not self._stopping.is_set():
            self._read(topics)
            self._stopping.wait(self._rhythm.pause)
            topics = self._listener.wait(self._seconds_to_wait())

    def _seconds_to_wait(self) -> float:
        due = min(self._log_due, self._state_due, self._access_due)
        return max(0.0, due - time.monotonic())

    def _read(self, topics: frozenset[str]) -> None:
        try:
            self._read_due(topics)
        except OUTAGE as error:
            log.warning("stream.not_read", error=type(error).__name__)
            self._stopping.wait(self._rhythm.failure)
        except Exception:  # outermost loop of the thread: it must go on
            log.exception("stream.failed")
            self._stopping.wait(self._rhythm.failure)

    def _read_due(self, topics: frozenset[str]) -> None:
        now = time.monotonic()
        if ACCESS in topics or now >= self._access_due:
            self._look_up()
        if self._position is None:
            self._begin()
            return
        if LOG in topics or now >= self._log_due:
            self._position = self._rows_after(self._position, is_woken=LOG in topics)
        if now >= self._state_due:
            self._changes(self._position)

    def _begin(self) -> None:
        """Find the position, and all current state."""
        position = self._source.newest()
        self._state.changes(self._source.state(), position, "")
        self._state_due = time.monotonic() + self._rhythm.state
        self._position = position
        self._deliver(self, Delivery(position, Batch(), self._everything(position)))

    def _rows_after(self, position: LogPosition, *, is_woken: bool) -> LogPosition:
        """Deliver new rows of the log, and return the position behind them."""
        rows = self._source.rows_after(position)
        pause = self._rhythm.again if is_woken else self._rhythm.poll
        self._log_due = time.monotonic() + (0 if rows.has_more else pause)
        if rows.gap or rows.sealed_to != position:
            delivery = Delivery(rows.sealed_to, Batch(rows.items), gap=rows.gap)
            self._deliver(self, delivery)
        return rows.sealed_to

    def _changes(self, position: LogPosition) -> None:
        """Deliver what changed of the current state."""
        state = self._source.state()
        changes = self._state.changes(state, position, self._source.seal(position))
        self._state_due = time.monotonic() + self._rhythm.state
        if changes:
            everything = self._everything(position)
            self._deliver(self, Delivery(position, Batch(changes), everything))

    def _everything(self, position: LogPosition) -> Batch:
        return Batch(self._state.everything(position, self._source.seal(position)))

    def _look_up(self) -> None:
        """Deliver what the credentials of all watchers may see now."""
        asked = self._credentials()
        views = self._source.access_of(asked) if asked else {}
        self._access_due = time.monotonic() + self._rhythm.access
        self._deliver(self, AccessAnswer(asked, views))
