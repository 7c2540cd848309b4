"""A trainer that does not train, for tests of everything around training.

All other parts of a job are real: its file, pipe, signals, checkpoints, resume and end. The
"weights" are a few lines of JSON, chained to the epoch before, so that a resume from a wrong epoch
is detected; the training state has the digests of the files of its epoch. Unless
`TRAINYARD_TESTING` is 1, no slot offers it and no job can use it. It does not import torch, and so
starts in a fraction of a second.
"""

import csv
import hashlib
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Pause
from typing import Final, Self

from pydantic import Field

from app.artifacts.names import BEST, LAST, RESULTS, STATE, ArtifactKind
from app.core.files import link_whole, write_whole
from app.jobs.end_reasons import EndReason
from app.jobs.spec.job_spec import JobSpec
from app.jobs.states import Phase
from worker.trainer.errors import BadWeights
from worker.trainer.events import EventPipe
from worker.trainer.interrupts import Interrupts, LeaveRequested
from worker.trainer.plugins import PluginOptions
from worker.trainer.protocol import (
    NO_STATE_FILE,
    Artifact,
    BatchEvent,
    CheckpointEvent,
    EpochEvent,
    FinalEvent,
    JobFile,
    PhaseEvent,
    ResumedEvent,
    StartedEvent,
    StateEvent,
    exit_code_of,
)
from worker.trainer.weights.portability import PortabilityCheck, Verdict

NAME: Final = "null"
"""The `trainer.name` of its jobs; no plugin can have this name."""
STEPS: Final = 4
SLICE_SECONDS: Final = 0.1
CYCLE: Final = 11
STATE_EVERY: Final = 3
"""Epochs between two training states, if the job file does not set them."""


class NullOptions(PluginOptions):
    """The pretended duration of an epoch, and the minimum size of its checkpoint."""

    seconds_per_epoch: float = Field(default=0.1, ge=0, le=60)
    checkpoint_bytes: int = Field(default=1000, ge=0, le=64 * 1024 * 1024)


def is_null_trainer(spec: JobSpec) -> bool:
    """Return whether a job uses the null trainer."""
    return spec.trainer is not None and spec.trainer.name == NAME


