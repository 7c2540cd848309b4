"""The protocol of supervisor and trainer process: job.json in, JSON lines out, exit codes.

Imports neither torch nor Ultralytics, since both sides of the pipe import it.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
)

from app.artifacts.names import BEST, LAST, RESULTS, STATE, ArtifactKind
from app.core.tasks import Task
from app.jobs.end_reasons import EndReason
from app.jobs.spec.job_spec import ResolvedSpec
from app.jobs.states import Phase
from worker.trainer.field_types import (
    MOST_ARTIFACTS,
    MOST_CHECKPOINT_FILES,
    MOST_METRICS,
    Count,
    Data,
    FileName,
    Message,
    Metrics,
    Name,
    RunPath,
)

PROTOCOL: Final = 1
EVENTS_FD_VARIABLE: Final = "TRAINYARD_EVENTS_FD"

STORING_SECONDS_FILE: Final = "storing_seconds"
"""A file in the run directory with the seconds that the supervisor took to store the newest
training state. The supervisor writes it afterwards, and the trainer removes it after reading."""

NO_STATE_FILE: Final = "no_state"
"""A file in the run directory that the supervisor creates when a job is cancelled, before it
requests the trainer to leave: the trainer then leaves without writing a training state."""

TrainedKind = Literal[
    ArtifactKind.WEIGHTS, ArtifactKind.TABLE, ArtifactKind.CONFIG, ArtifactKind.PLOT
]
"""The artifacts that a trainer reports at its end; the supervisor itself stores checkpoints and
logs."""
ResumeMode = Literal["exact", "plain"]
_FILES_OF_A_RESUME: Final = "|".join(map(re.escape, (LAST, BEST, STATE, RESULTS)))
CheckpointFile = Annotated[
    str,
    StringConstraints(
        pattern=rf"^({_FILES_OF_A_RESUME}|best_[a-z0-9_]{{1,40}}\.pt|train_batch\d{{1,9}}\.jpg)$"
    ),
]
"""The name, not the path, of a file of a checkpoint; results of a training are `Artifact`s."""


def exit_code_of(reason: EndReason) -> int:
    """Return the exit code with which a trainer process reports an end reason.

    A process that a signal killed has a negative code instead.

    Raises:
        ValueError: The reason has no exit code.
    """
    if reason.exit_code is None:
        raise ValueError(f"no process exits because of {reason}")
    return reason.exit_code


def _has_exit_code(reason: EndReason) -> EndReason:
    exit_code_of(reason)
    return reason


class ProtocolModel(BaseModel):
    """Base of all protocol messages: frozen, without extra fields, and without NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ArchitectureSource(ProtocolModel):
    """Start from random weights; `name` is a model file that Ultralytics ships: yolo26n.yaml."""

    kind: Literal["architecture"] = "architecture"
    name: str
    path: None = None


class WeightsSource(ProtocolModel):
    """Start from weights; `name` is their name for users, `path` the local .pt file."""

    kind: Literal["weights"] = "weights"
    name: str
    path: Path


ModelSource = Annotated[ArchitectureSource | WeightsSource, Field(discriminator="kind")]


