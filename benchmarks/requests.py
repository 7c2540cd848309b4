"""Measure polls, job lists and durable submits per second, beside a hello and a bare insert.

Servers and clients are separate processes on the loopback. All figures come from one run, in rounds
of alternating order. Twenty different jobs are polled and listed. Each submit adds a job with
another spec; each bare insert adds a row.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from statistics import fmean, median
from typing import Any

import httpx2 as httpx

from app.core.database import Database
from app.jobs.life.claim import SlotOffer, claim_job
from app.jobs.life.recording import ProgressReport, record_progress
from app.jobs.locks import Hold
from benchmarks.load_client import FIRST_NUMBER, NUMBER, Load, Tally, Target
from benchmarks.process_tree import cpu_seconds
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
JOBS = 20
"""Jobs that are polled and listed; half of them run, and half wait."""
NUMBERS = 1_000_000
"""Numbers of bodies that are kept for each load."""
UNSERVED_QUEUE = "benchmark"
CREATED, OK, NOT_MODIFIED = 201, 200, 304
LEASE = timedelta(hours=1)

HELLO, BARE = "hello", "bare insert"


@dataclass(frozen=True)
class Question:
    """Requests of one kind.

    Attributes:
        name: under which their rate is shown.
        method: of the requests.
        targets: of the requests, in turn.
        status: of the answers.
        server: the id of the process that answers.
        body: of the requests.
        beside: the name of the question with whose rate this rate is compared.
        least: the least ratio of the rates.
        judged: the numbers of clients with which the ratio is judged.
    """

    name: str
    method: str
    targets: Sequence[Target]
    status: int
    server: int
    body: str = ""
    beside: str = HELLO
    least: float = 0.0
    judged: Sequence[int] = CLIENTS


@dataclass
class Measured:
    """The answers of one question with one number of clients: each round, and all CPU seconds."""

    tallies: list[Tally] = field(default_factory=list)
    cpu: float = 0.0

    @property
    def rate(self) -> float:
        """The mean of the rounds, in answers per second."""
        return fmean(each.rate for each in self.tallies)

    @property
    def milliseconds(self) -> list[float]:
        """How long each answer took, in ascending order."""
        return sorted(each for tally in self.tallies for each in tally.milliseconds)

    @property
    def cpu_milliseconds(self) -> float:
        """CPU time of the server for each answer."""
        return 1000 * self.cpu / sum(tally.answers for tally in self.tallies)


Rates = dict[tuple[str, int], Measured]


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
    print(ratios_table(questions, rates, asked.clients))


def questions_to(server: RunningServer, bare: "BareServer", folder: Path) -> list[Question]:
    """Create the resources of the questions, and return the questions."""
    dataset = server.upload(drawn_shapes(folder, train=8, val=4, size=64), name="shapes")
    key = {"Authorization": f"Bearer {server.key}"}
    running, waiting = some_jobs(server, dataset)
    ours: int = json.loads((server.home / "server.json").read_text())["pid"]
    polls = {name: [at(server, f"/v1/jobs/{job}", key) for job in jobs]
             for name, jobs in (("running", running), ("waiting", waiting))}  # fmt: skip
    tags = {each.url: server.client.get(each.url).headers["ETag"] for each in polls["running"]}
    known = [Target(url, {**key, "If-None-Match": tag}) for url, tag in tags.items()]
    hello = [at(server, "/livez", {})]
    page = [at(server, f"/v1/jobs?limit={JOBS}", key)]
    jobs = [at(server, "/v1/jobs", key)]
    body = json.dumps(spec(dataset, UNSERVED_QUEUE, int(NUMBER)))
    rows = [Target(f"{bare.url}/rows", {})]
    return [
        Question(HELLO, "GET", hello, OK, ours),
        Question("poll, running jobs", "GET", polls["running"], OK, ours, least=0.5),
        Question("poll, unchanged (304)", "GET", known, NOT_MODIFIED, ours, least=0.5),
        Question("poll, waiting jobs", "GET", polls["waiting"], OK, ours, least=0.5),
        Question("list of jobs", "GET", page, OK, ours, least=0.1),
        Question(
            "submit", "POST", jobs, CREATED, ours, body, beside=BARE, least=0.5, judged=(16, 64)
        ),
        Question(BARE, "POST", rows, CREATED, bare.pid, body, beside=BARE),
    ]


def at(server: RunningServer, path: str, headers: Mapping[str, str]) -> Target:
    """Return what is at a path of the server."""
    return Target(server.url + path, headers)


def spec(dataset: str, queue: str, seed: int) -> dict[str, Any]:
    """Return a typical spec of a job."""
    train = {"epochs": 100, "imgsz": 640, "batch": 16, "optimizer": "AdamW", "lr0": 0.002}
    return {
        "dataset": dataset,
        "model": "yolo26n.yaml",
        "train": {**train, "seed": seed},
        "resources": {"queue": queue},
    }


def some_jobs(server: RunningServer, dataset: str) -> tuple[list[str], list[str]]:
    """Make jobs in turns that run and that wait; return the ids of each."""
    running, waiting = [], []
    for number in range(JOBS // 2):
        running.append(a_running_job(server, dataset, number))
        waiting.append(server.submit(spec(dataset, "waiting", number)))
    return running, waiting


def a_running_job(server: RunningServer, dataset: str, seed: int = 0) -> str:
    """Insert the rows of a running job with progress; it has no trainer."""
    job = server.submit(spec(dataset, "held", seed))
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


@dataclass(frozen=True)
class BareServer:
    """A running bare server: its address, and the id of its process."""

    url: str
    pid: int


@contextmanager
def bare_server(folder: Path) -> Iterator[BareServer]:
    """Run the bare server while the block runs."""
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
        yield BareServer(url, process.pid)
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
    rates: Rates = defaultdict(Measured)
    firsts = count(FIRST_NUMBER, NUMBERS)
    for writes in (False, True):
        order = [
            (question, clients)
            for clients in asked.clients
            for question in questions
            if (question.method == "POST") is writes
        ]
        for question, clients in (order + order[::-1]) * asked.rounds:
            load = Load(
                question.targets,
                question.method,
                question.body,
                question.status,
                clients,
                asked.seconds,
                next(firsts),
            )
            measured = rates[question.name, clients]
            before = cpu_seconds(question.server)
            measured.tallies.append(tally_of(load, folder))
            measured.cpu += cpu_seconds(question.server) - before
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
        url = load.targets[0].url
        raise Failed(f"{tally.refused} answers of {url}: {tally.first_refusal}")
    return tally


def rates_table(questions: Sequence[Question], rates: Rates, clients: Sequence[int]) -> str:
    """Return the table of answers per second, their latency and CPU time, by number of clients."""
    head = ["answers/s (median, p95 in ms; CPU ms)", *(f"{number} clients" for number in clients)]
    body = [
        [question.name, *(figure(rates[question.name, number]) for number in clients)]
        for question in questions
    ]
    return table([head, *body])


def figure(measured: Measured) -> str:
    """Return one cell: the mean rate, median and 95th percentile of all answers, and CPU time."""
    times = measured.milliseconds
    latency = f"{median(times):.1f}, {quantile(times, 0.95):.1f}"
    return f"{measured.rate:,.0f} ({latency}; {measured.cpu_milliseconds:.2f})"


def ratios_table(questions: Sequence[Question], rates: Rates, clients: Sequence[int]) -> str:
    """Return the table of ratios with a budget."""

    def line(question: Question) -> list[str]:
        ratios = {
            number: rates[question.name, number].rate / rates[question.beside, number].rate
            for number in clients
        }
        judged = [ratios[number] for number in clients if number in question.judged]
        is_kept = all(ratio >= question.least for ratio in judged)
        verdict = "" if not judged else ": kept" if is_kept else ": MISSED"
        of = " and ".join(map(str, question.judged))
        budget = f"≥ {question.least:g}, {of} clients{verdict}"
        shown = [f"{ratio:.2f}" for ratio in ratios.values()]
        return [f"{question.name} / {question.beside}", *shown, budget]

    head = ["ratio of rates", *(f"{number} clients" for number in clients), "budget"]
    return table([head, *(line(each) for each in questions if each.least)])


if __name__ == "__main__":
    main()
