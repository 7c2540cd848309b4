"""The life of a job as data: states, requests, events, and one frozen row per transition.

Guarded updates, the 409 answers and the documentation are all derived from `TRANSITIONS`; what is
not in it is refused. `guards.py` finds the row that applies. Nothing here touches a database.
"""

from dataclasses import dataclass
from enum import StrEnum


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_ended(self) -> bool:
        """Whether only `retry` leaves this state."""
        return self in ENDED


ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


class Phase(StrEnum):
    """What a running job is doing."""

    PREPARING = "preparing"
    TRAINING = "training"
    VALIDATING = "validating"
    FINALIZING = "finalizing"


class Request(StrEnum):
    """What was asked of a running job; a stronger one replaces a weaker."""

    PAUSE = "pause"
    STOP = "stop"
    CANCEL = "cancel"


REQUEST_STRENGTH = {None: 0, Request.PAUSE: 1, Request.STOP: 2, Request.CANCEL: 3}


class JobEvent(StrEnum):
    """Everything that can happen to a job."""

    CLAIM = "claim"
    LEAVE = "leave"
    FINISH = "finish"
    FAIL = "fail"
    INTERRUPT = "interrupt"
    DRAIN = "drain"
    HALVE_BATCH = "halve_batch"
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    RETRY = "retry"
    TIMEOUT = "timeout"
    DELETE = "delete"
    RESTORE = "restore"


USER_EVENTS = (
    JobEvent.CANCEL,
    JobEvent.PAUSE,
    JobEvent.RESUME,
    JobEvent.STOP,
    JobEvent.RETRY,
    JobEvent.DELETE,
    JobEvent.RESTORE,
)


class Guard(StrEnum):
    """The condition, beside the state, under which a row applies. Rows are tried in order."""

    ALWAYS = "always"
    CANCEL_REQUESTED = "cancel is requested"
    PAUSE_REQUESTED = "pause is requested"
    STOP_REQUESTED = "stop is requested"
    STOP_REQUESTED_WITH_CHECKPOINT = "stop is requested and a checkpoint exists"
    NOTHING_STRONGER_THAN_PAUSE = "nothing stronger than pause is requested"
    NOTHING_STRONGER_THAN_STOP = "nothing stronger than stop is requested"
    NO_STOP_REQUESTED = "no stop is requested"
    HAS_CHECKPOINT = "a checkpoint exists"
    NO_EPOCH = "no epoch has ended"
    RESTARTS_LEFT = "restarts are left"
    IN_TRASH = "it is in the trash"
    NOT_IN_TRASH = "it is not in the trash"


class RequestEffect(StrEnum):
    """What a transition does to the request."""

    KEEP = "keep"
    CLEAR = "clear"
    PAUSE = "pause"
    STOP = "stop"
    CANCEL = "cancel"


@dataclass(frozen=True)
class Transition:
    """One arrow: `event` in `source` under `guard` leads to `target` and is logged as `logged_as`.

    `logged_as` is None where nothing changes. `forced_reason` names the end reason where the
    transition itself decides it.
    """

    event: JobEvent
    source: JobState
    guard: Guard
    target: JobState
    request: RequestEffect
    logged_as: str | None
    forced_reason: "EndReason | None" = None

    @property
    def changes_nothing(self) -> bool:
        """Whether the event is answered without any change."""
        return self.logged_as is None


class ErrorKind(StrEnum):
    """Who can do something about an end reason."""

    NONE = "none"
    USER = "user"
    OPERATOR = "operator"


@dataclass(frozen=True)
class Consequence:
    """What follows from an end reason of an attempt."""

    state: JobState
    retryable: bool
    counted: bool
    kind: ErrorKind
    hint: str


