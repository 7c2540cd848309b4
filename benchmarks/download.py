"""Measure downloads of best.pt in MB/s, beside nginx (if it is installed) and a bare sender.

All three send the same stored file over the loopback, in rounds of alternating order. Each client
is a curl that discards the bytes. Without nginx the budget is not judged.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from app.artifacts.names import BEST, ArtifactKind
from app.artifacts.repository import insert_artifact
from app.core.database import Database
from app.core.storage import ArtifactStore
from app.settings import Settings
from benchmarks.process_tree import cpu_seconds
from benchmarks.requests import a_running_job
from benchmarks.running_server import (
    ROOT,
    START_SECONDS,
    STOP_SECONDS,
    Failed,
    RunningServer,
    clean_environment,
    drawn_shapes,
    running_trainyard,
    temporary_folder,
    wait_until,
)
from benchmarks.statistics_of_pairs import ratio_of_means, table

MEGABYTES = 200
ROUNDS = 4
CLIENTS = (1, 8)
BUDGET = 0.8
"""Least ratio of Trainyard's rate to nginx's."""
OURS, NGINX, BARE = "Trainyard", "nginx", "bare sender"
NGINX_PROGRAMS = ("nginx", "/usr/sbin/nginx")
CURL = ("curl", "--silent", "--show-error", "--fail")
MB = 1_000_000


@dataclass(frozen=True)
class Peer:
    """A server of the file: the file's address, the headers it wants, and its process."""

    name: str
    url: str
    headers: Sequence[str]
    pid: int

    def curl(self, *options: str) -> list[str]:
        """Return the command that downloads the file."""
        sent = (part for header in self.headers for part in ("--header", header))
        return [*CURL, *options, *sent, self.url]


@dataclass(frozen=True)
class Sample:
    """The rate of one measurement, all clients together, and the CPU time of the server's side."""

    megabytes_per_second: float
    cpu_seconds_per_gigabyte: float


Samples = Mapping[tuple[str, int], Sequence[Sample]]


def main() -> None:
    """Measure and print; the exit status reports only whether the measurement succeeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=MEGABYTES, help="size of best.pt")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="there and back, each")
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS)
    asked = parser.parse_args()
    with (
        temporary_folder() as folder,
        running_trainyard(folder / "home") as server,
        ExitStack() as stack,
    ):
        content = folder / BEST
        content.write_bytes(os.urandom(asked.megabytes * MB))
        job, stored = job_with_weights(server, content, folder)
        peers = [
            ours(server, job),
            stack.enter_context(bare_sender(stored, folder)),
            *stack.enter_context(nginx(stored, folder)),
        ]
        check_bytes(peers, content)
        samples = measure(peers, asked.clients, rounds=asked.rounds, size=content.stat().st_size)
    print(f"{asked.rounds} x 2 rounds of {asked.megabytes} MB; load {os.getloadavg()[0]:.1f}\n")
    print(rates_table(peers, samples, asked.clients))
    print()
    print(verdict(samples, asked.clients))


def job_with_weights(server: RunningServer, content: Path, folder: Path) -> tuple[str, Path]:
    """Store `content` as the best.pt of a job; return the job's id and the stored file."""
    dataset = server.upload(drawn_shapes(folder, train=8, val=4, size=64), name="shapes")
    job = a_running_job(server, dataset)
    store = ArtifactStore.from_settings(Settings(home=server.home))
    stored = store.put_file(content)
    database = Database(f"sqlite:///{server.home / 'trainyard.db'}", pool_size=1)
    with database.write() as unit:
        insert_artifact(
            unit.session,
            job,
            stored,
            attempt=1,
            kind=ArtifactKind.WEIGHTS,
            name=BEST,
            epoch=1,
        )
    database.dispose()
    return job, next(server.home.glob(f"store/*/*/{stored.sha256}"))


def ours(server: RunningServer, job: str) -> Peer:
    """Return Trainyard's own route of the file."""
    url = f"{server.url}/v1/jobs/{job}/artifacts/{BEST}"
    return Peer(OURS, url, [f"Authorization: Bearer {server.key}"], server.process.pid)


