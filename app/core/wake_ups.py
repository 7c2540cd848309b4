"""Wake-ups: the broker tells every process after a commit that there is something new to read.

A wake-up has no content and may be lost. Its readers also look by themselves, at least once a
second, so a broker that is missing, refuses or loses messages costs at most that second.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Final, Self

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.retry import Retry

from app.core.background import Background
from app.core.ids import new_id
from app.core.logging import first_line, get_logger

LOG: Final = "log"
"""A commit appended to the event log."""
PROGRESS: Final = "progress"
"""A commit wrote the progress of a job, or a piece of its training log."""
ACCESS: Final = "access"
"""A commit changed what callers may do."""
TOPICS: Final = frozenset({LOG, PROGRESS, ACCESS})

CHANNEL: Final = "trainyard:wake-ups"
ANSWER_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = 0.01
"""Shortest time between two messages of a process. Topics of commits in between are sent once."""
LISTEN_SECONDS: Final = 0.25
UNREACHABLE: Final = (RedisError, OSError, TypeError, ValueError)
"""TypeError and ValueError: the URL has options that only Celery knows."""

log = get_logger(__name__)


class Listener:
    """The topics for which one reader was woken. Made by `WakeUps.listener`."""

    def __init__(self) -> None:
        self._topics: set[str] = set()
        self._changed = threading.Condition()

    def wait(self, seconds: float) -> frozenset[str]:
        """Wait for a wake-up; return the topics since the last call, without any after `seconds`.

        After an interruption of the broker it returns every topic, as wake-ups may be lost.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._topics, timeout=seconds)
            topics = frozenset(self._topics)
            self._topics.clear()
        return topics

    def wake(self, topics: Iterable[str]) -> None:
        """End the wait of the reader. Called by `WakeUps`, and by who stops the reader."""
        with self._changed:
            self._topics.update(topics)
            self._changed.notify_all()


class WakeUps:
    """Sends and receives the wake-ups of this process while the `with` block runs.

    Args:
        redis_url: of the broker, as redis-py reads it.
    """

    def __init__(self, redis_url: str) -> None:
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()
        process = new_id("wak")
        self._sender = _Sender(redis_url, process)
        self._receiver = _Receiver(redis_url, process, self._wake)
        self._is_open = False

    def __enter__(self) -> Self:
        self._sender.__enter__()
        self._is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._is_open = False
            if self._listeners:
                self._receiver.__exit__()
        self._sender.__exit__()

    def publish(self, topic: str) -> None:
        """Wake the readers of this process, and soon those of all others. Never waits or raises."""
        self._wake({topic})
        self._sender.add(topic)

    def listener(self) -> Listener:
        """Return a listener. The first one of a process opens its connection to the broker."""
        listener = Listener()
        with self._lock:
            if self._is_open and not self._listeners:
                self._receiver.__enter__()
            self._listeners = [*self._listeners, listener]
        return listener

    def _wake(self, topics: Iterable[str]) -> None:
        for listener in self._listeners:
            listener.wake(topics)


class _Sender(Background):
    """Sends the topics of commits from its own thread, so that no commit waits for the broker."""

    def __init__(self, redis_url: str, process: str) -> None:
        super().__init__("wake-ups out")
        self._url = redis_url
        self._process = process
        self._topics: set[str] = set()
        self._waking = threading.Event()
        self._failures = _Failures("wake_ups.not_sent")

    def add(self, topic: str) -> None:
        """Send this topic soon."""
        self._topics.add(topic)
        self._waking.set()

    def _stop(self) -> None:
        super()._stop()
        self._waking.set()

    def _run(self) -> None:
        client: Redis | None = None
        while not self._stopping.is_set():
            self._waking.wait()
            self._waking.clear()
            try:
                client = client or _client(self._url)
                self._send(client)
            except UNREACHABLE as error:
                self._failures.note(error)
                self._stopping.wait(RETRY_SECONDS)
            else:
                self._failures.end()
                self._stopping.wait(PAUSE_SECONDS)
        if client is not None:
            client.close()

    def _send(self, client: Redis) -> None:
        # A topic that is added while this runs is in the set, or sent now.
        topics = [self._topics.pop() for _ in range(len(self._topics))]
        if topics:
            client.publish(CHANNEL, " ".join([self._process, *topics]))


class _Receiver(Background):
    """Hears the wake-ups of other processes, in one connection to the broker."""

    def __init__(self, redis_url: str, process: str, wake: Callable[[Iterable[str]], None]) -> None:
        super().__init__("wake-ups in")
        self._url = redis_url
        self._process = process
        self._wake = wake
        self._failures = _Failures("wake_ups.not_heard")

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with _client(self._url) as client, client.pubsub() as messages:
                    self._hear(messages)
            except UNREACHABLE as error:
                self._failures.note(error)
                self._stopping.wait(RETRY_SECONDS)

    def _hear(self, messages: PubSub) -> None:
        """Receive until the process stops."""
        messages.subscribe(CHANNEL)
        while not self._stopping.is_set():
            message = messages.get_message(timeout=LISTEN_SECONDS)
            if message is None:
                continue
            if message["type"] == "subscribe":
                self._failures.end()
                self._wake(TOPICS)  # what was sent before is lost
            elif message["type"] == "message":
                self._wake_for(message["data"])

    def _wake_for(self, sent: bytes) -> None:
        process, *topics = sent.decode(errors="replace").split(" ")
        if process != self._process:
            self._wake(TOPICS.intersection(topics))


class _Failures:
    """Logs the first of several failures in a row."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._is_known = False

    def note(self, error: Exception) -> None:
        if not self._is_known:
            self._is_known = True
            log.warning(self._event, error=first_line(error))

    def end(self) -> None:
        self._is_known = False


def _client(url: str) -> Redis:
    return Redis.from_url(
        url.replace("redis+unix://", "unix://", 1),  # the library `limits` writes it in this way
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        health_check_interval=10,
        retry=Retry(NoBackoff(), 0),
    )
