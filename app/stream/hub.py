"""All watchers of a server: one feed reads for them, and each read is handed to all of them."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from app.accounts.keys import KeyScope
from app.events.log import LogPosition
from app.stream.feed import USUAL, AccessAnswer, Delivery, Feed, Listener, Rhythm
from app.stream.items import Batch
from app.stream.messages import ByeReason, StreamBye
from app.stream.rendering import PING, rendered
from app.stream.source import Source
from app.stream.watcher import Credential, CredentialKind, Watcher

PING_SECONDS: Final = 15.0
FAREWELLS: Final = {reason: rendered("bye", StreamBye(reason=reason)) for reason in ByeReason}
ENDED: Final = {
    CredentialKind.KEY: ByeReason.REVOKED,
    CredentialKind.SESSION: ByeReason.SIGNED_OUT,
}
"""Why streams end whose credential is no longer valid."""


class Hub:
    """Watchers come and go in the event loop; a feed runs while there are any.

    Args:
        source: read by the feed.
        listen: returns a listener for wake-ups; called when the first watcher comes.
        rhythm: how often the feed reads.
        ping_seconds: between two comments that keep connections open.
    """

    def __init__(
        self,
        source: Source,
        listen: Callable[[], Listener],
        *,
        rhythm: Rhythm = USUAL,
        ping_seconds: float = PING_SECONDS,
    ) -> None:
        self.position: LogPosition | None = None
        self.everything = Batch()
        self._source = source
        self._listen = listen
        self._listener: Listener | None = None
        self._rhythm = rhythm
        self._ping_seconds = ping_seconds
        self._watchers: set[Watcher] = set()
        self._lock = threading.Lock()
        self._credentials: Counter[Credential] = Counter()
        self._feed: Feed | None = None
        self._stopped: list[Feed] = []
        self._ping: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end_all(ByeReason.SHUTDOWN)
        self._stop_feed()
        for feed in self._stopped:
            feed.join()

    @property
    def watchers(self) -> int:
        """The number of watchers."""
        return len(self._watchers)

    @contextmanager
    def attached(self, watcher: Watcher) -> Iterator[None]:
        """Hand everything to a watcher while the block runs."""
        self._watchers.add(watcher)
        with self._lock:
            self._credentials[watcher.credential] += 1
        if self._feed is None:
            self._start_feed()
        try:
            yield
        finally:
            self._watchers.discard(watcher)
            with self._lock:
                self._credentials[watcher.credential] -= 1
                if not self._credentials[watcher.credential]:
                    del self._credentials[watcher.credential]
            if not self._watchers:
                self._stop_feed()

    async def begun(self, watcher: Watcher) -> LogPosition | None:
        """Wait until the feed knows its position, and return the current one.

        Returns:
            The position; None: the watcher was ended before the feed could read one.
        """
        while self.position is None and not watcher.is_over:
            await watcher.next_news()
        return self.position

    def end_all(self, reason: ByeReason) -> None:
        """End every stream."""
        for watcher in self._watchers:
            watcher.end(FAREWELLS[reason])

    def _start_feed(self) -> None:
        loop = asyncio.get_running_loop()

        def deliver(feed: Feed, delivery: Delivery | AccessAnswer) -> None:
            loop.call_soon_threadsafe(self._take, feed, delivery)

        listener = self._listener = self._listener or self._listen()
        self._feed = Feed(self._source, listener, deliver, self._known, self._rhythm)
        self._feed.start()
        self._ping = loop.call_later(self._ping_seconds, self._ping_all)

    def _stop_feed(self) -> None:
        if self._feed is None:
            return
        self._feed.stop()
        self._stopped = [each for each in self._stopped if each.is_alive] + [self._feed]
        self._feed = self.position = None
        self.everything = Batch()
        if self._ping is not None:
            self._ping.cancel()

    def _known(self) -> frozenset[Credential]:
        with self._lock:
            return frozenset(self._credentials)

    def _take(self, feed: Feed, delivery: Delivery | AccessAnswer) -> None:
        """Hand on what the feed read. Runs in the event loop."""
        if feed is not self._feed:
            return  # its last watcher has left
        if isinstance(delivery, AccessAnswer):
            self._apply(delivery)
            return
        if self.position is None:
            for watcher in self._watchers:
                watcher.wake()
        self.position = delivery.position
        if delivery.everything is not None:
            self.everything = delivery.everything
        for watcher in self._watchers:
            if delivery.gap:
                watcher.end()  # its client comes back and learns of the gap
            watcher.offer(delivery.batch)

    def _apply(self, answer: AccessAnswer) -> None:
        for watcher in self._watchers:
            if watcher.credential not in answer.asked:
                continue
            view = answer.views.get(watcher.credential)
            if view is None or KeyScope.JOBS_READ not in view.scopes:
                watcher.end(FAREWELLS[ENDED[watcher.credential.kind]])
            elif watcher.project_id is not None and watcher.project_id not in view.projects:
                watcher.end(FAREWELLS[ByeReason.REVOKED])
            else:
                watcher.view = replace(view, job_id=watcher.view.job_id)

    def _ping_all(self) -> None:
        for watcher in self._watchers:
            watcher.push(PING)
        loop = asyncio.get_running_loop()
        self._ping = loop.call_later(self._ping_seconds, self._ping_all)
