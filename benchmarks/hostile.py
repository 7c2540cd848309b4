"""Measure honest requests beside 200 slow clients of eight kinds and 2,000 idle connections.

The attackers come from many loopback addresses, which the server limits like any other. Rounds with
and without an attack alternate. An honest request opens its own connection.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.running_server import (
    ROOT,
    STOP_SECONDS,
    Failed,
    RunningServer,
    running_trainyard,
    temporary_folder,
    wait_until,
)
from benchmarks.statistics_of_pairs import quantile, table

SLOW, IDLE = 200, 2000
SECONDS = 5.0
ROUNDS = 1
OK = 200
READY_SECONDS = 60.0
DRIP_SECONDS = 1.0
ADDRESSES = [f"127.0.1.{number}" for number in range(1, 61)]
HEAD = b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
KINDS = {
    "half a request line": b"GET /li",
    "header without an end": b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ",
    "JSON body": HEAD + b"Content-Length: 900000\r\n\r\n{",
    "chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n{",
    "chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0",
    "trailer": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ",
    "upload": HEAD.replace(b"/v1/jobs", b"/v1/datasets?name=a") + b"Content-Length: 9000\r\n\r\nPK",
    "answer never read": b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 60,
}
LIMITED = {"TRAINYARD_CONNECTIONS__UNLIMITED_ADDRESSES": "[]"}


def main() -> None:
    """Measure and print; the exit status reports only whether the measurement succeeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slow", type=int, default=SLOW, help="slow clients")
    parser.add_argument("--idle", type=int, default=IDLE, help="idle connections")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="there and back, each")
    parser.add_argument("--attack", metavar="URL", help="attack that server until stdin ends")
    asked = parser.parse_args()
    if asked.attack is not None:
        asyncio.run(attack(asked.attack, slow=asked.slow, idle=asked.idle))
        return
    with temporary_folder() as folder, running_trainyard(folder / "home", LIMITED) as server:
        measured: dict[str, list[Measurement]] = {"quiet": [], "attack": []}
        for name in islice(cycle(["quiet", "attack", "attack", "quiet"]), 4 * asked.rounds):
            if name == "quiet":
                measured[name].append(Measurement(server, asked.seconds))
            else:
                with attacked(server, asked.slow, asked.idle):
                    measured[name].append(Measurement(server, asked.seconds))
    print(f"{asked.slow} slow clients, {asked.idle} idle; load {os.getloadavg()[0]:.1f}\n")
    print(summary(measured["quiet"], measured["attack"]))


class Measurement:
    """Honest requests for some seconds, and what the server holds at their end."""

    def __init__(self, server: RunningServer, seconds: float) -> None:
        self.milliseconds: list[float] = []
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.perf_counter()
            ask(server)
            self.milliseconds.append(1000 * (time.perf_counter() - began))
        process = Path("/proc") / str(json.loads((server.home / "server.json").read_text())["pid"])
        self.files = len(list((process / "fd").iterdir()))
        self.mebibytes = _resident(process / "status")


def ask(server: RunningServer) -> None:
    """Send a request on a connection of its own.

    Raises:
        Failed: the answer is not 200.
    """
    address = urlsplit(server.url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=30)
    connection.request("GET", "/v1/jobs?limit=1", headers={"Authorization": f"Bearer {server.key}"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != OK:
        raise Failed(f"an honest request is answered with {answer.status}")


@contextmanager
def attacked(server: RunningServer, slow: int, idle: int) -> Iterator[None]:
    """Attack the server from another process while the block runs."""
    numbers = ["--slow", str(slow), "--idle", str(idle)]
    command = [sys.executable, "-m", "benchmarks.hostile", "--attack", server.url, *numbers]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert process.stdout is not None  # noqa: S101 -- narrows for the type checker
        wait_until(process.stdout.readline, within=READY_SECONDS)
        yield
    finally:
        process.communicate(timeout=STOP_SECONDS)


async def attack(url: str, *, slow: int, idle: int) -> None:
    """Keep that many connections open, and open each again when the server closes it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    address = urlsplit(url)
    place = (address.hostname or "", address.port or 0)
    sources, starts = cycle(ADDRESSES), cycle(KINDS.values())
    clients = [hold(place, next(sources), next(starts), drip=b"a") for _ in range(slow)]
    clients += [hold(place, next(sources), b"", drip=b"") for _ in range(idle)]
    tasks = [asyncio.create_task(client) for client in clients]
    await asyncio.sleep(DRIP_SECONDS)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()


async def hold(place: tuple[str, int], source: str, start: bytes, *, drip: bytes) -> None:
    """Send `start`, then a `drip` now and then; read nothing; begin again when it is closed."""
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection(*place, local_addr=(source, 0), limit=1)
            writer.write(start)
            try:
                while not writer.is_closing():
                    await asyncio.sleep(DRIP_SECONDS)
                    writer.write(drip)
            finally:
                writer.transport.abort()
        await asyncio.sleep(DRIP_SECONDS)


def summary(quiet: list[Measurement], attack: list[Measurement]) -> str:
    """Return the table of both, and the ratio of each row."""
    both = (quiet, attack)
    shares = (("median, ms", 0.5), ("p95, ms", 0.95), ("longest, ms", 1.0))
    return table(
        [
            ["honest requests", "quiet", "under attack", "ratio"],
            *(_row(name, *(_milliseconds(each, share) for each in both)) for name, share in shares),
            _row("open files", *(float(max(m.files for m in each)) for each in both)),
            _row("memory, MiB", *(max(m.mebibytes for m in each) for each in both)),
        ]
    )


def _row(name: str, quiet: float, attack: float) -> list[str]:
    return [name, f"{quiet:.1f}", f"{attack:.1f}", f"{attack / quiet:.2f}"]


def _milliseconds(measurements: list[Measurement], share: float) -> float:
    return quantile(sorted(value for each in measurements for value in each.milliseconds), share)


def _resident(status: Path) -> float:
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
