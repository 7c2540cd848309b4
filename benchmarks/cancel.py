"""Measure how long a trainer lives after POST …/cancel, in each phase of a job.

The clock runs from just before the request until no process of the attempt is alive. A process
belongs to the attempt by its session or by the mark in its environment.
"""

import argparse
import os
import random
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from threading import Event

from benchmarks.running_server import (
    Failed,
    RunningServer,
    drawn_shapes,
    running_trainyard,
    temporary_folder,
    wait_until,
)
from benchmarks.statistics_of_pairs import quantile, table
from worker.processes.process import living_processes

RUNS = 5
BUDGET_SECONDS = 2.0
PATIENCE_SECONDS = 120.0
DEATH_SECONDS = 30.0
LOOK_SECONDS = 0.005
NO_SESSION = -1
LONG_EPOCHS = 1000


@dataclass(frozen=True)
class Situation:
    """When to cancel: the phase of the job, and the job's number of epochs."""

    name: str
    phase: str
    epochs: int
    spread_seconds: float


SITUATIONS = (
    Situation("preparing: imports, model, data", "preparing", LONG_EPOCHS, spread_seconds=6.0),
    Situation("training", "training", LONG_EPOCHS, spread_seconds=2.0),
    Situation("validating", "validating", LONG_EPOCHS, spread_seconds=0.5),
    Situation("finalizing: evaluation, clean load", "finalizing", 1, spread_seconds=6.0),
)
"""Jobs are cancelled at random, up to `spread_seconds` after a process is seen in the phase."""


def main() -> None:
    """Measure and print; the exit status reports only whether the measurement succeeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="in each phase")
    asked = parser.parse_args()
    with temporary_folder() as folder, running_trainyard(folder / "home") as server:
        archive = drawn_shapes(folder, train=96, val=96, size=160)
        dataset = server.upload(archive, name="shapes")
        taken = {
            situation.name: several(server, dataset, situation, runs=asked.runs)
            for situation in SITUATIONS
        }
    print(f"\nload {os.getloadavg()[0]:.1f}\n")
    print(report(taken))


def several(server: RunningServer, dataset: str, situation: Situation, *, runs: int) -> list[float]:
    """Cancel `runs` jobs in a situation; return the seconds until each was dead, ascending."""
    rng = random.Random(situation.name)
    taken: list[float] = []
    missed = 0
    while len(taken) < runs:
        seconds = cancelled_after(server, dataset, situation, rng.uniform(0, 1))
        if seconds is None:
            missed += 1
            if missed > 2 * runs:
                raise Failed(f"{situation.name}: the phase is over before it can be met")
        else:
            print(f"{situation.name}: {seconds:.3f} s", flush=True)
            taken.append(seconds)
    return sorted(taken)


def cancelled_after(
    server: RunningServer, dataset: str, situation: Situation, moment: float
) -> float | None:
    """Run a job into the situation and cancel it; return the seconds that its trainer lived on.

    Return None if the job had left the phase when it was cancelled.
    """
    spec = {
        "dataset": dataset,
        "model": "yolo26n.yaml",
        "train": {"epochs": situation.epochs, "imgsz": 160, "batch": 8, "plots": False},
    }
    job = server.submit(spec)
    attempt = f"{job}-1"
    wait_until(lambda: phase_is_met(server, job, situation), within=PATIENCE_SECONDS)
    Event().wait(moment * situation.spread_seconds)
    in_phase = server.get(f"/v1/jobs/{job}")["phase"] == situation.phase
    sessions = {os.getsid(pid) for pid in living_processes(attempt)}
    began = time.monotonic()
    answer = server.client.post(f"/v1/jobs/{job}/cancel")
    wait_until(lambda: not is_alive(attempt, sessions), within=DEATH_SECONDS, every=LOOK_SECONDS)
    seconds = time.monotonic() - began
    server.wait_for_end(job, every=0.05)
    if is_alive(attempt, sessions):
        raise Failed(f"{attempt} came to life again after it was cancelled")
    return seconds if answer.is_success and in_phase and sessions else None


def phase_is_met(server: RunningServer, job: str, situation: Situation) -> bool:
    """Return whether the job is in the phase and has a process."""
    phase = server.get(f"/v1/jobs/{job}")["phase"]
    return phase == situation.phase and any(living_processes(f"{job}-1"))


def is_alive(attempt: str, sessions: Collection[int]) -> bool:
    """Return whether a process of the attempt lives, by its mark or by one of its sessions."""
    return any(
        any(living_processes(attempt, session=session)) for session in sessions or (NO_SESSION,)
    )


def report(taken: Mapping[str, Sequence[float]]) -> str:
    """Return the table: median, 95th percentile and maximum of each situation and of all."""
    everything = sorted(seconds for several in taken.values() for seconds in several)
    lines = [["cancelled while", "runs", "median", "p95", "longest", f"≤ {BUDGET_SECONDS:g} s"]]
    for name, seconds in {**taken, "all": everything}.items():
        late = sum(each > BUDGET_SECONDS for each in seconds)
        figures = (median(seconds), quantile(seconds, 0.95), seconds[-1])
        shown = [f"{figure:.2f} s" for figure in figures]
        lines.append([name, str(len(seconds)), *shown, f"MISSED {late} times" if late else "kept"])
    return table(lines)


if __name__ == "__main__":
    main()
