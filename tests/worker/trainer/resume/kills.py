"""Trainer processes that die at a place that a test chooses, and the attempts that follow.

At any place but its own, a state that is being written is completed and reported first: however
slow the disk is, a test knows from which epoch the next attempt continues.
"""

import json
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.artifacts.resume_sets import epochs_of_sets, set_of
from app.jobs.end_reasons import EndReason
from app.jobs.spec.job_spec import TrainerChoice
from tests.plugins import write_plugin
from tests.worker.trainer.jobs import TrainerProcess, run
from worker.trainer.protocol import JobFile

PLUGIN = """
import json, os, signal, threading
from typing import ClassVar

import torch

from tests.worker.trainer.resume.exactness import digest, labels_in
from worker.trainer.plugins import PluginOptions, TrainerPlugin


class Options(PluginOptions):
    # A place, epoch and batch: "batch 2 3", "validation 1", "state 1", "row 1". "leave batch 2 3"
    # requests the process to leave there and does not kill it.
    die_at: str = ""
    loader_workers: int = 0
    trace: str = ""


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for_the_state_that_is_being_written():
    for thread in threading.enumerate():
        if thread.name == "training state" and thread is not threading.current_thread():
            thread.join()


class Dying:
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.args.workers = self.plugin_options.loader_workers
        self.dying_batch = 0
        replace = os.replace

        def replace_or_die(source, target, **options):
            if str(target).endswith("state.pt"):
                epoch = torch.load(source, weights_only=True)["heading"]["epoch"]
                self.die_in("state", epoch)  # all is written, and nothing has the name yet
                replace(source, target, **options)
                self.die_in("row", epoch)  # the state is there, and nobody was told
            else:
                replace(source, target, **options)

        os.replace = replace_or_die

    def die_in(self, place, *more):
        at = " ".join(map(str, (place, *more)))
        if self.plugin_options.die_at == f"leave {at}":
            os.kill(os.getpid(), signal.SIGTERM)
        if self.plugin_options.die_at == at:
            wait_for_the_state_that_is_being_written()
            self.run.pipe.close(within=10)
            die()

    def preprocess_batch(self, batch):
        batch = super().preprocess_batch(batch)
        self.dying_seen = [digest(batch["img"]), digest(*labels_in(batch))]
        return batch

    def final_eval(self):
        super().final_eval()
        self.die_in("final", self.epoch + 1)


def epoch_starts(trainer):
    trainer.dying_batch = 0


def batch_ends(trainer):
    trainer.dying_batch += 1
    rates = [group["lr"] for group in trainer.optimizer.param_groups]
    said = [trainer.epoch + 1, trainer.dying_batch, *trainer.dying_seen, float(trainer.loss), rates]
    with open(trainer.plugin_options.trace, "a") as file:
        file.write(json.dumps(said) + "\\n")
    trainer.die_in("batch", trainer.epoch + 1, trainer.dying_batch)


def training_starts(trainer):
    trainer.validator.callbacks["on_val_batch_start"].append(
        lambda _: trainer.die_in("validation", trainer.epoch + 1)
    )


class Plugin(TrainerPlugin):
    Options = Options
    mixins = (Dying,)
    callbacks: ClassVar = {
        "on_train_start": training_starts,
        "on_train_epoch_start": epoch_starts,
        "on_train_batch_end": batch_ends,
    }
"""


@dataclass(frozen=True)
class Attempts:
    """Processes of one job; the last of them finished.

    Args:
        processes: in the order of their attempts.
        trace: a line for each batch that any process trained.
    """

    processes: list[TrainerProcess]
    trace: list[list[Any]]

    @property
    def run_directory(self) -> Path:
        return self.processes[-1].directory / "run"

    @property
    def resumed(self) -> list[str]:
        return [event.mode for each in self.processes for event in each.of("resumed")]


def attempts_of(
    job: JobFile, directory: Path, *, dying_at: Sequence[str] = (), loader_workers: int = 0
) -> Attempts:
    """Train until a process finishes; one process dies at each place in `dying_at` before."""
    packages = write_plugin(directory / "packages", PLUGIN, name="dying", package="dying_pkg")
    trace = directory / "trace"
    processes: list[TrainerProcess] = []
    for number, place in enumerate((*dying_at, "")):
        options = {"die_at": place, "loader_workers": loader_workers, "trace": str(trace)}
        home = directory / f"attempt-{number}"
        attempt = _attempt(job, processes, home, options)
        path = f"{packages}:{Path(__file__).parents[4]}"
        processes.append(run(attempt, home, PYTHONPATH=path))
        assert processes[-1].process.exit_code == _exit_code_at(place), processes[-1].log
    lines = trace.read_text(encoding="utf-8").splitlines()
    return Attempts(processes, [json.loads(line) for line in lines])


def _exit_code_at(place: str) -> int | None:
    if place.startswith("leave "):
        return EndReason.TRAINER_KILLED.exit_code
    return -signal.SIGKILL if place else 0


def _attempt(
    job: JobFile, earlier: Sequence[TrainerProcess], home: Path, options: dict[str, object]
) -> JobFile:
    choice = TrainerChoice.model_validate({"name": "dying", "options": options})
    changes: dict[str, object] = {
        "attempt": len(earlier) + 1,
        "spec": job.spec.model_copy(update={"trainer": choice}),
        "run_directory": home / "run",
    }
    files = _newest_set(earlier)
    (home / "run" / "weights").mkdir(parents=True)
    if files:
        for name in ("last.pt", "state.pt"):
            (home / name).write_bytes(files.pop(name).read_bytes())
        (home / "run" / "results.csv").write_bytes(files.pop("results.csv").read_bytes())
        for name, file in files.items():
            (home / "run" / "weights" / name).write_bytes(file.read_bytes())
        changes |= {"resume_from": home / "last.pt", "state_from": home / "state.pt"}
    return job.model_copy(update=changes)


def _newest_set(processes: Sequence[TrainerProcess]) -> dict[str, Path]:
    """Return the files from which a resume starts, as the supervisor would have stored them."""
    made: dict[tuple[str, int], Path] = {}
    for each in processes:
        run_directory = each.directory / "run"
        for event in each.of("checkpoint"):
            files = {name: run_directory / path for name, path in event.files.items() if path}
            made |= {(name, event.epoch): file for name, file in files.items()}
        for event in each.of("state"):
            made["state.pt", event.epoch] = run_directory / event.file
    states = epochs_of_sets(made, having="state.pt")
    newest = set_of(states[0], made) if states else {}
    return {name: made[name, epoch] for name, epoch in newest.items()}