class EndReason(StrEnum):
    """Why an attempt ended; owns the state, the retry, the count and the hint that follow."""

    SUCCEEDED = "succeeded"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    BAD_DATA = "bad_data"
    BAD_SPEC = "bad_spec"
    BAD_WEIGHTS = "bad_weights"
    OUT_OF_MEMORY = "out_of_memory"
    DIVERGED = "diverged"
    TRAINER_CRASHED = "trainer_crashed"
    TRAINER_BUG = "trainer_bug"
    TRAINER_KILLED = "trainer_killed"
    WORKER_LOST = "worker_lost"
    WORKER_DRAINED = "worker_drained"
    LEASE_LOST = "lease_lost"
    RESTARTS_EXHAUSTED = "restarts_exhausted"
    TIMEOUT = "timeout"
    NOTHING_TO_KEEP = "nothing_to_keep"
    DISK_FULL = "disk_full"
    NOT_PORTABLE = "not_portable"
    GPU_LOST = "gpu_lost"
    BAD_CHECKPOINT = "bad_checkpoint"
    STATE_LOST = "state_lost"

    @property
    def consequence(self) -> Consequence:
        """State, retry, count and hint that follow from this reason."""
        return CONSEQUENCES[self]


def _final(kind: ErrorKind, hint: str) -> Consequence:
    return Consequence(JobState.FAILED, retryable=False, counted=False, kind=kind, hint=hint)


def _retried(hint: str, *, counted: bool) -> Consequence:
    return Consequence(
        JobState.QUEUED, retryable=True, counted=counted, kind=ErrorKind.OPERATOR, hint=hint
    )


CONSEQUENCES: dict[EndReason, Consequence] = {
    EndReason.SUCCEEDED: Consequence(
        JobState.SUCCEEDED, retryable=False, counted=False, kind=ErrorKind.NONE, hint=""
    ),
    EndReason.CANCELLED: Consequence(
        JobState.CANCELLED, retryable=False, counted=False, kind=ErrorKind.NONE, hint=""
    ),
    EndReason.PAUSED: Consequence(
        JobState.PAUSED, retryable=False, counted=False, kind=ErrorKind.NONE, hint=""
    ),
    EndReason.BAD_DATA: _final(
        ErrorKind.USER, "Mend the data set, upload it again and submit a new job."
    ),
    EndReason.BAD_SPEC: _final(ErrorKind.USER, "Change the named field and submit a new job."),
    EndReason.BAD_WEIGHTS: _final(
        ErrorKind.USER, "Choose a model of the job's task that loads under the safe loader."
    ),
    EndReason.OUT_OF_MEMORY: _final(
        ErrorKind.USER, "Lower train.batch or train.imgsz, or take a smaller model."
    ),
    EndReason.DIVERGED: _final(
        ErrorKind.USER, "Lower train.lr0, lengthen train.warmup_epochs, or check the labels."
    ),
    EndReason.TRAINER_CRASHED: _final(
        ErrorKind.OPERATOR, "The training process died of a signal; its log has the last lines."
    ),
    EndReason.TRAINER_BUG: _final(
        ErrorKind.OPERATOR, "The training process raised an exception; its log has the traceback."
    ),
    EndReason.TRAINER_KILLED: _retried(
        "The training process was killed from outside, most often for memory of the machine.",
        counted=True,
    ),
    EndReason.WORKER_LOST: _retried("The worker stopped answering.", counted=True),
    EndReason.WORKER_DRAINED: _retried("The worker was asked to leave.", counted=False),
    EndReason.LEASE_LOST: _retried(
        "The worker could not reach the database for longer than its lease.", counted=False
    ),
    EndReason.RESTARTS_EXHAUSTED: _final(
        ErrorKind.OPERATOR, "See the attempts for what ended each; mend that, then retry the job."
    ),
    EndReason.TIMEOUT: _final(
        ErrorKind.USER, "Raise timeout_hours, or make an epoch shorter, and submit again."
    ),
    EndReason.NOTHING_TO_KEEP: _final(
        ErrorKind.USER, "No checkpoint existed when the job was stopped; submit it again."
    ),
    EndReason.DISK_FULL: _final(
        ErrorKind.OPERATOR, "Free space on the worker or the artifact store, then retry the job."
    ),
    EndReason.NOT_PORTABLE: _final(
        ErrorKind.USER,
        "The weights need more than stock Ultralytics, or hold numbers that are not finite: see "
        "the log; change the trainer plugin or the training, and submit a new job.",
    ),
    EndReason.GPU_LOST: _retried(
        "The GPU failed or went away: see the driver's messages (Xid) on the worker.", counted=True
    ),
    EndReason.BAD_CHECKPOINT: _retried(
        "A checkpoint could not be read; the one before it is taken.", counted=False
    ),
    EndReason.STATE_LOST: _final(
        ErrorKind.OPERATOR,
        "No training state that the job could go on from is whole. Extend its parent again while "
        "the parent's state is kept, or submit a job with a best.pt as its model.",
    ),
}


