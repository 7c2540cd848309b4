"""Compare the cost of training through Trainyard with plain Ultralytics and equal arguments.

Runs are paired, in the order ABBA, once for short epochs and once for longer ones, since most of
the overhead does not depend on the length of an epoch. CPU time through Trainyard includes every
process of `trainyard up`: supervisor, broker, server, worker and trainer. Epochs are measured from
the first to the last row of results.csv, which excludes start and end; the whole job is shown
beside them.
"""

import argparse
import csv
import io
import json
import os
import resource
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.process_tree import cpu_seconds
from benchmarks.running_server import (
    JOB_SECONDS,
    Failed,
    RunningServer,
    drawn_shapes,
    running_trainyard,
    temporary_folder,
    wait_until,
)
from benchmarks.statistics_of_pairs import Ratio, ratio_of_means, table
from worker.trainer.environment import trainer_environment

PAIRS = 10
EPOCHS = 6
EPOCH_SECONDS = (5.0, 20.0)
FIRST_IMAGES, IMAGES_PER_VALIDATED, IMAGE_SIZE, BATCH = 56, 3, 160, 8
CPU_BUDGET = 1.03
CPU_BUDGET_FROM_SECONDS = 20.0
START_BUDGET = 1.15
PLAIN = Path(__file__).with_name("plain_training.py")


@dataclass(frozen=True)
class Run:
    """The seconds of one training; `results` are the rows of results.csv without their time."""

    epoch_wall: float
    epoch_cpu: float
    to_first_batch: float
    whole_wall: float
    whole_cpu: float
    results: list[dict[str, str]]

    def __str__(self) -> str:
        return (
            f"epoch {self.epoch_wall:.3f} s, {self.epoch_cpu:.3f} CPU s; "
            f"first batch after {self.to_first_batch:.2f} s; "
            f"whole {self.whole_wall:.2f} s, {self.whole_cpu:.2f} CPU s"
        )


@dataclass
class EpochMarks:
    """CPU seconds of a process tree at each epoch's end, read from results.csv every 20 ms."""

    root: int
    results: Path
    cpu: list[float] = field(default_factory=list)

    def look(self) -> None:
        """Record the CPU time if results.csv has more rows than before."""
        try:
            rows = self.results.read_bytes().count(b"\n") - 1
        except FileNotFoundError:
            return
        if rows > len(self.cpu):
            self.cpu += [cpu_seconds(self.root)] * (rows - len(self.cpu))

    def cpu_an_epoch(self) -> float:
        """Return CPU seconds per epoch, from the end of the first epoch to the end of the last."""
        return (self.cpu[-1] - self.cpu[0]) / (len(self.cpu) - 1)


def main() -> None:
    """Measure and print; the exit status reports only whether the measurement succeeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of each run, at least 2")
    parser.add_argument(
        "--seconds",
        type=float,
        nargs="+",
        default=EPOCH_SECONDS,
        help="of an epoch, about; the number of images follows from it",
    )
    asked = parser.parse_args()
    with temporary_folder() as folder, running_trainyard(folder / "home") as server:
        bench = a_bench(server, folder / "first", images=FIRST_IMAGES)
        _, first = bench.pair(epochs=2, turned=False)
        seconds_per_batch = first.epoch_wall / (FIRST_IMAGES / BATCH)
        for seconds in asked.seconds:
            images = BATCH * max(2, round(seconds / seconds_per_batch))
            bench = a_bench(server, folder / f"{seconds:g}-seconds", images=images)
            bench.pair(epochs=2, turned=False)  # fills caches of both sides; not counted
            pairs = [
                bench.pair(epochs=asked.epochs, turned=number % 2 == 1)
                for number in range(asked.pairs)
            ]
            load = os.getloadavg()[0]
            print(f"\n{asked.pairs} pairs of {asked.epochs} epochs of {images} images, ABBA")
            print(f"load {load:.1f}\n\n{report(pairs, epoch_seconds=seconds)}\n", flush=True)


@dataclass
class Bench:
    """Trains on the same images both ways."""

    server: RunningServer
    dataset: str
    images: Path
    runs: int = 0

    def pair(self, *, epochs: int, turned: bool) -> tuple[Run, Run]:
        """Train once each way, plain Ultralytics first if `turned`; print both."""
        if turned:
            plain = self.plainly(epochs)
            ours = self.through_trainyard(epochs)
        else:
            ours = self.through_trainyard(epochs)
            plain = self.plainly(epochs)
        if ours.results != plain.results:
            raise Failed("the two trainings differ, so their costs cannot be compared")
        print(f"trainyard {ours}\nplain     {plain}", flush=True)
        return ours, plain

    def through_trainyard(self, epochs: int) -> Run:
        """POST a job, and send the server no request until its last epoch has ended."""
        process = self.server.process.pid
        cpu_before, posted_at = cpu_seconds(process), time.time()
        job = self.server.submit(
            {"dataset": self.dataset, "model": "yolo26n.yaml", "train": arguments(epochs)}
        )
        run_folder = self.server.home / "worker" / "attempts" / f"{job}-1" / "run"
        marks = EpochMarks(process, run_folder / "results.csv")
        _watch(marks, lambda: len(marks.cpu) >= epochs)
        status = self.server.wait_for_end(job, every=1.0)
        if status["state"] != "succeeded":
            raise Failed(f"job {job} is {status['state']}: {status['error']}")
        events = self.server.get(f"/v1/jobs/{job}/events")["data"]
        started = next(each for each in events if each["type"] == "trainer.started")
        results = self.server.client.get(f"/v1/jobs/{job}/artifacts/results.csv").text
        return a_run(
            results,
            marks,
            to_first_batch=_timestamp(started["created_at"]) - posted_at,
            whole_wall=_timestamp(status["ended_at"]) - posted_at,
            whole_cpu=cpu_seconds(process) - cpu_before,
        )

    def plainly(self, epochs: int) -> Run:
        """Run plain Ultralytics in a new process with the environment of Trainyard's trainers."""
        self.runs += 1
        save_dir = self.images / f"plain-{self.runs}"
        save_dir.mkdir()
        asked = save_dir / "arguments.json"
        data = str(self.images / "data.yaml")
        places = {"model": "yolo26n.yaml", "data": data, "device": "cpu", "save_dir": str(save_dir)}
        asked.write_text(json.dumps({**arguments(epochs), **places}))
        environment = trainer_environment(save_dir, gpu=None, base=os.environ)
        environment["YOLO_VERBOSE"] = "false"  # no progress bars either
        cpu_before, began_at = _cpu_of_ended_children(), time.time()
        with (save_dir / "log").open("w+") as log:
            command = [sys.executable, "-I", str(PLAIN), str(asked)]
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            marks = EpochMarks(process.pid, save_dir / "results.csv")
            _watch(marks, lambda: process.poll() is not None)
            ended_at = time.time()
            log.seek(0)
            said = log.read()
        if process.returncode != 0:
            raise Failed(said)
        first_batch_at = json.loads(said.strip().splitlines()[-1])["first_batch_at"]
        return a_run(
            (save_dir / "results.csv").read_text(),
            marks,
            to_first_batch=first_batch_at - began_at,
            whole_wall=ended_at - began_at,
            whole_cpu=_cpu_of_ended_children() - cpu_before,
        )


