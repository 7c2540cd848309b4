"""Measure durable submits and status polls per second, beside a hello route and a bare insert.

Servers and clients are separate processes on the loopback. All figures come from one run, in rounds
of alternating order. Each submit adds a job; each bare insert adds a row.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from statistics import fmean, median
from typing import Any

import httpx2 as httpx

from app.core.database import Database
from app.jobs.life.claim import SlotOffer, claim_job
from app.jobs.life.recording import ProgressReport, record_progress
from app.jobs.locks import Hold
from benchmarks.load_client import Load, Tally
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
from benchmarks.statistics_of_pairs import quantile, table

CLIENTS = (1, 16, 64)
SECONDS = 3.0
ROUNDS = 1
SUBMIT_BUDGET = 1.5
POLL_BUDGET = 2.0
JUDGED_CLIENTS = 16
"""Ratios are the reference's rate over ours: a poll at half the rate of hello has ratio 2."""
UNSERVED_QUEUE = "benchmark"
CREATED, OK, NOT_MODIFIED = 201, 200, 304
LEASE = timedelta(hours=1)

Rates = dict[tuple[str, int], list[Tally]]


@dataclass(frozen=True)
class Question:
    """A request, and the name under which its rate is shown."""

    name: str
    method: str
    url: str
    status: int
    headers: Mapping[str, str]
    body: str = ""


def main() -> None:
    """Measure and print; the exit status reports only whether the measurement succeeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="there and back, each")
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS)
    asked = parser.parse_args()
    with (
        temporary_folder() as folder,
        running_trainyard(folder / "home") as server,
        bare_server(folder) as bare,
    ):
        questions = questions_to(server, bare, folder)
        rates = measure(questions, asked, folder)
    print(f"{asked.rounds} x 2 rounds of {asked.seconds:g} s; load {os.getloadavg()[0]:.1f}\n")
    print(rates_table(questions, rates, asked.clients))
    print()
    print(ratios_table(rates, asked.clients))


def questions_to(server: RunningServer, bare: str, folder: Path) -> list[Question]:
    """Create the resources of the questions, and return the questions."""
    dataset = server.upload(drawn_shapes(folder, train=8, val=4, size=64), name="shapes")
    key = {"Authorization": f"Bearer {server.key}"}
    running = f"/v1/jobs/{a_running_job(server, dataset)}"
    tag = server.client.get(running).headers["ETag"]
    body = json.dumps(spec(dataset, UNSERVED_QUEUE))
    waiting = f"{server.url}/v1/jobs/{server.submit(spec(dataset, 'waiting'))}"
    return [
        Question("hello", "GET", f"{server.url}/livez", OK, {}),
        Question("poll, running job", "GET", server.url + running, OK, key),
        Question(
            "poll, unchanged (304)",
            "GET",
            server.url + running,
            NOT_MODIFIED,
            {**key, "If-None-Match": tag},
        ),
        Question("poll, waiting job", "GET", waiting, OK, key),
        Question("submit", "POST", f"{server.url}/v1/jobs", CREATED, key, body),
        Question("bare insert", "POST", f"{bare}/rows", CREATED, {}, body),
    ]


def spec(dataset: str, queue: str) -> dict[str, Any]:
    """Return a typical spec of a job."""
    return {
        "dataset": dataset,
        "model": "yolo26n.yaml",
        "train": {"epochs": 100, "imgsz": 640, "batch": 16, "optimizer": "AdamW", "lr0": 0.002},
        "resources": {"queue": queue},
    }


def a_running_job(server: RunningServer, dataset: str) -> str:
    """Insert the rows of a running job with progress; it has no trainer."""
    job = server.submit(spec(dataset, "held"))
    worker = server.get("/v1/workers")["data"][0]["id"]
    database = Database(f"sqlite:///{server.home / 'trainyard.db'}", pool_size=1)
    with database.write() as unit:
        claimed = claim_job(unit.session, SlotOffer(worker, ("held",), 0), lease=LEASE)
        if claimed is None:
            raise Failed(f"job {job} could not be claimed")
        losses = {"box_loss": 1.5, "cls_loss": 2.5, "dfl_loss": 0.5}
        progress = ProgressReport(3, 100, 12, 40, losses, eta_seconds=400.0)
        record_progress(unit.session, Hold(job, claimed.attempt), progress, lease=LEASE)
    database.dispose()
    return job


@contextmanager
def bare_server(folder: Path) -> Iterator[str]:
    """Run the bare server while the block runs; yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.bare_server", str(folder / "bare.db"), str(port)]
    url = f"http://127.0.0.1:{port}"
    with (folder / "bare.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=clean_environment(), cwd=ROOT
        )
    try:
        wait_until(lambda: answers(url), within=START_SECONDS)
        yield url
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def answers(url: str) -> bool:
    """Return whether a server answers at `url`."""
    try:
        return httpx.get(f"{url}/livez").is_success
    except httpx.TransportError:
        return False