@contextmanager
def bare_sender(stored: Path, folder: Path) -> Iterator[Peer]:
    """Run the bare sender of the stored file while the block runs."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.bare_sender", str(stored), str(port)]
    with started(command, port, folder / "bare.log") as pid:
        yield Peer(BARE, f"http://127.0.0.1:{port}/", [], pid)


@contextmanager
def nginx(stored: Path, folder: Path) -> Iterator[list[Peer]]:
    """Run nginx on the folder of the stored file while the block runs; no peer if it is missing."""
    program = next(filter(None, map(shutil.which, NGINX_PROGRAMS)), None)
    if program is None:
        yield []
        return
    port, own = free_port(), folder / "nginx"
    own.mkdir()
    (own / "nginx.conf").write_text(nginx_configuration(stored.parent, own, port))
    command = [program, "-e", str(own / "errors"), "-c", str(own / "nginx.conf")]
    with started(command, port, folder / "nginx.log") as pid:
        yield [Peer(NGINX, f"http://127.0.0.1:{port}/{stored.name}", [], pid)]


def nginx_configuration(served: Path, own: Path, port: int) -> str:
    """Return the configuration of one worker process, as Trainyard has one server process.

    Workers started by root change to another user by default, which cannot read the private store.
    """
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return f"""{user} daemon off; worker_processes 1; pid {own}/pid;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; tcp_nopush on;
  {" ".join(f"{name}_temp_path {own}/{name};" for name in temporary)}
  server {{ listen 127.0.0.1:{port}; root {served}; }}
}}
"""


@contextmanager
def started(command: Sequence[str], port: int, log: Path) -> Iterator[int]:
    """Run a server while the block runs; yield its process id once it listens."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=clean_environment(), cwd=ROOT
        )
    try:
        wait_until(lambda: listens(port) or process.poll() is not None, within=START_SECONDS)
        if process.poll() is not None:
            raise Failed(f"{command[0]} ended: {log.read_text()}")
        yield process.pid
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Return whether a server accepts connections on the port."""
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def check_bytes(peers: Sequence[Peer], content: Path) -> None:
    """Download the file once from each peer, which also fills the page cache, and compare."""
    expected = content.read_bytes()
    for peer in peers:
        if subprocess.run(peer.curl(), check=True, capture_output=True).stdout != expected:
            raise Failed(f"{peer.name} sent other bytes")


def measure(
    peers: Sequence[Peer], clients: Sequence[int], *, rounds: int, size: int
) -> dict[tuple[str, int], list[Sample]]:
    """Download from every peer with every number of clients; each round reverses the order."""
    samples: dict[tuple[str, int], list[Sample]] = defaultdict(list)
    for count in clients:
        for peer in [*peers, *peers[::-1]] * rounds:
            samples[peer.name, count].append(sample(peer, clients=count, size=size))
    return samples


def sample(peer: Peer, *, clients: int, size: int) -> Sample:
    """Download the file once with each client at the same time."""
    command = peer.curl("--output", os.devnull, "--write-out", "%{size_download}")
    cpu, began = cpu_seconds(peer.pid), time.perf_counter()
    curls = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(clients)]
    received = [curl.communicate()[0] for curl in curls]
    seconds = time.perf_counter() - began
    if received != [str(size)] * clients:
        raise Failed(f"{peer.name} sent {received} bytes instead of {clients} x {size}")
    sent = clients * size
    return Sample(sent / MB / seconds, (cpu_seconds(peer.pid) - cpu) / (sent / 1000 / MB))


def rates_table(peers: Sequence[Peer], samples: Samples, clients: Sequence[int]) -> str:
    """Return the table of rates, by number of clients."""
    head = ["MB/s (CPU s per GB of the server)", *(f"{count} clients" for count in clients)]
    body = [
        [peer.name, *(figure(samples[peer.name, count]) for count in clients)] for peer in peers
    ]
    return table([head, *body])


def figure(of_peer: Sequence[Sample]) -> str:
    """Return one cell: means over the rounds."""
    rate = fmean(each.megabytes_per_second for each in of_peer)
    cpu = fmean(each.cpu_seconds_per_gigabyte for each in of_peer)
    return f"{rate:,.0f} ({cpu:.2f})"


def verdict(samples: Samples, clients: Sequence[int]) -> str:
    """Return the table of ratios to nginx with the budget, or why there is none."""
    if (NGINX, clients[0]) not in samples:
        return "nginx is not installed (Debian: apt-get install nginx): the budget is not judged."
    rows = [["Trainyard / nginx", "ratio [95 % interval]", "budget"]]
    for count in clients:
        pairs = [
            (mine.megabytes_per_second, its.megabytes_per_second)
            for mine, its in zip(samples[OURS, count], samples[NGINX, count], strict=True)
        ]
        ratio = ratio_of_means(pairs)
        judged = "kept" if ratio.value >= BUDGET else "MISSED"
        rows.append([f"{count} clients", str(ratio), f"≥ {BUDGET:g}: {judged}"])
    return table(rows)


if __name__ == "__main__":
    main()
