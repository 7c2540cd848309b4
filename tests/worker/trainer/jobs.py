"""Builders of job files, and trainer processes started as the supervisor starts them."""

import os
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from app.core.tasks import Task
from app.jobs.spec.job_spec import JobSpec, SpecFacts, resolve_spec
from tests.worker.trainer.drawn_datasets import CLASSES
from tests.worlds.processes import STARTERS, a_cage
from worker.processes.process import Command, RunningProcess
from worker.trainer.environment import trainer_environment
from worker.trainer.protocol import (
    EVENTS_FD_VARIABLE,
    ArchitectureSource,
    JobFile,
    ModelSource,
    TrainerEvent,
    WeightsSource,
    parse_event,
)

ARCHITECTURES: dict[Task, str] = {
    "detect": "yolo26n.yaml",
    "segment": "yolo26n-seg.yaml",
    "pose": "yolo26n-pose.yaml",
    "obb": "yolo26n-obb.yaml",
    "classify": "yolo26n-cls.yaml",
    "semantic": "yolo26n-sem.yaml",
    "depth": "yolo26n-depth.yaml",
}
DATASET_VERSION = "dsv_01JABCDEFGHJKMNPQRSTVWXYZ0"
# Trains from the first batch on, in a few seconds: 18 images in batches of 4 give 5 steps an epoch.
TINY: dict[str, object] = {
    "epochs": 2,
    "imgsz": 64,
    "batch": 4,
    "nbs": 4,
    "warmup_epochs": 0,
    "optimizer": "SGD",
    "lr0": 0.01,
    "plots": False,
}
THREADS = min(8, max(1, (os.cpu_count() or 1) - 1))  # Ultralytics' own number


def a_job(
    dataset: Path,
    directory: Path,
    *,
    task: Task = "detect",
    train: Mapping[str, object] = MappingProxyType({}),
    customize: Mapping[str, object] | None = None,
    facts: Mapping[str, Any] = MappingProxyType({}),
    **changes: object,
) -> JobFile:
    """Return a job that trains two tiny epochs.

    Args:
        dataset: the dataset's folder.
        directory: the job's directory; the run directory is created in it.
        task: the job's task.
        train: additional train arguments; a value of None removes one.
        customize: the customizations, as in the spec.
        facts: additional facts of the dataset and model, for example `class_counts`.
        changes: other fields of the job file.
    """
    arguments = TINY | dict(train)
    spec = JobSpec.model_validate(
        {
            "dataset": DATASET_VERSION,
            "model": ARCHITECTURES[task],
            "task": task,
            "train": {name: arguments[name] for name in arguments if arguments[name] is not None},
            "customize": customize,
        }
    )
    known = {"classes": CLASSES, "architecture": ARCHITECTURES[task]} | dict(facts)
    run_directory = directory / "run"
    run_directory.mkdir(parents=True, exist_ok=True)
    fields: dict[str, Any] = {
        "job_id": "job_01JABCDEFGHJKMNPQRSTVWXYZ0",
        "attempt": 1,
        "spec": resolve_spec(spec, SpecFacts(DATASET_VERSION, task, **known)),
        "task": task,
        "dataset_path": dataset,
        "model": ArchitectureSource(name=ARCHITECTURES[task]),
        "run_directory": run_directory,
        "device": "cpu",
        "threads": THREADS,
    }
    return JobFile(**fields | changes)


def default_way() -> str:
    """Return how trainers are started: a key of `STARTERS`."""
    return "warm"


def weights(path: Path, name: str = "mine.pt") -> ModelSource:
    return WeightsSource(name=name, path=path)


@dataclass
class TrainerProcess:
    """A running trainer; its events are read as they arrive."""

    process: RunningProcess
    directory: Path
    events: list[TrainerEvent] = field(default_factory=list)
    reader: threading.Thread | None = None
    reading: bool = True
    layers: ExitStack = field(default_factory=ExitStack)

    def of(self, kind: str) -> list[Any]:
        return [event for event in list(self.events) if event.type == kind]

    def wait(self, within: float = 120) -> int:
        """Return the exit code, once every process and event of the training has ended."""
        code = self.process.wait(within)
        assert code is not None, f"it still runs after {within} seconds"
        self.end()
        return code

    def end(self) -> None:
        """Kill what still runs of it, and read the rest of its events."""
        self.layers.close()
        assert self.reader is not None
        self.reader.join(120)

    def stop_reading(self) -> None:
        """Close our end of the pipe after the next event."""
        self.reading = False

    @property
    def log(self) -> str:
        return (self.directory / "train.log").read_text(encoding="utf-8", errors="replace")


def start(
    job: JobFile, directory: Path, *, way: str | None = None, **environment: str
) -> TrainerProcess:
    """Start a trainer process in a separate session, with the environment of a real one.

    It is forked from a preloaded parent by default; the fixture `both_ways` changes the default.
    With "caged" after the way, it runs in a cage.

    Additional variables of `environment` make it a new process, as `way="cold"` does.
    """
    way, _, caged = (way or default_way()).partition(" ")
    (directory / "job.json").write_text(job.model_dump_json(), encoding="utf-8")
    reading, writing = os.pipe()
    env = trainer_environment(directory, gpu=None, base=os.environ)
    command = Command(
        [sys.executable, "-m", "worker.trainer", str(directory / "job.json")],
        env | {EVENTS_FD_VARIABLE: str(writing)} | environment,
        job.run_directory,
        f"{job.job_id}-{uuid4().hex}",
        pass_fds=(writing,),
        cage=a_cage(directory, job.dataset_path) if caged else None,
    )
    with (directory / "train.log").open("wb") as log:
        process = STARTERS[way]().start(command, log, heavy=True)
    os.close(writing)
    running = TrainerProcess(process, directory)
    running.layers.enter_context(process)
    running.reader = threading.Thread(target=_read, args=(reading, running), daemon=True)
    running.reader.start()
    return running


def run(
    job: JobFile, directory: Path, *, way: str | None = None, **environment: str
) -> TrainerProcess:
    """Start a trainer process and wait for its end."""
    running = start(job, directory, way=way, **environment)
    running.wait()
    return running


def _read(fd: int, running: TrainerProcess) -> None:
    with os.fdopen(fd, "rb") as pipe:
        for line in pipe:
            running.events.append(parse_event(line))
            if not running.reading:
                return