@dataclass(frozen=True)
class State:
    """The content of a checkpoint of the null trainer."""

    epoch: int = 0
    best_epoch: int | None = None
    chain: str = ""

    def after_an_epoch(self) -> Self:
        """Return the state at the end of the next epoch."""
        epoch = self.epoch + 1
        best = self.best_epoch
        is_best = best is None or fitness_of(epoch) > fitness_of(best)
        chain = hashlib.sha256(f"{self.chain} {epoch}".encode()).hexdigest()
        return type(self)(epoch, epoch if is_best else best, chain)

    def written(self, least_bytes: int) -> bytes:
        """Return the bytes of the checkpoint."""
        return json.dumps(vars(self)).encode().ljust(least_bytes) + b"\n"

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a checkpoint.

        Raises:
            BadWeights: The file is truncated, or its chain does not match its number of epochs.
        """
        try:
            state = cls(**json.loads(file.read_bytes()))
        except (TypeError, ValueError) as error:
            raise BadWeights(f"{file.name} is not a checkpoint of the null trainer.") from error
        expected = cls()
        while expected.epoch < state.epoch:
            expected = expected.after_an_epoch()
        if state != expected:
            raise BadWeights(f"{file.name} is not the result of {state.epoch} epochs.")
        return state


def fitness_of(epoch: int) -> float:
    """Return a made-up fitness that rises and falls."""
    return round((epoch * 7 % CYCLE) / CYCLE, 5)


def metrics_of(epoch: int) -> Mapping[str, float]:
    """Return made-up metrics that depend only on the epoch."""
    return {
        "train/box_loss": round(1 / epoch, 5),
        "metrics/precision(B)": 0.5,
        "metrics/recall(B)": 0.5,
        "metrics/mAP50(B)": fitness_of(epoch),
        "metrics/mAP50-95(B)": fitness_of(epoch),
        "val/box_loss": round(2 / epoch, 5),
        "lr/pg0": 0.01,
    }


def train(job_file: JobFile, pipe: EventPipe, interrupts: Interrupts) -> None:
    """Run the remaining epochs and finalize.

    Raises:
        LeaveRequested: The process received SIGTERM; the training state of the last finished epoch
            is handed over.
        BadWeights: The checkpoint to resume from is not valid.
    """
    training = _Training(job_file, pipe, interrupts)
    state = State.read(job_file.resume_from) if job_file.resume_from is not None else State()
    training.start(state)
    try:
        while _continues(state, job_file, interrupts):
            state = training.epoch_after(state)
    except LeaveRequested:
        training.hand_over_newest_state()
        raise
    training.finalize(state)


def _continues(state: State, job_file: JobFile, interrupts: Interrupts) -> bool:
    is_done = interrupts.stop_requested or state.epoch >= job_file.spec.train.epochs
    return state.epoch == 0 or not is_done


def belonging_to(run_directory: Path) -> dict[str, str]:
    """Return the SHA-256 digests of the files that a training state belongs to, by name."""
    files = (run_directory / RESULTS, run_directory / "weights" / BEST)
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _resumed(job_file: JobFile, state: State) -> ResumedEvent:
    """Return the event of a resume; the files of a training state must match byte for byte."""
    if job_file.state_from is None:
        message = "There is no training state of this epoch."
        return ResumedEvent(mode="plain", epoch=state.epoch, reason="no_state", message=message)
    if json.loads(job_file.state_from.read_bytes()) != _training_state(job_file, state):
        raise BadWeights(f"{STATE} is not of epoch {state.epoch}, or of other files.")
    return ResumedEvent(mode="exact", epoch=state.epoch, reason=None, message=None)


def _training_state(job_file: JobFile, state: State) -> dict[str, object]:
    return {**vars(state), "files": belonging_to(job_file.run_directory)}


class _Training:
    def __init__(self, job_file: JobFile, pipe: EventPipe, interrupts: Interrupts) -> None:
        self._job_file, self._pipe, self._interrupts = job_file, pipe, interrupts
        self._run = job_file.run_directory
        choice = job_file.spec.trainer
        self._options = NullOptions.model_validate(choice.options if choice else {})
        self._has_ended_an_epoch = False
        self._newest: tuple[int, bytes] | None = None  # epoch and training state, not handed over
        for folder in ("weights", "outbox", "final"):
            (self._run / folder).mkdir(exist_ok=True)

    def start(self, state: State) -> None:
        if self._job_file.resume_from is not None:
            shutil.copyfile(self._job_file.resume_from, self._run / "weights" / LAST)
            self._pipe.emit(_resumed(self._job_file, state))
        self._write_results(upto=state.epoch)
        self._pipe.emit(PhaseEvent(phase=Phase.TRAINING))
        self._pipe.emit(
            StartedEvent(
                batches_per_epoch=STEPS,
                epochs=self._job_file.spec.train.epochs,
                first_epoch=state.epoch + 1,
                batch_size=max(1, int(self._job_file.spec.train.batch)),
                threads=self._job_file.threads,
                device_name="none",
                optimizer="none",
                lr0=None,
                train_images=0,
                val_images=0,
                environment={},
            )
        )

    def epoch_after(self, before: State) -> State:
        state = before.after_an_epoch()
        seconds = self._options.seconds_per_epoch
        epochs = self._last_epoch(state)
        self._pipe.emit(
            BatchEvent(
                epoch=state.epoch,
                epochs=epochs,
                batch=1,
                batches=STEPS,
                losses={"box_loss": 1 / state.epoch},
                epoch_seconds=0,
                eta_seconds=seconds * (epochs - before.epoch) if self._has_ended_an_epoch else None,
            )
        )
        _pause(seconds)
        self._write_results(upto=before.epoch, adding=state.epoch)
        content = state.written(self._options.checkpoint_bytes)
        last = self._run / "weights" / LAST
        write_whole(last, content, durable=False)
        if state.best_epoch == state.epoch:
            link_whole(last.with_name(BEST), last)
        with self._interrupts.deferred():
            self._end_epoch(state)
        return state

    def _end_epoch(self, state: State) -> None:
        self._has_ended_an_epoch = True
        content = json.dumps(_training_state(self._job_file, state)).encode()
        has_state = self._writes_state(state)
        if has_state:
            write_whole(self._run / "weights" / STATE, content, durable=False)
        self._newest = None if has_state else (state.epoch, content)
        self._report_epoch(state, has_state=has_state)

    def hand_over_newest_state(self) -> None:
        """Write and report the training state of the last finished epoch, unless it is done."""
        if self._newest is None or (self._run / NO_STATE_FILE).exists():
            return
        epoch, content = self._newest
        write_whole(self._run / "weights" / STATE, content, durable=False)
        self._pipe.emit(StateEvent(epoch=epoch, file=self._handed_over(f"weights/{STATE}", epoch)))

    def finalize(self, state: State) -> None:
        self._pipe.emit(PhaseEvent(phase=Phase.FINALIZING, epochs_done=state.epoch))
        best = state.best_epoch
        artifacts = [self._kept(BEST, best), self._kept(LAST, state.epoch)]
        self._pipe.emit(
            FinalEvent(
                epochs_done=state.epoch,
                best_epoch=best,
                best_fitness=fitness_of(best) if best else None,
                metrics=dict(metrics_of(best)) if best else {},
                artifacts=[
                    *artifacts,
                    Artifact(name=RESULTS, path=RESULTS, kind=ArtifactKind.TABLE),
                ],
            )
        )

    def _kept(self, name: str, epoch: int | None) -> Artifact:
        checkpoint, final = self._run / "weights" / name, self._run / "final" / name
        if State.read(checkpoint).epoch != epoch:
            raise BadWeights(f"{name} is not of epoch {epoch}.")
        shutil.copyfile(checkpoint, final)
        return Artifact(name=name, path=f"final/{name}", kind=ArtifactKind.WEIGHTS, epoch=epoch)

    def _last_epoch(self, state: State) -> int:
        is_last = self._interrupts.stop_requested
        return state.epoch if is_last else max(self._job_file.spec.train.epochs, state.epoch)

    def _writes_state(self, state: State) -> bool:
        is_last = self._interrupts.stop_requested or state.epoch == self._job_file.spec.train.epochs
        return is_last or state.epoch % (self._job_file.state_every or STATE_EVERY) == 0

    def _report_epoch(self, state: State, *, has_state: bool) -> None:
        epoch, best = state.epoch, state.best_epoch or state.epoch
        seconds, epochs = self._options.seconds_per_epoch, self._last_epoch(state)
        self._pipe.emit(
            EpochEvent(
                epoch=epoch,
                epochs=epochs,
                metrics=dict(metrics_of(epoch)),
                fitness=fitness_of(epoch),
                best_fitness=fitness_of(best),
                seconds=seconds,
                optimizer_steps=STEPS,
                eta_seconds=seconds * (epochs - epoch) if epochs > epoch else None,
            )
        )
        best_file = self._handed_over(f"weights/{BEST}", epoch) if best == epoch else None
        self._pipe.emit(
            CheckpointEvent(
                epoch=epoch,
                files={
                    LAST: self._handed_over(f"weights/{LAST}", epoch),
                    BEST: best_file,
                    RESULTS: self._handed_over(RESULTS, epoch),
                    **({STATE: self._handed_over(f"weights/{STATE}", epoch)} if has_state else {}),
                },
            )
        )

    def _handed_over(self, file: str, epoch: int) -> str:
        target = self._run / "outbox" / f"{epoch:06d}-{Path(file).name}"
        target.unlink(missing_ok=True)
        os.link(self._run / file, target)
        return str(target.relative_to(self._run))

    def _write_results(self, *, upto: int, adding: int | None = None) -> None:
        """Write the existing rows up to an epoch, and the row of epoch `adding`."""
        file = self._run / RESULTS
        kept = file.read_text(encoding="utf-8").splitlines()[1:] if file.exists() else []
        lines = io.StringIO()
        table = csv.writer(lines)
        table.writerow(["epoch", "time", *metrics_of(1)])
        table.writerows(row for row in csv.reader(kept) if int(row[0]) <= upto)
        if adding is not None:
            table.writerow([adding, 0.1, *metrics_of(adding).values()])
        write_whole(file, lines.getvalue(), durable=False)


def _pause(seconds: float) -> None:
    """Wait in slices, since a signal just before a slice begins is handled only when it ends."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        Pause().wait(min(left, SLICE_SECONDS))


def null_check(
    weights: Sequence[Path], environment: dict[str, str], verdict_file: Path
) -> PortabilityCheck:
    """Return the process that checks "weights" of the null trainer: see `portability_check`.

    It checks only that they are complete and correctly chained.
    """
    program = [sys.executable, "-m", "worker.trainer.null_trainer"]
    arguments = map(str, [verdict_file, *weights])
    return PortabilityCheck([*program, *arguments], dict(environment), verdict_file)


def main(arguments: list[str]) -> int:
    """Check the files after the first argument, and write the verdict to the first one."""
    verdict, *files = arguments
    failure = None
    try:
        for file in map(Path, files):
            State.read(file)
    except (BadWeights, OSError) as error:
        failure = str(error)
    Path(verdict).write_text(Verdict(failure=failure).model_dump_json(), encoding="utf-8")
    return exit_code_of(EndReason.SUCCEEDED if failure is None else EndReason.NOT_PORTABLE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
