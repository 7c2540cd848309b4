"""Compare the start of a first and of a second job on a dataset, with plain Ultralytics beside it.

The first job of a node fetches the dataset, scans its labels and, with `cache: "disk"`, decodes its
images; the second finds all that. Plain Ultralytics scans at its first run and reads its
`labels.cache` at the second. Seconds count from just before the POST, or before the process starts,
to the start of training (`on_train_start`); then the training is stopped. A small job on another
dataset comes first, so that no start pays for the imports of the slot's preloaded parent.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.overhead import arguments
from benchmarks.running_server import (
    JOB_SECONDS,
    Failed,
    RunningServer,
    drawn_shapes,
    running_trainyard,
    temporary_folder,
    wait_until,
)
from benchmarks.statistics_of_pairs import table
from worker.trainer.environment import trainer_environment

ROUNDS, IMAGES, SIZE, SMALL = 3, 2000, 320, 16
IMAGES_PER_VALIDATED: Final = 10
PLAIN_PROGRAM: Final = """
import json, os, sys, time
from ultralytics.models.yolo.detect import DetectionTrainer

def stop(_):
    print(json.dumps(time.time()), flush=True)
    os._exit(0)

trainer = DetectionTrainer(overrides=json.loads(sys.argv[1]))
trainer.add_callback("on_train_start", stop)
trainer.train()
"""
KINDS: Final = {
    "without cache": {},
    'cache "disk"': {"cache": "disk"},
}

Starts = dict[tuple[str, str], list[float]]


def main() -> None:
    """Measure and print; the exit status reports only whether the measurement succeeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="each with a new node")
    parser.add_argument("--images", type=int, default=IMAGES, help="in the training split")
    asked = parser.parse_args()
    starts: Starts = {}
    for _ in range(asked.rounds):
        with temporary_folder() as folder:
            measure(folder, asked.images, starts)
    print(f"\n{asked.images} images, {asked.rounds} rounds, load {os.getloadavg()[0]:.1f}\n")
    print(report(starts))


def measure(folder: Path, images: int, starts: Starts) -> None:
    """Start a service with a new node; add the seconds of each kind of start."""
    archive = drawn_shapes(folder, train=images, val=images // IMAGES_PER_VALIDATED, size=SIZE)
    (folder / "small").mkdir()
    small = drawn_shapes(folder / "small", train=SMALL, val=SMALL, size=SIZE)
    with running_trainyard(folder / "home") as server:
        job = server.submit(a_spec(server.upload(small, name="small"), {"epochs": 1}))
        server.wait_for_end(job)
        dataset = server.upload(archive, name="images")
        for kind, changes in KINDS.items():
            plain = PlainRuns(folder / f"plain-{len(changes)}", archive, changes)
            for order in ("first", "second"):
                ours = seconds_through_trainyard(server, a_spec(dataset, changes))
                theirs = plain.seconds()
                starts.setdefault((f"{order}, {kind}", "Trainyard"), []).append(ours)
                starts.setdefault((f"{order}, {kind}", "plain"), []).append(theirs)
                print(f"{order}, {kind}: {ours:.2f} s, plain {theirs:.2f} s", flush=True)


def a_spec(dataset: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the spec of a job with equal arguments on both sides."""
    train = arguments(2) | changes
    return {"dataset": dataset, "model": "yolo26n.yaml", "train": train}


def seconds_through_trainyard(server: RunningServer, spec: dict[str, Any]) -> float:
    """Return the seconds from the POST to the start of training, and cancel the job."""
    posted_at = time.time()
    job = server.submit(spec)

    def started() -> float | None:
        events = server.get(f"/v1/jobs/{job}/events")["data"]
        at = [each["created_at"] for each in events if each["type"] == "trainer.started"]
        return datetime.fromisoformat(at[0]).timestamp() if at else None

    seconds: float = wait_until(started, within=JOB_SECONDS, every=0.5) - posted_at
    server.client.post(f"/v1/jobs/{job}/cancel").raise_for_status()
    server.wait_for_end(job)
    return seconds


@dataclass
class PlainRuns:
    """Runs of plain Ultralytics on one folder, where it keeps its caches."""

    folder: Path
    archive: Path
    changes: dict[str, Any]
    runs: int = 0

    def seconds(self) -> float:
        """Return the seconds from the start of a process to the start of its training."""
        if not self.folder.exists():
            with zipfile.ZipFile(self.archive) as members:
                members.extractall(self.folder)
        self.runs += 1
        save_dir = self.folder / f"run-{self.runs}"
        save_dir.mkdir()
        places = {
            "model": "yolo26n.yaml",
            "data": str(self.folder / "data.yaml"),
            "device": "cpu",
            "save_dir": str(save_dir),
        }
        environment = trainer_environment(save_dir, gpu=None, base=os.environ)
        environment["YOLO_VERBOSE"] = "false"
        command = [sys.executable, "-I", "-c", PLAIN_PROGRAM]
        began_at = time.time()
        done = subprocess.run(
            [*command, json.dumps({**arguments(2), **self.changes, **places})],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Failed(done.stderr)
        shutil.rmtree(save_dir)
        return float(json.loads(done.stdout.strip().splitlines()[-1])) - began_at


def report(starts: Starts) -> str:
    """Return the table of medians."""
    rows = [["start", "Trainyard, s", "plain, s"]]
    for name in dict.fromkeys(name for name, _ in starts):
        sides = [f"{median(starts[name, side]):.2f}" for side in ("Trainyard", "plain")]
        rows.append([name, *sides])
    return table(rows)


if __name__ == "__main__":
    main()
