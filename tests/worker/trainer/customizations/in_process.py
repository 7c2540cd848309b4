"""Trainings inside the test process: composed from the spec, or written by hand.

The first one takes as long as importing torch, each further one a few seconds. Both use
the same number of threads, so that equal seeds give equal numbers.
"""

import csv
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from ultralytics.utils import torch_utils

from worker.trainer.compose import compose_trainer, overrides
from worker.trainer.interrupts import Interrupts
from worker.trainer.protocol import Event, JobFile, TrainerEvent, event_line, parse_event
from worker.trainer.run import TrainingRun
from worker.trainer.training import train_run
from worker.trainer.upstream import configure_ultralytics, pin_threads


@dataclass
class Heard:
    """A pipe that keeps its events in the form in which JSON would carry them."""

    events: list[TrainerEvent] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        self.events.append(parse_event(event_line(event)))


@dataclass(frozen=True)
class Training:
    """A training that has ended."""

    job: JobFile
    trainer: Any
    events: list[TrainerEvent]

    def of(self, kind: str) -> list[Any]:
        """Return the events of a type, for example `epoch`."""
        return [event for event in self.events if event.type == kind]

    @property
    def directory(self) -> Path:
        return Path(self.trainer.save_dir)

    @property
    def rows(self) -> list[dict[str, str]]:
        """Return the rows of results.csv without the elapsed time."""
        with (self.directory / "results.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [{name: text for name, text in row.items() if name != "time"} for row in rows]

    def assert_it_trained(self) -> None:
        """Assert at least four optimizer steps in each epoch."""
        steps = [event.optimizer_steps for event in self.of("epoch")]
        assert steps
        assert min(steps) >= 4, steps


def train_here(
    job: JobFile,
    *,
    watching: tuple[type, ...] = (),
    interrupts: Interrupts | None = None,
    events: list[TrainerEvent] | None = None,
) -> Training:
    """Train the job.

    Args:
        job: its `resume_from` is honoured.
        watching: outer classes that observe the composed one.
        interrupts: requests to the process; None: none.
        events: gets the events, also those of a training that raises.
    """
    heard = Heard([] if events is None else events)
    with _as_in_a_process_of_its_own(job.threads):
        # A name with "Trainer" would enable integrations: see compose_trainer.
        trainer = train_run(
            TrainingRun(job, heard, interrupts or Interrupts()),
            lambda run: type("Watched", (*watching, compose_trainer(run)), {}),
        )
    return Training(job, trainer, heard.events)


def set_up_here(job: JobFile) -> Any:  # noqa: ANN401 -- a task's trainer
    """Return the trainer of a job, ready for its first batch."""
    with _as_in_a_process_of_its_own(job.threads):
        trainer: Any = compose_trainer(TrainingRun(job, Heard(), Interrupts()))(
            overrides=overrides(job)
        )
        trainer._setup_train()
    return trainer


def train_by_hand(kind: type, job: JobFile, place: Path, **changes: object) -> Training:
    """Train a plain Ultralytics trainer with the arguments of a job, into `place`.

    Args:
        kind: a subclass of a task's trainer, as a user writes it.
        job: gives the data, model and train arguments; its customizations are ignored.
        place: becomes `save_dir`.
        changes: other train arguments.
    """
    with _as_in_a_process_of_its_own(job.threads):
        trainer: Any = kind(overrides=_arguments_by_hand(job, place) | changes)
        pin_threads(job.threads)
        trainer.train()
    return Training(job, trainer, [])


def set_up_by_hand(kind: type, job: JobFile, place: Path, **changes: object) -> Any:  # noqa: ANN401 -- a task's trainer
    """Return a plain Ultralytics trainer ready for its first batch; arguments as above."""
    with _as_in_a_process_of_its_own(job.threads):
        trainer: Any = kind(overrides=_arguments_by_hand(job, place) | changes)
        trainer._setup_train()
    return trainer


def _arguments_by_hand(job: JobFile, place: Path) -> dict[str, object]:
    data = job.dataset_path if job.task == "classify" else job.dataset_path / "data.yaml"
    places = {"data": str(data), "device": job.device, "save_dir": str(place), "exist_ok": True}
    model = job.model.name if job.model.path is None else str(job.model.path)
    return job.spec.train.to_ultralytics() | places | {"task": job.task, "model": model}


def next_attempt(earlier: Training, directory: Path, *, epoch: int) -> JobFile:
    """Return the job's next attempt as if the earlier one had been killed after `epoch`.

    Its run directory is filled as the supervisor does it. If the earlier attempt wrote a training
    state at the end of that epoch, the next one continues from it.
    """
    run_directory = directory / "run"
    (run_directory / "weights").mkdir(parents=True)
    began_with = (earlier.job.resume_from or Path("none")).parent / "best"
    newest = {file.name: file for file in began_with.glob("*.pt")}
    for event in earlier.of("checkpoint"):
        if event.epoch <= epoch:
            newest.pop("state.pt", None)
            newest |= {name: earlier.directory / path for name, path in event.files.items() if path}
    (directory / "last.pt").write_bytes(newest.pop("last.pt").read_bytes())
    (run_directory / "results.csv").write_bytes(newest.pop("results.csv").read_bytes())
    late = [event.file for event in earlier.of("state") if event.epoch == epoch]
    state = earlier.directory / late[0] if late else newest.pop("state.pt", None)
    if state is not None:
        (directory / "state.pt").write_bytes(state.read_bytes())
    (directory / "best").mkdir()
    for name, file in newest.items():
        place = run_directory / "weights" if name.endswith(".pt") else run_directory
        for folder in (place, directory / "best"):
            (folder / name).write_bytes(file.read_bytes())
    changes = {
        "attempt": earlier.job.attempt + 1,
        "run_directory": run_directory,
        "resume_from": directory / "last.pt",
        "state_from": None if state is None else directory / "state.pt",
    }
    return earlier.job.model_copy(update=changes)


def state_of(weights: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint, stripped or not."""
    checkpoint = torch.load(weights, map_location="cpu", weights_only=False)
    model = checkpoint["model"] if checkpoint["model"] is not None else checkpoint["ema"]
    return dict(model.state_dict())


def differing_tensors(first: Path, second: Path) -> list[str]:
    """Return the names of the tensors that differ between two checkpoints."""
    one, other = state_of(first), state_of(second)
    assert one.keys() == other.keys()
    return [name for name, tensor in one.items() if not torch.equal(tensor, other[name])]


@contextmanager
def _as_in_a_process_of_its_own(threads: int) -> Iterator[None]:
    """Ignore warnings, which a trainer logs but tests raise, and set the number of threads.

    Two lines of its log lack the number of FLOPs, which takes a tenth of a tiny training to count.
    """
    configure_ultralytics(threads=threads)
    pin_threads(threads)
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setattr(torch_utils, "get_flops", lambda *_: 0.0)
        yield
