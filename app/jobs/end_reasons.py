"""Why attempts end: one row per reason.

Derived from these rows: the outcome of an attempt, the exit codes and hints of trainers, and a
table of `docs/job-states.md`. A new reason needs a row here and a migration, because the database
checks the values. Imports the standard library only, because the trainer imports it.
"""

from enum import StrEnum
from typing import NamedTuple, Self

from app.jobs.states import JobState


class ErrorKind(StrEnum):
    """Who can act on an end reason."""

    NONE = "none"
    USER = "user"
    OPERATOR = "operator"


class _Row(NamedTuple):
    value: str
    state: JobState
    kind: ErrorKind = ErrorKind.NONE
    hint: str = ""
    counted: bool = False
    exit_code: int | None = None


def _final(value: str, kind: ErrorKind, hint: str, *, exit_code: int | None = None) -> _Row:
    return _Row(value, JobState.FAILED, kind, hint, exit_code=exit_code)


def _retried(value: str, hint: str, *, counted: bool, exit_code: int | None = None) -> _Row:
    return _Row(value, JobState.QUEUED, ErrorKind.OPERATOR, hint, counted, exit_code)


class EndReason(StrEnum):
    """Why an attempt ended, with the state, retry, count and hint that follow from it."""

    state: JobState
    kind: ErrorKind
    hint: str
    counted: bool
    exit_code: int | None

    def __new__(
        cls,
        value: str,
        state: JobState,
        kind: ErrorKind,
        hint: str,
        counted: bool,  # noqa: FBT001 -- a column, passed by enum itself
        exit_code: int | None,
    ) -> Self:
        """Make the member `value` that carries its row.

        A trainer process leaves with `exit_code` for this reason; None where no exit code means it.
        """
        reason = str.__new__(cls, value)
        reason._value_ = value
        reason.state, reason.kind, reason.hint = state, kind, hint
        reason.counted, reason.exit_code = counted, exit_code
        return reason

    SUCCEEDED = _Row("succeeded", JobState.SUCCEEDED, exit_code=0)
    CANCELLED = _Row("cancelled", JobState.CANCELLED)
    PAUSED = _Row("paused", JobState.PAUSED)
    BAD_DATA = _final(
        "bad_data",
        ErrorKind.USER,
        "Read the dataset's report and the job's log, upload a corrected dataset and submit a new "
        "job.",
        exit_code=11,
    )
    BAD_SPEC = _final(
        "bad_spec",
        ErrorKind.USER,
        "Change the field that the message names and submit a new job.",
        exit_code=12,
    )
    BAD_WEIGHTS = _final(
        "bad_weights",
        ErrorKind.USER,
        "Choose another model: an Ultralytics checkpoint of the job's task that loads under the "
        "safe loader.",
        exit_code=15,
    )
    OUT_OF_MEMORY = _final(
        "out_of_memory",
        ErrorKind.USER,
        "Lower train.batch or train.imgsz, choose a smaller model, or set train.cache to false.",
        exit_code=13,
    )
    DIVERGED = _final(
        "diverged",
        ErrorKind.USER,
        "Lower train.lr0, lengthen train.warmup_epochs, set train.optimizer to AdamW, or check "
        "the labels.",
        exit_code=14,
    )
    TRAINER_CRASHED = _final(
        "trainer_crashed",
        ErrorKind.OPERATOR,
        "The training process crashed with a signal; see the last lines of its log.",
    )
    TRAINER_BUG = _final(
        "trainer_bug",
        ErrorKind.OPERATOR,
        "The training process raised an exception. Please report it with the job's log, which has "
        "the traceback.",
        exit_code=1,
    )
    TRAINER_KILLED = _retried(
        "trainer_killed",
        "The training process was killed from outside, most often because the machine ran out of "
        "memory.",
        counted=True,
        exit_code=10,  # it left on a SIGTERM that the supervisor did not send
    )
    WORKER_LOST = _retried(
        "worker_lost",
        "The worker stopped answering.",
        counted=True,
        exit_code=16,  # the trainer found its supervisor dead
    )
    WORKER_DRAINED = _retried("worker_drained", "The worker was shutting down.", counted=False)
    LEASE_LOST = _retried(
        "lease_lost",
        "The worker could not reach the database for longer than its lease.",
        counted=False,
    )
    RESTARTS_EXHAUSTED = _final(
        "restarts_exhausted",
        ErrorKind.OPERATOR,
        "The job's attempts show why each of them ended. Fix the cause, then retry the job.",
    )
    TIMEOUT = _final(
        "timeout",
        ErrorKind.USER,
        "Raise timeout_hours or make epochs shorter, and submit the job again.",
    )
    NOTHING_TO_KEEP = _final(
        "nothing_to_keep",
        ErrorKind.USER,
        "The job was stopped without a usable checkpoint; submit it again.",
    )
    DISK_FULL = _final(
        "disk_full",
        ErrorKind.OPERATOR,
        "Free space on the worker or in the artifact store, then retry the job.",
        exit_code=20,
    )
    NOT_PORTABLE = _final(
        "not_portable",
        ErrorKind.USER,
        "The weights need more than stock Ultralytics or contain numbers that are not finite; see "
        "the log. Change the trainer plugin or the training, and submit a new job.",
        exit_code=17,  # of the process that proves the weights
    )
    GPU_LOST = _retried(
        "gpu_lost",
        "The GPU failed or disappeared. Look for Xid messages of its driver on the worker; the GPU "
        "may need a reset.",
        counted=True,
        exit_code=18,
    )
    BAD_CHECKPOINT = _retried(
        "bad_checkpoint",
        "A checkpoint could not be read; the job continues from the one before it.",
        counted=False,
        exit_code=19,
    )
    STATE_LOST = _final(
        "state_lost",
        ErrorKind.OPERATOR,
        "No usable training state is left to continue from. Extend the parent job again while its "
        "state is kept, or submit a job with a best.pt as its model.",
    )

    @property
    def retryable(self) -> bool:
        """Whether another attempt of the job follows."""
        return self.state is JobState.QUEUED
