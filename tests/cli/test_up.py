"""`trainyard up` starts all processes, keeps them running, and leaves none behind."""

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis, RedisError

from app.core.supervision import ProcessChild
from app.settings import Settings
from app.up import Announcement, slot_of_this_machine
from tests.waiting import eventually
from tests.worlds.server import Server, start, status_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

START_SECONDS = 90
STOP_SECONDS = 60


def up(home: Path, *options: str) -> Server:
    return start(home, "up", "--home", str(home), *options)


def wait_until_announced(server: Server) -> Server:
    eventually(
        lambda: "Ctrl-C" in server.text or server.process.poll() is not None,
        within=START_SECONDS,
        message=lambda: server.text,
    )
    assert server.process.poll() is None, server.text
    return server


def pids_of(server: Server, word: str = "") -> set[int]:
    """Return the processes of the server's home whose command line contains `word`."""
    return {pid for pid, command in processes_of(server.home) if word in command}


def processes_of(home: Path) -> Iterator[tuple[int, str]]:
    """Yield every running process that has the home in its command line or environment."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                environment = (entry / "environ").read_bytes().decode(errors="replace")
            except (FileNotFoundError, PermissionError, ProcessLookupError):
                continue
            if command and str(home) in command + environment:
                yield int(entry.name), command


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(scope="class")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = up(tmp_path_factory.mktemp("up") / "home", "--port", "0")
    yield wait_until_announced(started)
    started.stop(signal.SIGINT)


@pytest.mark.integration
class TestRunning:
    def test_the_note_names_a_server_that_answers_with_the_first_key(self, server: Server) -> None:
        key = server.key

        assert status_of(server.url + "/v1/jobs", key) == 200
        assert status_of(server.url + "/v1/jobs") == 401

    def test_files_of_the_home_are_private_to_its_owner(self, server: Server) -> None:
        assert mode(server.home) == 0o700
        assert {name: mode(server.home / name) for name in ("api-key", "server.json")} == {
            "api-key": 0o600,
            "server.json": 0o600,
        }

    def test_up_prints_the_url_and_where_the_key_is(self, server: Server) -> None:
        assert f"ready at {server.url}" in server.text
        assert str(server.home / "api-key") in server.text
        assert server.key not in server.text

    def test_a_second_up_on_the_same_home_is_refused(self, server: Server) -> None:
        second = subprocess.run(
            [sys.executable, "-m", "app.cli", "up", "--home", str(server.home), "--port", "0"],
            capture_output=True,
            text=True,
            check=False,
        )

        assert second.returncode == 1
        assert second.stderr.startswith("trainyard: Another")
        assert status_of(server.url + "/livez") == 200

    def test_a_head_without_end_is_refused(self, server: Server) -> None:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
            for _ in range(20):
                try:
                    connection.sendall(b"a" * 8192)
                except ConnectionError:
                    break

            answer = connection.recv(4096)

        assert answer.startswith(b"HTTP/1.1 431 ")

    def test_many_requests_on_one_connection_are_no_long_head(self, server: Server) -> None:
        address = urlsplit(server.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        statuses = set()

        for _ in range(40):
            connection.request("GET", "/livez", headers={"X-Pad": "a" * 4096})
            answer = connection.getresponse()
            answer.read()
            statuses.add(answer.status)

        connection.close()
        assert statuses == {200}

    @pytest.mark.faults
    def test_a_killed_server_comes_back_on_the_same_port(self, server: Server) -> None:
        url, pid = server.url, json.loads(server.note.read_text())["pid"]

        os.kill(pid, signal.SIGKILL)

        eventually(lambda: json.loads(server.note.read_text())["pid"] != pid, within=START_SECONDS)
        assert server.url == url
        assert status_of(server.url + "/livez") == 200
        assert "child.died" in server.text

    @pytest.mark.faults
    def test_a_killed_broker_comes_back(self, server: Server) -> None:
        (pid,) = pids_of(server, "valkey-server")

        os.kill(pid, signal.SIGKILL)

        def answers() -> bool:
            try:
                with Redis(unix_socket_path=str(server.home / "run/broker.sock")) as client:
                    return bool(client.ping())
            except RedisError:
                return False

        eventually(lambda: pid not in pids_of(server) and answers(), within=30)

    @pytest.mark.faults
    def test_a_killed_worker_comes_back(self, server: Server) -> None:
        pids = eventually(lambda: pids_of(server, "-m worker --slots"), within=30)

        for pid in pids:
            os.kill(pid, signal.SIGKILL)

        eventually(lambda: pids_of(server, "-m worker --slots") - pids, within=30)


@pytest.mark.integration
class TestEnding:
    def test_interrupting_up_leaves_no_process_no_note_and_no_socket(self, tmp_path: Path) -> None:
        server = wait_until_announced(up(tmp_path / "home", "--port", "0"))

        server.process.send_signal(signal.SIGINT)

        assert server.process.wait(STOP_SECONDS) == 0, server.text
        assert pids_of(server) == set()
        assert not server.note.exists()
        assert not (server.home / "run/broker.sock").exists()

    @pytest.mark.faults
    @pytest.mark.slow
    def test_nothing_outlives_a_command_that_is_killed_and_the_next_one_starts(
        self, tmp_path: Path
    ) -> None:
        server = wait_until_announced(up(tmp_path / "home", "--port", "0"))

        server.process.kill()
        server.process.wait()

        eventually(lambda: pids_of(server) == set(), within=10)
        server.log_file.unlink()
        again = wait_until_announced(up(tmp_path / "home", "--port", "0"))
        again.process.terminate()
        assert again.process.wait(STOP_SECONDS) == 0

    def test_a_taken_port_is_told_in_one_line(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])

            server = up(tmp_path / "home", "--port", port)

            assert server.process.wait(START_SECONDS) == 1
        assert server.text.startswith("trainyard: Cannot listen")
        assert server.text.count("\n") == 1


@pytest.mark.unit
class TestSlotOfThisMachine:
    @pytest.mark.parametrize("hidden", ["", "-1"])
    def test_the_slot_of_this_machine_is_the_cpu_where_the_gpus_are_hidden(
        self, monkeypatch: pytest.MonkeyPatch, hidden: str
    ) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)

        assert slot_of_this_machine() == "cpu"


@pytest.mark.unit
class TestAnnouncement:
    @pytest.mark.parametrize(
        ("slot", "said"),
        [("cpu", "one slot on the CPU"), ("0", "one slot on GPU 0"), (None, "docs/install.md")],
    )
    def test_up_announces_what_trains_here(
        self,
        slot: str | None,
        said: str,
        migrated_at: Callable[[Path], str],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        server = ProcessChild("server", [], {})
        (tmp_path / "server.json").write_text('{"pid": null}')
        settings = Settings(home=tmp_path)
        migrated_at(tmp_path / "trainyard.db")
        announcement = Announcement(settings, server, "http://127.0.0.1:1", slot)

        announcement.make_when_ready()

        assert said in capsys.readouterr().out
