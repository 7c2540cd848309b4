"""Streams of two server processes on one database, one of which is stopped and started again."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil
import pytest

from app.accounts.tables import MemberRole
from app.core.migrations import upgrade
from tests.architecture.sources import ROOT
from tests.stream.reading import reading
from tests.waiting import eventually
from tests.worlds.accounts import Person, a_person
from tests.worlds.cluster import Cluster, Node, a_cluster
from tests.worlds.rows import a_ready_dataset

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

LEAVERS = 40
STREAMS_OF_A_KEY = 20
REVOKED_SECONDS = 30
EXIT_SECONDS = 60


@dataclass(frozen=True)
class Pair:
    """Two servers with a broker and a database, and a dataset for jobs."""

    cluster: Cluster
    dataset: str
    project: str

    @property
    def key(self) -> str:
        home = self.cluster.servers[0].home
        return (home / "api-key").read_text().strip()

    def url(self, number: int) -> str:
        note = self.cluster.servers[number].home / "server.json"
        url: str = json.loads(note.read_text())["url"]
        return url

    def person(self) -> Person:
        with self.cluster.database() as database:
            return a_person(database, {self.project: MemberRole.VIEWER})

    def submit(self) -> str:
        return self.cluster.submit(self.dataset)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("streams")
    url = f"sqlite:///{folder}/trainyard.db"
    upgrade(url)
    with a_cluster(folder / "cluster", url) as cluster:
        cluster.add_server().program.started()
        with cluster.database() as database:
            rows = a_ready_dataset(database)
        yield Pair(cluster, rows.dataset_id, rows.project_id)


def process_of(node: Node) -> psutil.Process:
    return psutil.Process(node.program.pid)


def connections(process: psutil.Process) -> int:
    """Count open connections. Other descriptors follow the load: the pool of the database grows."""
    return len(process.net_connections("tcp"))


class TestEvents:
    def test_watchers_of_both_servers_see_what_one_of_them_does(self, pair: Pair) -> None:
        with reading(pair.url(0), pair.key) as here, reading(pair.url(1), pair.key) as there:
            job = pair.submit()

            assert here.wait_for("event", job)["type"] == "job.submitted"
            assert there.wait_for("event", job) == here.wait_for("event", job)
            assert there.wait_for("fleet", "queues")["queues"]["default"]["queued"] >= 1

    def test_a_client_continues_at_the_other_server(self, pair: Pair) -> None:
        with reading(pair.url(0), pair.key) as here:
            first = pair.submit()
            here.wait_for("event", first)
            seen = here.last_id
        missed = [pair.submit() for _ in range(3)]

        with reading(pair.url(1), pair.key, after=seen) as there:
            last = pair.submit()
            there.wait_for("event", last)

        assert there.named("hello")[0]["gap"] is False
        assert there.jobs() == [*missed, last]


class TestAccess:
    def test_a_revoked_key_ends_its_streams_on_every_server(self, pair: Pair) -> None:
        """A13."""
        person = pair.person()
        with reading(pair.url(1), person.key) as there, reading(pair.url(1), pair.key) as stays:
            answer = pair.cluster.insist("POST", "/v1/keys/revoke", json={"key": person.key})

            assert answer.status_code == 204
            assert there.wait_for("bye") == {"reason": "revoked"}
            assert there.ended.wait(REVOKED_SECONDS)
            stays.wait_for("event", pair.submit())


class TestLeaving:
    def test_clients_that_leave_free_what_they_held(self, pair: Pair) -> None:
        """H20."""
        server = process_of(pair.cluster.servers[1])
        with reading(pair.url(1), pair.key) as reader:
            reader.wait_for("event", pair.submit())
            before = connections(server), server.num_threads()

            keys = [pair.person().key for _ in range(4)]
            leavers = [opened(pair.url(1), keys[number % 4]) for number in range(LEAVERS)]
            during = connections(server)
            for connection in leavers:
                connection.close()

            assert during >= LEAVERS
            eventually(lambda: connections(server) <= before[0], within=20)
            assert server.num_threads() < before[1] + LEAVERS // 2  # some start with the load
            reader.wait_for("event", pair.submit())


class TestShutdown:
    def test_a_stopped_server_says_bye_and_its_clients_miss_nothing(self, pair: Pair) -> None:
        """P10."""
        node = pair.cluster.servers[1]
        with reading(pair.url(1), pair.key) as before:
            before.wait_for("event", pair.submit())
            process_of(node).send_signal(signal.SIGTERM)

            assert before.wait_for("bye") == {"reason": "shutdown"}
            assert node.program.died(within=EXIT_SECONDS) == 0
            assert "timeout graceful shutdown exceeded" not in node.program.tail()
        missed = [pair.submit() for _ in range(2)]
        node.program.started()

        with reading(pair.url(1), pair.key, after=before.last_id) as after:
            last = pair.submit()
            after.wait_for("event", last)

        assert after.jobs() == [*missed, last]

    @pytest.mark.parametrize("streams", [40, pytest.param(1000, marks=pytest.mark.slow)])
    def test_every_stream_of_a_stopped_server_gets_bye_and_none_holds_it_up(
        self, pair: Pair, streams: int
    ) -> None:
        node = pair.cluster.servers[1]
        keys = [pair.person().key for _ in range(streams // STREAMS_OF_A_KEY)]
        crowd = [opened(pair.url(1), keys[number % len(keys)]) for number in range(streams)]

        process_of(node).send_signal(signal.SIGTERM)
        ends = [rest_of(connection) for connection in crowd]
        status = node.program.died(within=EXIT_SECONDS)
        said = node.program.tail()
        node.program.started()

        bye = b'event: bye\ndata: {"reason":"shutdown"}'
        assert sum(bye in end for end in ends) == streams
        assert status == 0
        assert "server.requests_aborted" not in said


class TestExample:
    def test_the_example_follows_a_job_to_its_end(self, pair: Pair) -> None:
        job = pair.submit()
        command = [sys.executable, str(ROOT / "examples/follow.py"), pair.url(0), job]
        environment = {**os.environ, "KEY": pair.key}
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, text=True
        ) as following:
            pair.cluster.insist("POST", f"/v1/jobs/{job}/cancel")
            said, _ = following.communicate(timeout=60)

        assert following.returncode == 0
        assert said.splitlines()[-1] == "cancelled"


def opened(url: str, key: str) -> socket.socket:
    """Open a stream on a socket, and read its beginning."""
    place = urlsplit(url)
    head = [
        "GET /v1/events/stream HTTP/1.1",
        f"Host: {place.netloc}",
        f"Authorization: Bearer {key}",
    ]
    connection = socket.create_connection((place.hostname, place.port), timeout=20)
    connection.sendall("\r\n".join([*head, "", ""]).encode())
    received = b""
    while b"event: hello" not in received:
        received += connection.recv(4096)
    return connection


def rest_of(connection: socket.socket) -> bytes:
    """Return what comes until the server closes the connection."""
    received = b""
    with connection:
        while piece := connection.recv(65536):
            received += piece
    return received
