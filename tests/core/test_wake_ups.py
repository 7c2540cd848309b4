"""Wake-ups reach the readers of this process and of others, and never hold up a commit."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

from app.core.broker import EmbeddedBroker, redis_url
from app.core.database import Database, announce
from app.core.wake_ups import CHANNEL, LOG, PROGRESS, TOPICS, Listener, WakeUps
from app.settings import Settings
from tests.worlds.server import NO_BROKER

pytestmark = pytest.mark.integration

LONG = 10.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("broker") / "home"


@pytest.fixture(scope="module")
def broker(home: Path) -> Iterator[EmbeddedBroker]:
    embedded = EmbeddedBroker(home)
    embedded.start()
    yield embedded
    embedded.stop()


@pytest.fixture
def processes(home: Path, broker: EmbeddedBroker) -> Iterator[tuple[WakeUps, WakeUps]]:
    """Yield the wake-ups of two processes at one broker."""
    del broker  # it runs
    url = redis_url(Settings(home=home))
    with ExitStack() as stack:
        yield stack.enter_context(WakeUps(url)), stack.enter_context(WakeUps(url))


@pytest.fixture
def alone() -> Iterator[WakeUps]:
    """Yield the wake-ups of a process that reaches no broker."""
    with WakeUps(NO_BROKER) as wake_ups:
        yield wake_ups


def listening(wake_ups: WakeUps) -> Listener:
    """Return a listener that hears other processes: the broker has confirmed it."""
    listener = wake_ups.listener()
    assert listener.wait(LONG) == TOPICS
    return listener


class TestWakeUps:
    def test_a_reader_of_the_same_process_is_woken_without_a_broker(self, alone: WakeUps) -> None:
        listener = alone.listener()

        alone.publish(LOG)

        assert listener.wait(LONG) == {LOG}

    def test_a_wait_ends_without_a_wake_up(self, alone: WakeUps) -> None:
        assert alone.listener().wait(0.01) == frozenset()

    def test_the_topics_since_the_last_wait_come_together(self, alone: WakeUps) -> None:
        listener = alone.listener()
        for topic in (LOG, PROGRESS, LOG):
            alone.publish(topic)

        assert listener.wait(LONG) == {LOG, PROGRESS}
        assert listener.wait(0) == frozenset()

    def test_a_reader_of_another_process_is_woken(self, processes: tuple[WakeUps, WakeUps]) -> None:
        here, there = processes
        listener = listening(there)

        here.publish(PROGRESS)

        assert listener.wait(LONG) == {PROGRESS}

    def test_a_process_does_not_hear_itself_through_the_broker(
        self, processes: tuple[WakeUps, WakeUps]
    ) -> None:
        here, there = processes
        listener, other = listening(here), listening(there)
        here.publish(LOG)
        assert listener.wait(LONG) == other.wait(LONG) == {LOG}

        there.publish(PROGRESS)

        assert listener.wait(LONG) == {PROGRESS}

    def test_a_message_of_another_program_wakes_nobody(
        self, processes: tuple[WakeUps, WakeUps], broker: EmbeddedBroker
    ) -> None:
        here, there = processes
        listener = listening(there)

        with Redis(unix_socket_path=str(broker.socket)) as client:
            for message in (b"", b"\xff\xfe", b"process unknown", b"x" * 10_000):
                client.publish(CHANNEL, message)
        here.publish(LOG)

        assert listener.wait(LONG) == {LOG}

    def test_a_lost_connection_wakes_for_every_topic_once_it_is_back(
        self, processes: tuple[WakeUps, WakeUps], broker: EmbeddedBroker
    ) -> None:
        _, there = processes
        listener = listening(there)

        with Redis(unix_socket_path=str(broker.socket)) as client:
            client.client_kill_filter(_type="pubsub")

        assert listener.wait(LONG) == TOPICS

    def test_a_url_that_no_client_reads_costs_no_wake_up_of_this_process(self) -> None:
        with WakeUps("redis://127.0.0.1:1/0?visibility_timeout=10&no_such_option=1") as wake_ups:
            listener = wake_ups.listener()
            wake_ups.publish(LOG)

            assert listener.wait(LONG) == {LOG}


class TestAnnounce:
    @pytest.mark.mostly_sqlite
    def test_a_commit_publishes_the_topics_of_its_transaction(self, database: Database) -> None:
        published: list[str] = []
        database.announce_to(published.append)

        with database.write() as unit:
            for topic in (LOG, LOG, PROGRESS):
                announce(unit.session, topic)
            before = list(published)

        assert (before, sorted(published)) == ([], [LOG, PROGRESS])

    @pytest.mark.mostly_sqlite
    def test_a_rollback_publishes_nothing(self, database: Database) -> None:
        published: list[str] = []
        database.announce_to(published.append)

        def fail() -> None:
            with database.write() as unit:
                announce(unit.session, LOG)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()

        assert published == []