def _row(  # noqa: PLR0913, PLR0917 -- the columns of the table
    event: JobEvent,
    source: JobState,
    guard: Guard,
    target: JobState,
    request: RequestEffect,
    logged_as: str | None,
    forced_reason: EndReason | None = None,
) -> Transition:
    return Transition(event, source, guard, target, request, logged_as, forced_reason)


_E, _S, _G, _R = JobEvent, JobState, Guard, RequestEffect


def _requeue_by_request(event: JobEvent) -> tuple[Transition, ...]:
    """A retryable end obeys what was requested before anything else."""
    return (
        _row(event, _S.RUNNING, _G.CANCEL_REQUESTED, _S.CANCELLED, _R.CLEAR, "job.cancelled",
             EndReason.CANCELLED),
        _row(event, _S.RUNNING, _G.PAUSE_REQUESTED, _S.PAUSED, _R.CLEAR, "job.paused"),
        _row(event, _S.RUNNING, _G.STOP_REQUESTED_WITH_CHECKPOINT, _S.QUEUED, _R.KEEP,
             "job.requeued"),
        _row(event, _S.RUNNING, _G.STOP_REQUESTED, _S.FAILED, _R.CLEAR, "job.failed",
             EndReason.NOTHING_TO_KEEP),
    )  # fmt: skip


def _into_the_trash_and_back(ended: JobState) -> tuple[Transition, ...]:
    """A job in the trash keeps its state, and knows no event but these two."""
    return (
        _row(_E.DELETE, ended, _G.NOT_IN_TRASH, ended, _R.KEEP, "job.trashed"),
        _row(_E.DELETE, ended, _G.IN_TRASH, ended, _R.KEEP, None),
        _row(_E.RESTORE, ended, _G.IN_TRASH, ended, _R.KEEP, "job.restored"),
    )