class DatasetScan(ProtocolModel):
    """A scan of the labels and images of the dataset: a file, and the SHA-256 that it must have."""

    path: Path
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class JobFile(ProtocolModel):
    """The only input of a trainer process. All paths are absolute.

    `run_directory` contains only files that the training writes. On a resume (`resume_from`, a
    last.pt outside of it) it already contains results.csv, weights/best.pt and each
    weights/best_<name>.pt of the checkpoint's epoch. `state_from` is the training state (state.pt,
    also outside of it) of the same epoch: the resume is exact if the state fits, and plain if it
    does not fit or is missing.
    """

    protocol: Literal[1] = PROTOCOL
    job_id: str
    attempt: int = Field(ge=1)
    spec: ResolvedSpec
    task: Task
    dataset_path: Path = Field(description="Folder with data.yaml; for classify the image root.")
    scan: DatasetScan | None = Field(
        default=None, description="What a scan of the dataset finds; null: the trainer scans it."
    )
    without_arrays: str | None = Field(
        default=None,
        description='With train.cache "disk": why no arrays are beside the images, as a sentence; '
        "null: they are.",
    )
    model: ModelSource
    run_directory: Path
    device: str = Field(description='"cpu", or the index of a visible GPU: "0".')
    threads: int = Field(ge=1)
    resume_from: Path | None = None
    state_from: Path | None = None
    state_every: int | None = Field(
        default=None,
        ge=1,
        description="Epochs from one training state to the next; null: as often as is cheap.",
    )
    joint: int | None = Field(
        default=None,
        ge=1,
        description="The epoch of another job that this job continues from; null if it continues "
        "no job. If the resume is from exactly this epoch, the schedule of the new total starts "
        "there, mosaic is enabled again and patience is reset.",
    )
    only_finalize: bool = Field(
        default=False, description="The job was stopped: finalize `resume_from` without training."
    )
    memory_limit_bytes: int | None = Field(
        default=None, gt=0, description="Address space (RLIMIT_AS); for CPU slots only."
    )


class Event(ProtocolModel):
    """One line of the pipe. The emitter numbers it (`seq`, from 1) and stamps it (`at`, unix s)."""

    seq: int = 0
    at: float = 0.0


class PhaseEvent(Event):
    """The trainer has entered a phase."""

    type: Literal["phase"] = "phase"
    phase: Phase
    epochs_done: Count | None = Field(
        default=None, ge=1, description="With `finalizing`: the epochs of the whole training."
    )


class ResumedEvent(Event):
    """A resume is exact or plain. Sent once per resume, before the first batch or finalizing."""

    type: Literal["resumed"] = "resumed"
    mode: ResumeMode
    epoch: Count = Field(description="The last completed epoch, from 1.")
    reason: Name | None = Field(description="Code of the reason for a plain resume; null if exact.")
    message: Message | None = Field(description="The reason as a sentence; null if exact.")


class StartedEvent(Event):
    """The trainer is built; the first batch is next."""

    type: Literal["started"] = "started"
    batches_per_epoch: Count
    epochs: Count
    first_epoch: Count = Field(description="From 1; higher after a resume.")
    batch_size: Count
    threads: Count = Field(description="As torch reports them.")
    device_name: Message
    optimizer: Message
    lr0: float | None
    train_images: Count
    val_images: Count
    environment: Data = Field(
        description="What the numbers depend on, by name: versions of Python and of libraries, "
        "threads, CPU and device."
    )


class BatchEvent(Event):
    """Progress within an epoch, at most one a second. Epochs and batches count from 1."""

    type: Literal["batch"] = "batch"
    epoch: Count
    epochs: Count = Field(
        description="The last epoch as far as is known: the current one after a stop request, and "
        "Ultralytics' estimate with a time budget."
    )
    batch: Count
    batches: Count
    losses: Metrics = Field(description="Running means over the epoch, by name.")
    epoch_seconds: float
    eta_seconds: float | None = Field(
        description="To the end of the last epoch, and at most what is left of the time budget; "
        "null in the first epoch of an attempt."
    )


class EpochEvent(Event):
    """An epoch is in results.csv and last.pt. Sent exactly once for each epoch of a run."""

    type: Literal["epoch"] = "epoch"
    epoch: Count
    epochs: Count = Field(
        description="As in `BatchEvent`: equal to `epoch` if this is the last one."
    )
    metrics: Metrics = Field(description="Columns of results.csv except epoch and time.")
    lr: Metrics = Field(default={}, description="Named rates: lr/<part>/<group>.")
    classes: dict[Name, list[float | None]] | None = Field(
        default=None,
        max_length=MOST_METRICS,
        description="Per column one value for each class, in the dataset's order; "
        "null: the class has no ground truth.",
    )
    fitness: float | None
    best_fitness: float | None
    seconds: float
    loader_wait_seconds: float | None = Field(
        default=None, description="How long the loop waited for batches; null: not measured."
    )
    optimizer_steps: Count
    eta_seconds: float | None = Field(description="As in `BatchEvent`; null after the last epoch.")


