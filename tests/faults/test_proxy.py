"""The fault proxy itself: a fault applies at once, and leaves no trace after `heal`."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from tests.faults.proxy import Address, Direction, FaultProxy, fault_proxy, postgres_proxy
from tests.waiting import eventually

ANSWER_SECONDS = 10.0
SILENCE_SECONDS = 0.3


@contextmanager
def echo_server(at: Address) -> Iterator[Address]:
    """Echo all received bytes until the block ends."""
    family = socket.AF_UNIX if isinstance(at, Path) else socket.AF_INET
    listening = socket.socket(family)
    listening.bind(str(at) if isinstance(at, Path) else at)
    listening.listen()
    ended = threading.Event()

    def echo(client: socket.socket) -> None:
        with client:
            try:
                while data := client.recv(65536):
                    client.sendall(data)
            except OSError:
                return

    def serve() -> None:
        while not ended.is_set():
            client, _ = listening.accept()
            threading.Thread(target=echo, args=(client,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    address = listening.getsockname()
    where = Path(address) if isinstance(address, str) else address
    try:
        yield where
    finally:
        ended.set()
        connected(where).close()
        thread.join()
        listening.close()


def connected(address: Address) -> socket.socket:
    family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    client = socket.socket(family)
    client.settimeout(ANSWER_SECONDS)
    try:
        client.connect(str(address) if isinstance(address, Path) else address)
    except OSError:
        client.close()
        raise
    return client


def heard(client: socket.socket, data: bytes) -> bytes:
    """Send `data`; return the answer once it is as long, or the connection ended."""
    client.sendall(data)
    answer = b""
    while len(answer) < len(data):
        try:
            more = client.recv(65536)
        except ConnectionError:
            break
        if not more:
            break
        answer += more
    return answer


@pytest.fixture(params=["tcp", "unix"])
def proxy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FaultProxy]:
    unix = request.param == "unix"
    with (
        echo_server(tmp_path / "echo.sock" if unix else ("127.0.0.1", 0)) as upstream,
        fault_proxy(upstream, listen=tmp_path / "proxy.sock" if unix else None) as proxy,
    ):
        yield proxy


class TestFaultProxy:
    def test_a_proxy_carries_bytes_both_ways(self, proxy: FaultProxy) -> None:
        data = bytes(range(256)) * 4096

        with connected(proxy.address) as client:
            client.sendall(data[:9])
            answer = client.recv(9) + heard(client, data[9:100_000])

        assert answer == data[:100_000]
        eventually(lambda: not proxy.connections, within=5)

    def test_a_cut_breaks_what_is_open_and_refuses_what_is_new(self, proxy: FaultProxy) -> None:
        with connected(proxy.address) as client:
            heard(client, b"before")

            proxy.cut()

            assert heard_nothing_more(client)
        with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
            connected(proxy.address)

    def test_a_proxy_that_was_cut_comes_back_at_the_same_address(self, proxy: FaultProxy) -> None:
        place = proxy.address
        proxy.cut()

        proxy.heal()

        with connected(place) as client:
            assert heard(client, b"again") == b"again"

    def test_broken_connections_can_be_made_again(self, proxy: FaultProxy) -> None:
        with connected(proxy.address) as client:
            heard(client, b"before")

            proxy.break_connections()

            assert heard_nothing_more(client)
        with connected(proxy.address) as client:
            assert heard(client, b"again") == b"again"

    def test_a_stall_delivers_nothing_until_it_heals(self, proxy: FaultProxy) -> None:
        with connected(proxy.address) as old:
            heard(old, b"before")
            proxy.stall()
            with connected(proxy.address) as new:
                old.sendall(b"old")
                new.sendall(b"new")
                for client in (old, new):
                    client.settimeout(SILENCE_SECONDS)
                    with pytest.raises(TimeoutError):
                        client.recv(1)
                    client.settimeout(ANSWER_SECONDS)

                proxy.heal()

                assert (old.recv(3), new.recv(3)) == (b"old", b"new")

    @pytest.mark.parametrize("direction", Direction)
    def test_a_connection_is_cut_after_so_many_bytes(
        self, proxy: FaultProxy, direction: Direction
    ) -> None:
        proxy.cut_after(5, direction)

        with connected(proxy.address) as client:
            answer = heard(client, b"0123456789")

        assert answer in {b"01234", b""}  # the cut may lose an answer in transit
        if direction is Direction.TO_CLIENT:
            assert answer == b"01234"

    def test_delayed_bytes_arrive_late(self, proxy: FaultProxy) -> None:
        proxy.delay(SILENCE_SECONDS)

        with connected(proxy.address) as client:
            client.settimeout(SILENCE_SECONDS)
            client.sendall(b"late")
            with pytest.raises(TimeoutError):
                client.recv(4)
            client.settimeout(ANSWER_SECONDS)
            assert client.recv(4) == b"late"

    def test_nothing_is_left_when_it_ends_during_a_stall(self, tmp_path: Path) -> None:
        before = set(threading.enumerate())
        with (
            echo_server(tmp_path / "echo.sock") as upstream,
            fault_proxy(upstream, listen=tmp_path / "proxy.sock") as proxy,
        ):
            proxy.stall()
            with connected(proxy.address) as client:
                client.sendall(b"never heard")
                eventually(lambda: proxy.connections, within=5)

        assert not (tmp_path / "proxy.sock").exists()
        eventually(lambda: before.issuperset(threading.enumerate()), within=5)


def heard_nothing_more(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True


class TestLostCommit:
    @pytest.fixture
    def through(self, postgres_url: str) -> Iterator[tuple[FaultProxy, Engine]]:
        with postgres_proxy(postgres_url) as (proxy, url):
            engine = create_engine(url)
            with engine.begin() as connection:
                connection.execute(text("CREATE TABLE said (word text)"))
            yield proxy, engine
            engine.dispose()

    def words(self, engine: Engine) -> list[str]:
        with engine.connect() as connection:
            return list(connection.scalars(text("SELECT word FROM said ORDER BY word")))

    def say(self, engine: Engine, word: str) -> None:
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO said VALUES (:word)"), {"word": word})

    def test_a_commit_whose_answer_was_lost_is_in_the_database(
        self, through: tuple[FaultProxy, Engine]
    ) -> None:
        proxy, engine = through
        proxy.lose_commit_answers()

        with pytest.raises(OperationalError):
            self.say(engine, "lost")

        assert self.words(engine) == ["lost"]
        assert proxy.lost_commits == 1

    def test_answers_are_lost_as_many_times_as_requested(
        self, through: tuple[FaultProxy, Engine]
    ) -> None:
        proxy, engine = through
        proxy.lose_commit_answers(times=2)

        for word in ("one", "two"):
            with pytest.raises(OperationalError):
                self.say(engine, word)
        self.say(engine, "three")

        assert self.words(engine) == ["one", "three", "two"]

    def test_only_a_transaction_with_the_marker_loses_its_answer(
        self, through: tuple[FaultProxy, Engine]
    ) -> None:
        proxy, engine = through
        proxy.lose_commit_answers(marker=b"marked")

        self.say(engine, "plain")
        with pytest.raises(OperationalError):
            self.say(engine, "marked")

        assert self.words(engine) == ["marked", "plain"]
