"""The embedded broker: one per home, private to its owner, adopted if it already runs."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis import Redis

from app.core.broker import (
    INSTANCE_KEY,
    SOCKET_PATH_BYTES,
    BrokerDidNotStart,
    BrokerOfAnotherInstance,
    EmbeddedBroker,
    broker_url,
    instance_id,
    socket_path,
)
from app.settings import Settings
from tests.waiting import eventually

STARTER = """
import sys, time
from pathlib import Path
from app.core.broker import EmbeddedBroker
broker = EmbeddedBroker(Path(sys.argv[1]))
broker.start()
print(broker.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def running(home: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(home)
    broker.start()
    yield broker
    broker.stop()


def client_of(broker: EmbeddedBroker) -> Redis:
    return Redis(unix_socket_path=str(broker.socket), decode_responses=True)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.unit
class TestBrokerUrl:
    def test_the_broker_url_is_the_one_that_was_set(self, home: Path) -> None:
        url = "rediss://:secret@broker.example:6379/2"

        assert broker_url(Settings(home=home, broker_url=SecretStr(url))) == url

    def test_the_broker_url_is_the_socket_of_the_home_by_default(self, tmp_path: Path) -> None:
        home = tmp_path / "h o"

        url = broker_url(Settings(home=home))

        expected = str(home / "run/broker.sock").replace(" ", "%20")
        assert url == f"redis+socket://{expected}?virtual_host=0"


@pytest.mark.unit
class TestSocketPath:
    def test_the_path_of_a_socket_fits_the_kernel_however_long_the_home_is(
        self, tmp_path: Path
    ) -> None:
        home = tmp_path / ("h" * SOCKET_PATH_BYTES)

        path = socket_path(home)

        assert len(os.fsencode(path)) <= SOCKET_PATH_BYTES
        assert socket_path(home) == path
        assert socket_path(tmp_path / ("i" * SOCKET_PATH_BYTES)) != path


@pytest.mark.unit
class TestInstanceId:
    def test_an_instance_id_is_made_once_and_private(self, home: Path) -> None:
        first = instance_id(home)

        assert instance_id(home) == first
        assert first.startswith("ins_")
        assert mode(home / "instance-id") == 0o600
        assert [path.name for path in home.iterdir()] == ["instance-id"]


@pytest.mark.integration
class TestEmbeddedBroker:
    def test_an_embedded_broker_answers_on_a_private_socket_and_on_no_port(
        self, running: EmbeddedBroker
    ) -> None:
        with client_of(running) as client:
            assert client.config_get("port") == {"port": "0"}
            assert client.get(INSTANCE_KEY) == running.instance
        assert mode(running.socket) == 0o700
        assert mode(running.socket.parent) == 0o700

    def test_an_embedded_broker_works_in_a_home_with_a_long_path(self, tmp_path: Path) -> None:
        broker = EmbeddedBroker(tmp_path / ("h" * SOCKET_PATH_BYTES))

        broker.start()

        assert broker.is_alive()
        broker.stop()
        broker.socket.parent.rmdir()

    def test_stopping_an_embedded_broker_leaves_no_process_and_no_socket(self, home: Path) -> None:
        broker = EmbeddedBroker(home)
        broker.start()

        broker.stop()

        assert not broker.is_alive()
        assert not broker.socket.exists()

    def test_an_embedded_broker_can_be_started_again_after_it_was_killed(
        self, running: EmbeddedBroker
    ) -> None:
        assert running.pid is not None
        os.kill(running.pid, signal.SIGKILL)
        eventually(lambda: not running.is_alive(), within=5)

        running.start()  # the socket file of the dead broker still exists

        assert running.is_alive()

    @pytest.mark.usefixtures("running")
    def test_a_broker_that_runs_already_is_adopted(self, home: Path) -> None:
        second = EmbeddedBroker(home)

        second.start()

        assert (second.pid, second.is_alive()) == (None, True)

    @pytest.mark.slow
    def test_an_adopted_broker_that_answers_late_is_alive(
        self, running: EmbeddedBroker, home: Path
    ) -> None:
        second = EmbeddedBroker(home)
        second.start()
        assert running.pid is not None
        os.kill(running.pid, signal.SIGSTOP)
        try:
            alive = second.is_alive()
            with pytest.raises(BrokerDidNotStart, match="does not respond"):
                second.start()
        finally:
            os.kill(running.pid, signal.SIGCONT)

        assert alive

    def test_an_adopted_broker_is_stopped_too(self, running: EmbeddedBroker, home: Path) -> None:
        second = EmbeddedBroker(home)
        second.start()

        second.stop()

        eventually(lambda: not running.is_alive(), within=5)

    def test_a_broker_whose_starter_died_before_naming_it_is_adopted(
        self, running: EmbeddedBroker, home: Path
    ) -> None:
        with client_of(running) as client:
            client.delete(INSTANCE_KEY)

        EmbeddedBroker(home).start()

        with client_of(running) as client:
            assert client.get(INSTANCE_KEY) == running.instance

    def test_a_broker_of_another_instance_is_refused_and_left_running(
        self, running: EmbeddedBroker, home: Path
    ) -> None:
        (home / "instance-id").write_text("ins_other\n")

        with pytest.raises(BrokerOfAnotherInstance, match="ins_other"):
            EmbeddedBroker(home).start()

        assert running.is_alive()

    def test_a_folder_that_cannot_hold_a_socket_is_told(self, home: Path) -> None:
        broker = EmbeddedBroker(home)
        broker.socket.mkdir(parents=True)

        with pytest.raises((BrokerDidNotStart, OSError)):
            broker.start()

    @pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does this")
    @pytest.mark.faults
    def test_an_embedded_broker_dies_with_the_process_that_started_it(self, home: Path) -> None:
        starter = subprocess.Popen(
            [sys.executable, "-c", STARTER, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert starter.stdout is not None
        line = starter.stdout.readline()
        while not line.strip().isdigit():
            line = starter.stdout.readline()

        starter.kill()
        starter.communicate()

        eventually(lambda: not Path(f"/proc/{int(line)}/exe").exists(), within=5)