def measure(questions: Sequence[Question], asked: argparse.Namespace, folder: Path) -> Rates:
    """Ask every question with every number of clients; each round reverses the previous order.

    Reads come before writes: submits leave thousands of pending jobs, whose doorbells the server
    rings for a while afterwards.
    """
    rates: Rates = defaultdict(list)
    for writes in (False, True):
        order = [
            (question, clients)
            for clients in asked.clients
            for question in questions
            if (question.method == "POST") is writes
        ]
        for question, clients in (order + order[::-1]) * asked.rounds:
            load = Load(
                question.url,
                question.method,
                dict(question.headers),
                question.body,
                question.status,
                clients,
                asked.seconds,
            )
            rates[question.name, clients].append(tally_of(load, folder))
    return rates


def tally_of(load: Load, folder: Path) -> Tally:
    """Run the load in a separate process and return its tally."""
    request, answer = folder / "request.json", folder / "answer.json"
    request.write_text(json.dumps(asdict(load)))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load_client", str(request), str(answer)],
        env=clean_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Failed(done.stderr)
    tally = Tally(**json.loads(answer.read_text()))
    if tally.refused:
        raise Failed(f"{tally.refused} answers of {load.url}: {tally.first_refusal}")
    return tally


def rates_table(questions: Sequence[Question], rates: Rates, clients: Sequence[int]) -> str:
    """Return the table of answers per second and their latency, by number of clients."""
    head = ["answers/s (median, p95 in ms)", *(f"{count} clients" for count in clients)]
    body = [
        [question.name, *(figure(rates[question.name, count]) for count in clients)]
        for question in questions
    ]
    return table([head, *body])


def figure(tallies: Sequence[Tally]) -> str:
    """Return one cell: the rounds' mean rate, and the median and 95th percentile of all answers."""
    times = sorted(each for tally in tallies for each in tally.milliseconds)
    return f"{rate(tallies):,.0f} ({median(times):.1f}, {quantile(times, 0.95):.1f})"


def rate(tallies: Sequence[Tally]) -> float:
    """Return the mean of the rounds, in answers per second."""
    return fmean(tally.answers / tally.seconds for tally in tallies)


def ratios_table(rates: Rates, clients: Sequence[int]) -> str:
    """Return the table of ratios with a budget; the budget is judged at 16 clients."""

    def line(name: str, budget: str, is_kept: Callable[[float], bool], over: str) -> list[str]:
        ratios = {n: rate(rates[over, n]) / rate(rates[name, n]) for n in clients}
        judged = ratios.get(JUDGED_CLIENTS)
        verdict = "" if judged is None else ": kept" if is_kept(judged) else ": MISSED"
        shown = [f"{ratio:.2f}" for ratio in ratios.values()]
        return [f"{over} / {name}", *shown, budget + verdict]

    polls = [name for name, _ in rates if name.startswith("poll")]
    return table(
        [
            ["ratio", *(f"{n} clients" for n in clients), f"budget, {JUDGED_CLIENTS} clients"],
            line("submit", f"≤ {SUBMIT_BUDGET:g}", lambda r: r <= SUBMIT_BUDGET, "bare insert"),
            *(
                line(name, f"≤ {POLL_BUDGET:g}", lambda r: r <= POLL_BUDGET, "hello")
                for name in dict.fromkeys(polls)
            ),
        ]
    )


if __name__ == "__main__":
    main()
