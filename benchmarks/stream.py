"""Measure the time from a worker's COMMIT to each watcher of the stream, and the server's CPU.

The same events are then read by clients that poll every two seconds. Server, writer and watchers
are separate processes on the loopback.
"""

import argparse
import json
import os
import string
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from threading import Event
from typing import Any

from app.core.broker import redis_url
from app.core.database import Database
from app.core.wake_ups import WakeUps
from app.events.repository import append_event
from app.settings import Settings
from benchmarks.process_tree import cpu_seconds
from benchmarks.running_server import (
    ROOT,
    Failed,
    RunningServer,
    clean_environment,
    drawn_shapes,
    running_trainyard,
    temporary_folder,
    wait_until,
)
from benchmarks.statistics_of_pairs import quantile, table
from benchmarks.stream_watchers import POLL_SECONDS, Watch

WATCHERS = (1, 100, 1000)
EVENTS = 40
PER_SECOND = 4.0
BUDGET_MILLISECONDS, JUDGED_WATCHERS = 150, 100
CONNECT_SECONDS = 120.0
END_SECONDS = 60.0
FIRST_SEQ = 1000
"""Behind the events of the job itself."""


@dataclass(frozen=True)
class Measured:
    """Milliseconds from the commits to the watchers, and CPU seconds of the server per second."""

    milliseconds: list[float]
    cpu: float


class Writer:
    """Commits events of a job and publishes them, as a worker does.

    Args:
        server: with the database and the broker.
        job: whose events they are.
    """

    def __init__(self, server: RunningServer, job: str) -> None:
        self._database = Database(f"sqlite:///{server.home / 'trainyard.db'}", pool_size=1)
        self._job = job
        self._marks = 0
        self.wake_ups = WakeUps(redis_url(Settings(home=server.home)))
        self._database.announce_to(self.wake_ups.publish)

    @property
    def next_mark(self) -> int:
        """The mark of the next event."""
        return self._marks

    def commit(self) -> float:
        """Commit an event; return the time of the commit by the monotonic clock."""
        times: list[float] = []
        metrics = dict.fromkeys(string.ascii_lowercase, 0.5)
        data: dict[str, Any] = {"mark": self._marks, "metrics": metrics}
        with self._database.write() as unit:
            seq = FIRST_SEQ + self._marks
            append_event(unit.session, self._job, seq, "epoch.finished", data=data)
            unit.after_commit(lambda: times.append(time.monotonic()))
        self._marks += 1
        return times[0]

    def close(self) -> None:
        """Close the database."""
        self._database.dispose()


def main() -> None:
    """Measure and print; the exit status reports only whether the measurement succeeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--watchers", type=int, nargs="+", default=WATCHERS)
    parser.add_argument("--events", type=int, default=EVENTS, help="in each measurement")
    asked = parser.parse_args()
    most = str(max(asked.watchers) + 1)
    environment = {"TRAINYARD_STREAMS__PER_CREDENTIAL": most, "TRAINYARD_STREAMS__MAXIMUM": most}
    with (
        temporary_folder() as folder,
        running_trainyard(folder / "home", environment) as server,
    ):
        archive = drawn_shapes(folder, train=8, val=4, size=64)
        dataset = server.upload(archive, name="shapes")
        spec = {"dataset": dataset, "model": "yolo26n.yaml", "resources": {"queue": "nobody"}}
        writer = Writer(server, server.submit(spec))
        with writer.wake_ups:
            rows = [
                row_of(server, writer, folder, asked.events, (watchers, polls))
                for watchers in asked.watchers
                for polls in (False, True)
            ]
        writer.close()
    print(f"{asked.events} events, {PER_SECOND:g} a second; load {os.getloadavg()[0]:.1f}\n")
    head = ["watchers", "way", "median, ms", "p95, ms", "server's CPU", "budget"]
    print(table([head, *rows]))


def row_of(
    server: RunningServer, writer: Writer, folder: Path, events: int, who: tuple[int, bool]
) -> Sequence[str]:
    """Return one row: who watched and how, latencies, and the CPU of the server."""
    watchers, polls = who
    measured = measure(server, writer, folder, events, who)
    times = sorted(measured.milliseconds)
    slow = quantile(times, 0.95)
    budget = ""
    if watchers == JUDGED_WATCHERS and not polls:
        verdict = "kept" if slow <= BUDGET_MILLISECONDS else "MISSED"
        budget = f"p95 ≤ {BUDGET_MILLISECONDS}: {verdict}"
    way = f"polls every {POLL_SECONDS:g} s" if polls else "stream"
    cpu = f"{measured.cpu:.0%} of a core"
    return [str(watchers), way, f"{median(times):.0f}", f"{slow:.0f}", cpu, budget]


def measure(
    server: RunningServer, writer: Writer, folder: Path, events: int, who: tuple[int, bool]
) -> Measured:
    """Let watchers wait, commit the events, and compare the times."""
    watchers, polls = who
    headers = {"Authorization": f"Bearer {server.key}"}
    last = writer.next_mark + events - 1
    watch = Watch(server.url, headers, watchers, polls, last)
    request, answer = folder / "request.json", folder / "answer.json"
    ready = folder / "answer.json.ready"
    ready.unlink(missing_ok=True)
    request.write_text(json.dumps(asdict(watch)))
    command = [sys.executable, "-m", "benchmarks.stream_watchers", str(request), str(answer)]
    process = subprocess.Popen(command, env=clean_environment(), cwd=ROOT)
    wait_until(lambda: ready.exists() or process.poll(), within=CONNECT_SECONDS)
    committed, before, began = {}, cpu_seconds(server.process.pid), time.monotonic()
    pause = Event()
    for _ in range(events):
        mark = writer.next_mark
        committed[mark] = writer.commit()
        pause.wait(1 / PER_SECOND)
    cpu = (cpu_seconds(server.process.pid) - before) / (time.monotonic() - began)
    if process.wait(END_SECONDS) != 0:
        raise Failed("the watchers ended early")
    seen = json.loads(answer.read_text())["marks"]
    if len(seen) != watchers * events:
        raise Failed(f"{watchers * events} events were expected, {len(seen)} were seen")
    return Measured([1000 * (at - committed[mark]) for mark, at in seen], cpu)


if __name__ == "__main__":
    main()
