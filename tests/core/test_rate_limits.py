"""Limits per minute, counted in the broker while it answers, else in this process."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
from pydantic import SecretStr

from app.core.broker import EmbeddedBroker, redis_url
from app.core.problems import problem_response
from app.core.rate_limits import RETRY_SECONDS, Rate, RateCounters, RateLimited
from app.settings import Settings

NOBODY = "redis://127.0.0.1:1/0"
THREE = Rate("test", 3)


class Clock:
    """A clock that a test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def hits(counters: RateCounters, count: int, *subject: str) -> list[bool]:
    """Hit `count` times; return for each whether it was allowed."""
    return [_is_allowed(counters, subject or ("someone",)) for _ in range(count)]


def _is_allowed(counters: RateCounters, subject: tuple[str, ...]) -> bool:
    try:
        counters.hit(THREE, *subject)
    except RateLimited:
        return False
    return True


@contextmanager
def at(seconds: float) -> Iterator[None]:
    """Let the library's clock run ahead."""
    with mock.patch("time.time", return_value=time.time() + seconds):
        yield


@pytest.mark.unit
class TestOwnCounters:
    def test_the_fourth_of_three_is_refused(self) -> None:
        assert hits(RateCounters(NOBODY), 5) == [True, True, True, False, False]

    def test_subjects_are_counted_apart(self) -> None:
        counters = RateCounters(NOBODY)
        hits(counters, 3, "a", "b")

        assert hits(counters, 1, "a", "c") == [True]
        assert hits(counters, 1, "ab") == [True]
        assert hits(counters, 1, "a", "b") == [False]

    def test_two_minutes_later_all_is_allowed_again(self) -> None:
        counters = RateCounters(NOBODY)
        hits(counters, 4)

        with at(120):
            assert hits(counters, 4) == [True, True, True, False]

    def test_a_cleared_counter_begins_at_zero(self) -> None:
        counters = RateCounters(NOBODY)
        hits(counters, 3)

        counters.clear(THREE, "someone")

        assert hits(counters, 3) == [True, True, True]

    def test_the_answer_says_when_to_try_again(self) -> None:
        counters = RateCounters(NOBODY)
        hits(counters, 3)

        with pytest.raises(RateLimited) as refused:
            counters.hit(THREE, "someone")

        response = problem_response(refused.value)
        assert response.status_code == 429
        assert 1 <= int(response.headers["retry-after"]) <= 60

    @pytest.mark.parametrize("name", ["", "\0", "a" * 100_000, "LIMITER/*", "ключ", "a b\r\nc"])
    def test_any_name_can_be_counted(self, name: str) -> None:
        assert hits(RateCounters(NOBODY), 4, name) == [True, True, True, False]


@pytest.mark.integration
class TestBroker:
    def test_all_servers_count_together(self, tmp_path: Path) -> None:
        broker = EmbeddedBroker(tmp_path)
        broker.start()
        url = redis_url(Settings(home=tmp_path))
        one, other = RateCounters(url), RateCounters(url)

        allowed = [*hits(one, 2), *hits(other, 2), *hits(one, 1)]
        other.clear(THREE, "someone")
        cleared = hits(one, 1)
        broker.stop()
        alone = hits(one, 4)

        assert allowed == [True, True, True, False, False]
        assert cleared == [True]
        assert alone == [True, True, True, False]

    def test_a_broker_that_does_not_answer_is_left_alone_for_a_while(self) -> None:
        clock = Clock()
        with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
            listener.setblocking(False)  # noqa: FBT003 -- the signature of the socket
            port = listener.getsockname()[1]
            counters = RateCounters(f"redis://127.0.0.1:{port}/0", clock=clock)

            first = hits(counters, 4)
            clock.now += RETRY_SECONDS
            second = hits(counters, 1)

            assert first == [True, True, True, False]
            assert second == [False]
            assert connections_to(listener) == 2

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("redis+socket:///run/b.sock?virtual_host=2", "redis+unix:///run/b.sock?db=2"),
            ("rediss://:secret@broker.example:6379/2", "rediss://:secret@broker.example:6379/2"),
        ],
    )
    def test_the_url_of_celery_is_translated(self, url: str, expected: str) -> None:
        assert redis_url(Settings(broker_url=SecretStr(url))) == expected

    def test_a_url_that_only_celery_understands_is_no_obstacle(self) -> None:
        counters = RateCounters("redis://127.0.0.1:1/0?no_such_option=1")

        assert hits(counters, 4) == [True, True, True, False]


def connections_to(listener: socket.socket) -> int:
    count = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1
