"""What supervisor and trainer process say to each other: job.json in, JSON lines out, exit codes.

Imports neither torch nor Ultralytics: both sides of the pipe read it.
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
    JsonValue,
    StringConstraints,
    TypeAdapter,
)

from app.artifacts.names import BEST, LAST, RESULTS, STATE, ArtifactKind
from app.core.tasks import Task
from app.jobs.end_reasons import EndReason
from app.jobs.spec.job_spec import ResolvedSpec
from app.jobs.states import Phase

PROTOCOL: Final = 1
EVENTS_FD_VARIABLE: Final = "TRAINYARD_EVENTS_FD"

STORING_SECONDS_FILE: Final = "storing_seconds"
"""In the run directory: how many seconds the supervisor took to store the newest training state.
It appears once that is done, and the trainer removes it as it reads it."""

TrainedKind = Literal[
    ArtifactKind.WEIGHTS, ArtifactKind.TABLE, ArtifactKind.CONFIG, ArtifactKind.PLOT
]
"""What a trainer reports at its end; the supervisor stores checkpoints and logs by itself."""
ResumeMode = Literal["exact", "plain"]
Metrics = dict[str, float | None]
_FILES_OF_A_RESUME: Final = "|".join(map(re.escape, (LAST, BEST, STATE, RESULTS)))
CheckpointFile = Annotated[
    str,
    StringConstraints(pattern=rf"^({_FILES_OF_A_RESUME}|best_[a-z0-9_]{{1,40}}\.pt)$"),
]
"""The name of a file in a checkpoint, not its path; results of a training are `Artifact`s."""


def exit_code_of(reason: EndReason) -> int:
    """Return the exit code with which a process of the trainer reports an end reason.

    A death by signal shows as a negative code instead.

    Raises:
        ValueError: no exit code means this reason.
    """
    if reason.exit_code is None:
        raise ValueError(f"no process leaves because of {reason}")
    return reason.exit_code


def _has_exit_code(reason: EndReason) -> EndReason:
    exit_code_of(reason)
    return reason


class ProtocolModel(BaseModel):
    """Base of all that crosses the pipe: frozen, closed, and without NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ArchitectureSource(ProtocolModel):
    """Start from random weights; `name` is a model file that Ultralytics ships: yolo26n.yaml."""

    kind: Literal["architecture"] = "architecture"
    name: str
    path: None = None


class WeightsSource(ProtocolModel):
    """Start from weights; `name` is what people call them, `path` the local .pt file."""

    kind: Literal["weights"] = "weights"
    name: str
    path: Path


ModelSource = Annotated[ArchitectureSource | WeightsSource, Field(discriminator="kind")]