# fmt: off
TRANSITIONS: tuple[Transition, ...] = (
    _row(_E.CLAIM, _S.QUEUED, _G.ALWAYS, _S.RUNNING, _R.KEEP, "job.started"),
    _row(_E.LEAVE, _S.RUNNING, _G.CANCEL_REQUESTED, _S.CANCELLED, _R.CLEAR, "job.cancelled",
         EndReason.CANCELLED),
    _row(_E.LEAVE, _S.RUNNING, _G.PAUSE_REQUESTED, _S.PAUSED, _R.CLEAR, "job.paused"),
    _row(_E.LEAVE, _S.RUNNING, _G.STOP_REQUESTED, _S.SUCCEEDED, _R.CLEAR, "job.succeeded"),
    _row(_E.FINISH, _S.RUNNING, _G.ALWAYS, _S.SUCCEEDED, _R.CLEAR, "job.succeeded"),
    _row(_E.FAIL, _S.RUNNING, _G.CANCEL_REQUESTED, _S.CANCELLED, _R.CLEAR, "job.cancelled",
         EndReason.CANCELLED),
    _row(_E.FAIL, _S.RUNNING, _G.ALWAYS, _S.FAILED, _R.CLEAR, "job.failed"),
    *_requeue_by_request(_E.INTERRUPT),
    _row(_E.INTERRUPT, _S.RUNNING, _G.RESTARTS_LEFT, _S.QUEUED, _R.CLEAR, "job.requeued"),
    _row(_E.INTERRUPT, _S.RUNNING, _G.ALWAYS, _S.FAILED, _R.CLEAR, "job.failed",
         EndReason.RESTARTS_EXHAUSTED),
    *_requeue_by_request(_E.DRAIN),
    _row(_E.DRAIN, _S.RUNNING, _G.ALWAYS, _S.QUEUED, _R.CLEAR, "job.requeued"),
    *_requeue_by_request(_E.HALVE_BATCH),
    _row(_E.HALVE_BATCH, _S.RUNNING, _G.ALWAYS, _S.QUEUED, _R.CLEAR, "job.batch_halved"),
    _row(_E.CANCEL, _S.QUEUED, _G.ALWAYS, _S.CANCELLED, _R.CLEAR, "job.cancelled",
         EndReason.CANCELLED),
    _row(_E.CANCEL, _S.RUNNING, _G.CANCEL_REQUESTED, _S.RUNNING, _R.KEEP, None),
    _row(_E.CANCEL, _S.RUNNING, _G.ALWAYS, _S.RUNNING, _R.CANCEL, "job.cancel_requested"),
    _row(_E.CANCEL, _S.PAUSED, _G.ALWAYS, _S.CANCELLED, _R.CLEAR, "job.cancelled",
         EndReason.CANCELLED),
    _row(_E.CANCEL, _S.CANCELLED, _G.NOT_IN_TRASH, _S.CANCELLED, _R.KEEP, None),
    _row(_E.PAUSE, _S.QUEUED, _G.NO_STOP_REQUESTED, _S.PAUSED, _R.CLEAR, "job.paused"),
    _row(_E.PAUSE, _S.RUNNING, _G.PAUSE_REQUESTED, _S.RUNNING, _R.KEEP, None),
    _row(_E.PAUSE, _S.RUNNING, _G.NOTHING_STRONGER_THAN_PAUSE, _S.RUNNING, _R.PAUSE,
         "job.pause_requested"),
    _row(_E.PAUSE, _S.PAUSED, _G.ALWAYS, _S.PAUSED, _R.KEEP, None),
    _row(_E.RESUME, _S.QUEUED, _G.ALWAYS, _S.QUEUED, _R.KEEP, None),
    _row(_E.RESUME, _S.RUNNING, _G.PAUSE_REQUESTED, _S.RUNNING, _R.CLEAR, "job.pause_withdrawn"),
    _row(_E.RESUME, _S.RUNNING, _G.ALWAYS, _S.RUNNING, _R.KEEP, None),
    _row(_E.RESUME, _S.PAUSED, _G.ALWAYS, _S.QUEUED, _R.CLEAR, "job.resumed"),
    _row(_E.STOP, _S.QUEUED, _G.STOP_REQUESTED, _S.QUEUED, _R.KEEP, None),
    _row(_E.STOP, _S.QUEUED, _G.HAS_CHECKPOINT, _S.QUEUED, _R.STOP, "job.stop_requested"),
    _row(_E.STOP, _S.RUNNING, _G.STOP_REQUESTED, _S.RUNNING, _R.KEEP, None),
    _row(_E.STOP, _S.RUNNING, _G.NOTHING_STRONGER_THAN_STOP, _S.RUNNING, _R.STOP,
         "job.stop_requested"),
    _row(_E.STOP, _S.PAUSED, _G.HAS_CHECKPOINT, _S.QUEUED, _R.STOP, "job.stop_requested"),
    _row(_E.RETRY, _S.FAILED, _G.NOT_IN_TRASH, _S.QUEUED, _R.CLEAR, "job.retried"),
    _row(_E.RETRY, _S.CANCELLED, _G.NOT_IN_TRASH, _S.QUEUED, _R.CLEAR, "job.retried"),
    _row(_E.TIMEOUT, _S.RUNNING, _G.CANCEL_REQUESTED, _S.RUNNING, _R.KEEP, None),
    _row(_E.TIMEOUT, _S.RUNNING, _G.NO_EPOCH, _S.FAILED, _R.CLEAR, "job.failed",
         EndReason.TIMEOUT),
    _row(_E.TIMEOUT, _S.RUNNING, _G.STOP_REQUESTED, _S.RUNNING, _R.KEEP, None),
    _row(_E.TIMEOUT, _S.RUNNING, _G.NOTHING_STRONGER_THAN_STOP, _S.RUNNING, _R.STOP,
         "job.stop_requested"),
    *_into_the_trash_and_back(_S.SUCCEEDED),
    *_into_the_trash_and_back(_S.FAILED),
    *_into_the_trash_and_back(_S.CANCELLED),
)
# fmt: on