def a_bench(server: RunningServer, folder: Path, *, images: int) -> Bench:
    """Draw a dataset with this number of training images in a new folder, for both sides."""
    folder.mkdir()
    val_images = images // IMAGES_PER_VALIDATED
    archive = drawn_shapes(folder, train=images, val=val_images, size=IMAGE_SIZE)
    with zipfile.ZipFile(archive) as members:
        members.extractall(folder)
    return Bench(server, server.upload(archive, name=folder.name), folder)


def arguments(epochs: int) -> dict[str, Any]:
    """Return the training arguments of both sides; every batch is an optimizer step."""
    return {
        "epochs": epochs,
        "imgsz": IMAGE_SIZE,
        "batch": BATCH,
        "nbs": BATCH,
        "optimizer": "AdamW",
        "lr0": 0.002,
        "warmup_epochs": 0,
        "close_mosaic": 0,
        "plots": False,
        "seed": 0,
    }


def a_run(
    results: str,
    marks: EpochMarks,
    *,
    to_first_batch: float,
    whole_wall: float,
    whole_cpu: float,
) -> Run:
    """Build a run from results.csv, whose `time` counts seconds from the first batch."""
    rows = [
        {name.strip(): value for name, value in row.items()}
        for row in csv.DictReader(io.StringIO(results))
    ]
    times = [float(row.pop("time")) for row in rows]
    return Run(
        epoch_wall=(times[-1] - times[0]) / (len(times) - 1),
        epoch_cpu=marks.cpu_an_epoch(),
        to_first_batch=to_first_batch,
        whole_wall=whole_wall,
        whole_cpu=whole_cpu,
        results=rows,
    )


def report(pairs: Sequence[tuple[Run, Run]], *, epoch_seconds: float) -> str:
    """Return the table: means, ratio with its interval, budget, and whether it is met."""

    def judge_cpu(ratio: Ratio) -> str:
        if epoch_seconds < CPU_BUDGET_FROM_SECONDS:
            return f"none below {CPU_BUDGET_FROM_SECONDS:g} s"
        return _at_most(CPU_BUDGET, ratio)

    def line(what: str, of: Callable[[Run], float], judge: Callable[[Ratio], str]) -> list[str]:
        values = [(of(ours), of(plain)) for ours, plain in pairs]
        ours, plain = (sum(each) / len(pairs) for each in zip(*values, strict=True))
        ratio = ratio_of_means(values)
        return [what, f"{ours:.3f}", f"{plain:.3f}", str(ratio), judge(ratio)]

    return table(
        [
            ["seconds", "Trainyard", "plain", "ratio [95 % interval]", "budget"],
            line("wall, an epoch", lambda run: run.epoch_wall, _no_difference),
            line("CPU, an epoch", lambda run: run.epoch_cpu, judge_cpu),
            line(
                "start to first batch",
                lambda run: run.to_first_batch,
                lambda ratio: _at_most(START_BUDGET, ratio),
            ),
            line("wall, whole job", lambda run: run.whole_wall, lambda _: "none"),
            line("CPU, whole job", lambda run: run.whole_cpu, lambda _: "none"),
        ]
    )


def _no_difference(ratio: Ratio) -> str:
    kept = ratio.low <= 1
    return f"1 within the interval, or below it: {'kept' if kept else 'MISSED'}"


def _at_most(budget: float, ratio: Ratio) -> str:
    if ratio.value > budget:
        return f"≤ {budget}: MISSED"
    return f"≤ {budget}: kept" + ("" if ratio.high <= budget else ", the interval reaches beyond")


def _watch(marks: EpochMarks, has_ended: Callable[[], bool]) -> None:
    def ended() -> bool:
        marks.look()
        return has_ended()

    wait_until(ended, within=JOB_SECONDS)


def _cpu_of_ended_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _timestamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


if __name__ == "__main__":
    main()
