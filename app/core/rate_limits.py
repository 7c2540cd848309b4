"""Limits on how often something may happen within a minute, counted by the library `limits`.

The counters are in the broker, which all servers share. While the broker does not answer within a
fraction of a second, each server counts alone; after a while it tries the broker again. No request
waits longer for it.
"""

import hashlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis import RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.core.errors import TooManyRequests
from app.core.logging import get_logger

log = get_logger(__name__)

T = TypeVar("T")

ANSWER_SECONDS: Final = 0.25
RETRY_SECONDS: Final = 30.0
PREFIX: Final = "trainyard:limits"
UNREACHABLE: Final = (RedisError, OSError, TypeError, ValueError)
"""TypeError and ValueError: the URL has options that only Celery knows."""


class RateLimited(TooManyRequests):
    """The caller did this too often in the last minute; `Retry-After` says when to try again."""

    slug, title = "rate-limited", "Too many requests"

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            f"Too many requests; try again in {retry_after} seconds.", retry_after=retry_after
        )


@dataclass(frozen=True)
class Rate:
    """A limit: how often `name` may happen per minute for each subject."""

    name: str
    per_minute: int

    @property
    def item(self) -> RateLimitItemPerMinute:
        """The limit as the library has it."""
        return RateLimitItemPerMinute(self.per_minute, namespace=self.name)


class RateCounters:
    """Counters of a sliding minute, in the broker or in this process.

    Args:
        broker_url: of the broker, as redis-py reads it.
        clock: seconds, for the time until the broker is tried again.
    """

    def __init__(self, broker_url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = broker_url
        self._clock = clock
        self._lock = threading.Lock()
        self._try_at: float | None = clock()
        """When to try the broker; None while it answers."""
        self._shared: SlidingWindowCounterRateLimiter | None = None
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())

    def hit(self, rate: Rate, *subject: str) -> None:
        """Count one more.

        Raises:
            RateLimited: it happened too often for this subject in the last minute.
        """
        key = _key(subject)
        if not self._ask(lambda limiter: limiter.hit(rate.item, key)):
            stats = self._ask(lambda limiter: limiter.get_window_stats(rate.item, key))
            raise RateLimited(min(60, max(1, math.ceil(stats.reset_time - time.time()))))

    def clear(self, rate: Rate, *subject: str) -> None:
        """Count from zero again."""
        key = _key(subject)
        self._ask(lambda limiter: limiter.clear(rate.item, key))

    def _ask(self, question: Callable[[SlidingWindowCounterRateLimiter], T]) -> T:
        if self._may_try():
            try:
                answer = question(self._reached())
            except UNREACHABLE as error:
                self._try_at = self._clock() + RETRY_SECONDS
                log.warning("limits.broker_unreachable", error=type(error).__name__)
            else:
                self._try_at = None
                return answer
        return question(self._own)

    def _may_try(self) -> bool:
        """Return whether to ask the broker. After a failure, one caller at a time tries it."""
        with self._lock:
            if self._try_at is None:
                return True
            now = self._clock()
            if now < self._try_at:
                return False
            self._try_at = now + RETRY_SECONDS
            return True

    def _reached(self) -> SlidingWindowCounterRateLimiter:
        if self._shared is None:
            storage = RedisStorage(
                self._url,
                key_prefix=PREFIX,
                socket_timeout=ANSWER_SECONDS,
                socket_connect_timeout=ANSWER_SECONDS,
                retry=Retry(NoBackoff(), 0),  # type: ignore[arg-type] # passed on to redis-py
            )
            self._shared = SlidingWindowCounterRateLimiter(storage)
        return self._shared


def _key(subject: tuple[str, ...]) -> str:
    """Return a key of constant length: names are what strangers send."""
    return hashlib.sha256("\0".join(subject).encode()).hexdigest()[:32]