class JobFile(ProtocolModel):
    """The one input of a trainer process. All paths are absolute.

    `run_directory` holds nothing but what training writes. On a resume (`resume_from`, a last.pt
    outside of it) it already holds results.csv, weights/best.pt and each weights/best_<name>.pt of
    that time. `state_from` is the training state (state.pt, outside of it too) of the same epoch:
    the resume is exact where it fits, and plain where it does not or is missing.
    """

    protocol: Literal[1] = PROTOCOL
    job_id: str
    attempt: int = Field(ge=1)
    spec: ResolvedSpec
    task: Task
    dataset_path: Path = Field(description="Folder with data.yaml; for classify the images' root.")
    model: ModelSource
    run_directory: Path
    device: str = Field(description='"cpu", or the index of a visible GPU: "0".')
    threads: int = Field(ge=1)
    resume_from: Path | None = None
    state_from: Path | None = None
    state_every: int | None = Field(
        default=None,
        ge=1,
        description="Epochs from one training state to the next; null: as often as costs little.",
    )
    joint: int | None = Field(
        default=None,
        ge=1,
        description="The last epoch of another job, which this one goes on from; null: none. "
        "Where the resume is from this very epoch, the schedule of the new total begins there, "
        "mosaic is open again and patience counts anew.",
    )
    only_finalize: bool = Field(
        default=False, description="The job was stopped: keep what `resume_from` came to."
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


class ResumedEvent(Event):
    """How a resume went on. Sent once in a resume, before the first batch and before finalizing."""

    type: Literal["resumed"] = "resumed"
    mode: ResumeMode
    epoch: int = Field(description="The last one that was done before, from 1.")
    reason: str | None = Field(description="A code of why it is not exact; null where it is.")
    message: str | None = Field(description="The same, for a person.")


class StartedEvent(Event):
    """The trainer is built; the first batch comes next."""

    type: Literal["started"] = "started"
    batches_per_epoch: int
    epochs: int
    first_epoch: int = Field(description="From 1; higher after a resume.")
    batch_size: int
    threads: int = Field(description="As torch reports them.")
    device_name: str
    optimizer: str
    lr0: float | None
    train_images: int
    val_images: int


class BatchEvent(Event):
    """Progress within an epoch, at most one a second. Epochs and batches count from 1."""

    type: Literal["batch"] = "batch"
    epoch: int
    batch: int
    batches: int
    losses: Metrics = Field(description="Running means over the epoch, by name.")
    epoch_seconds: float
    eta_seconds: float | None = Field(description="To the end of the last epoch.")


class EpochEvent(Event):
    """An epoch stands in results.csv and last.pt. Sent exactly once for each epoch of a run."""

    type: Literal["epoch"] = "epoch"
    epoch: int
    metrics: Metrics = Field(description="Columns of results.csv but epoch and time.")
    lr: Metrics = Field(default={}, description="Named rates: lr/<part>/<group>.")
    classes: dict[str, list[float | None]] | None = Field(
        default=None,
        description="Column to one value for each class of the dataset, in its order; "
        "null: the class has no ground truth.",
    )
    fitness: float | None
    best_fitness: float | None
    seconds: float
    optimizer_steps: int


class CheckpointEvent(Event):
    """Files for the supervisor to upload and unlink, relative to run_directory.

    `best.pt` and each best_<name>.pt of `keep_best` are null when they have not changed in this
    epoch. `results.csv` is a copy that ends with this epoch. `state.pt` is there in epochs at whose
    end the training state was written.
    """

    type: Literal["checkpoint"] = "checkpoint"
    epoch: int
    files: dict[CheckpointFile, str | None]


class NoticeEvent(Event):
    """Something that the job asked for has happened, or could not."""

    type: Literal["notice"] = "notice"
    code: str
    message: str
    data: dict[str, JsonValue] = Field(default={})


class WarningEvent(Event):
    """Something that a person may want to know and that stops nothing."""

    type: Literal["warning"] = "warning"
    code: str
    message: str


class ErrorEvent(Event):
    """Why the process leaves with an exit code other than 0; the last event."""

    type: Literal["error"] = "error"
    code: Annotated[EndReason, AfterValidator(_has_exit_code)]
    message: str
    hint: str


class Artifact(ProtocolModel):
    """A file to keep, its path relative to run_directory."""

    name: str
    path: str
    kind: TrainedKind
    epoch: int | None = Field(default=None, description="At whose end weights were written.")


class FinalEvent(Event):
    """Everything is written, scrubbed and ready to be kept; the process leaves with 0."""

    type: Literal["final"] = "final"
    epochs_done: int
    best_epoch: int | None
    best_fitness: float | None
    metrics: Metrics = Field(description="The final evaluation of best.pt.")
    artifacts: list[Artifact]


TrainerEvent = Annotated[
    PhaseEvent
    | ResumedEvent
    | StartedEvent
    | BatchEvent
    | EpochEvent
    | CheckpointEvent
    | NoticeEvent
    | WarningEvent
    | ErrorEvent
    | FinalEvent,
    Field(discriminator="type"),
]

_EVENTS: Final[TypeAdapter[TrainerEvent]] = TypeAdapter(TrainerEvent)


def parse_event(line: str | bytes) -> TrainerEvent:
    """Read one line of the pipe.

    Raises:
        pydantic.ValidationError: it is not an event of this protocol.
    """
    return _EVENTS.validate_json(line)


def event_line(event: Event) -> bytes:
    """Write an event as one line of ASCII JSON, its newline included."""
    return json.dumps(event.model_dump(mode="json"), allow_nan=False).encode() + b"\n"