class CheckpointEvent(Event):
    """Files for the supervisor to upload and unlink, relative to run_directory.

    `best.pt` and each best_<name>.pt of `keep_best` are null when they have not changed in this
    epoch. `results.csv` is a copy that ends with this epoch. `train_batch<N>.jpg` are plots of
    batches of this epoch. `state.pt` is present if the training state was written at the end of
    this epoch; usually it is written later, and a `state` event follows.
    """

    type: Literal["checkpoint"] = "checkpoint"
    epoch: Count
    files: dict[CheckpointFile, RunPath | None] = Field(max_length=MOST_CHECKPOINT_FILES)
    state_follows: bool = Field(
        default=False,
        description="The training state of this epoch is being written: keep the epoch's files.",
    )


class StateEvent(Event):
    """The training state of an epoch, written after its checkpoint; upload and unlink it as well.

    Checkpoints of later epochs may come before it.
    """

    type: Literal["state"] = "state"
    epoch: Count
    file: RunPath = Field(description="Relative to run_directory.")


class NoticeEvent(Event):
    """Something that the job requested has happened, or could not happen."""

    type: Literal["notice"] = "notice"
    code: Name
    message: Message
    data: Data = Field(default={})


class WarningEvent(Event):
    """A problem that the user may want to know about and that does not stop the job."""

    type: Literal["warning"] = "warning"
    code: Name
    message: Message


class ErrorEvent(Event):
    """The reason for an exit code other than 0; the last event."""

    type: Literal["error"] = "error"
    code: Annotated[EndReason, AfterValidator(_has_exit_code)]
    message: Message
    hint: Message
    amended: Data | None = Field(
        default=None, description="A merge patch of the job's spec that avoids the failure."
    )


class Artifact(ProtocolModel):
    """A file to keep, its path relative to run_directory."""

    name: FileName
    path: RunPath
    kind: TrainedKind
    epoch: Count | None = Field(default=None, description="The epoch that the weights are from.")


class FinalEvent(Event):
    """All artifacts are written, stripped and ready to store; the process exits with 0."""

    type: Literal["final"] = "final"
    epochs_done: Count
    best_epoch: Count | None
    best_fitness: float | None
    metrics: Metrics = Field(description="The final evaluation of best.pt.")
    artifacts: list[Artifact] = Field(max_length=MOST_ARTIFACTS)
    curves: RunPath | None = Field(
        default=None, description="A JSON file of `app.artifacts.validation.Curves`; null: none."
    )
    worst_images: RunPath | None = Field(
        default=None, description="A JSON file of `app.artifacts.validation.WorstImages`."
    )


TrainerEvent = Annotated[
    PhaseEvent
    | ResumedEvent
    | StartedEvent
    | BatchEvent
    | EpochEvent
    | CheckpointEvent
    | StateEvent
    | NoticeEvent
    | WarningEvent
    | ErrorEvent
    | FinalEvent,
    Field(discriminator="type"),
]

_EVENTS: Final[TypeAdapter[TrainerEvent]] = TypeAdapter(TrainerEvent)


def parse_event(line: str | bytes) -> TrainerEvent:
    """Parse one line of the pipe.

    Raises:
        pydantic.ValidationError: The line is not an event of this protocol.
    """
    return _EVENTS.validate_json(line)


def event_line(event: Event) -> bytes:
    """Return an event as one line of ASCII JSON, including the newline."""
    return json.dumps(event.model_dump(mode="json"), allow_nan=False).encode() + b"\n"
