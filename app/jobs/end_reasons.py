"""Why attempts end: one row per reason.

Derived from these rows: the outcome of an attempt, the exit codes and hints of trainers, and a
table of `docs/job-states.md`. A new reason needs a row here and a migration, because the database
checks the values. Imports the standard library only, because the trainer imports it.
"""

from enum import StrEnum
from typing import Any, NamedTuple, Self

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
    headline: str = ""
    hint: str = ""
    counted: bool = False
    spec_can_stay: bool = False
    exit_code: int | None = None


def _final(
    value: str,
    headline: str,
    kind: ErrorKind,
    hint: str,
    *,
    spec_can_stay: bool = False,
    exit_code: int | None = None,
) -> _Row:
    return _Row(
        value,
        JobState.FAILED,
        kind,
        headline,
        hint,
        spec_can_stay=spec_can_stay,
        exit_code=exit_code,
    )


def _retried(
    value: str,
    headline: str,
    hint: str,
    *,
    counted: bool,
    spec_can_stay: bool = False,
    exit_code: int | None = None,
) -> _Row:
    return _Row(
        value,
        JobState.QUEUED,
        ErrorKind.OPERATOR,
        headline,
        hint,
        counted=counted,
        spec_can_stay=spec_can_stay,
        exit_code=exit_code,
    )


class EndReason(StrEnum):
    """Why an attempt ended, with the state, retry, count, headline and hint that follow from it."""

    state: JobState
    kind: ErrorKind
    headline: str
    hint: str
    counted: bool
    spec_can_stay: bool
    exit_code: int | None

    def __new__(
        cls,
        value: str,
        state: JobState,
        kind: ErrorKind,
        *columns: Any,  # noqa: ANN401 -- the other columns of a row, passed by enum itself
    ) -> Self:
        """Make the member `value` that carries its row.

        `headline` is the failure in one line. With `spec_can_stay` the machine failed, and the same
        spec can be trained again. A trainer process leaves with `exit_code` for this reason; None
        where no exit code means it.
        """
        reason = str.__new__(cls, value)
        reason._value_ = value
        row = _Row(value, state, kind, *columns)
        reason.state, reason.kind, reason.headline, reason.hint = (
            state,
            kind,
            row.headline,
            row.hint,
        )
        reason.counted, reason.exit_code = row.counted, row.exit_code
        reason.spec_can_stay = row.spec_can_stay
        return reason

    SUCCEEDED = _Row(
        "succeeded", JobState.SUCCEEDED, headline="The training succeeded", exit_code=0
    )
    CANCELLED = _Row("cancelled", JobState.CANCELLED, headline="The job was cancelled")
    PAUSED = _Row("paused", JobState.PAUSED, headline="The job was paused")
    BAD_DATA = _final(
        "bad_data",
        "The dataset cannot be used",
        ErrorKind.USER,
        "Read the dataset's report and the job's log, upload a corrected dataset and submit a new "
        "job.",
        exit_code=11,
    )
    BAD_SPEC = _final(
        "bad_spec",
        "The spec cannot be trained",
        ErrorKind.USER,
        "Change the field that the message names and submit a new job.",
        exit_code=12,
    )
    BAD_WEIGHTS = _final(
        "bad_weights",
        "The weights to start from cannot be used",
        ErrorKind.USER,
        "Choose another model: an Ultralytics checkpoint of the job's task that loads under the "
        "safe loader.",
        exit_code=15,
    )
    OUT_OF_MEMORY = _final(
        "out_of_memory",
        "Memory ran out",
        ErrorKind.USER,
        "Lower train.batch or train.imgsz, choose a smaller model, or set train.cache to false.",
        exit_code=13,
    )
    DIVERGED = _final(
        "diverged",
        "The training diverged",
        ErrorKind.USER,
        "Lower train.lr0, lengthen train.warmup_epochs, set train.optimizer to AdamW, or check "
        "the labels.",
        exit_code=14,
    )
    TRAINER_CRASHED = _final(
        "trainer_crashed",
        "The training process crashed",
        ErrorKind.OPERATOR,
        "The training process crashed with a signal; see the last lines of its log.",
    )
    TRAINER_BUG = _final(
        "trainer_bug",
        "The training process raised an exception",
        ErrorKind.OPERATOR,
        "The training process raised an exception. Please report it with the job's log, which has "
        "the traceback.",
        exit_code=1,
    )
    TRAINER_KILLED = _retried(
        "trainer_killed",
        "The training process was killed",
        "The training process was killed from outside, most often because the machine ran out of "
        "memory.",
        counted=True,
        exit_code=10,  # it left on a SIGTERM that the supervisor did not send
    )
    WORKER_LOST = _retried(
        "worker_lost",
        "The worker was lost",
        "The worker stopped answering.",
        spec_can_stay=True,
        counted=True,
        exit_code=16,  # the trainer found its supervisor dead
    )
    WORKER_DRAINED = _retried(
        "worker_drained", "The worker was shut down", "The worker was shutting down.", counted=False
    )
    LEASE_LOST = _retried(
        "lease_lost",
        "The worker lost the database",
        "The worker could not reach the database for longer than its lease.",
        spec_can_stay=True,
        counted=False,
    )
    RESTARTS_EXHAUSTED = _final(
        "restarts_exhausted",
        "All restarts are used up",
        ErrorKind.OPERATOR,
        "The job's attempts show why each of them ended. Fix the cause, then retry the job.",
    )
    TIMEOUT = _final(
        "timeout",
        "The time limit was reached",
        ErrorKind.USER,
        "Raise timeout_hours or make epochs shorter, and submit the job again.",
    )
    NOTHING_TO_KEEP = _final(
        "nothing_to_keep",
        "There was no result to keep",
        ErrorKind.USER,
        "The job was stopped without a usable checkpoint; submit it again.",
    )
    DISK_FULL = _final(
        "disk_full",
        "A disk is full",
        ErrorKind.OPERATOR,
        "Free space on the worker or in the artifact store, then retry the job.",
        spec_can_stay=True,
        exit_code=20,
    )
    NOT_PORTABLE = _final(
        "not_portable",
        "The weights do not run with stock Ultralytics",
        ErrorKind.USER,
        "The weights need more than stock Ultralytics or contain numbers that are not finite; see "
        "the log. Change the trainer plugin or the training, and submit a new job.",
        exit_code=17,  # of the process that proves the weights
    )
    GPU_LOST = _retried(
        "gpu_lost",
        "The GPU was lost",
        "The GPU failed or disappeared. Look for Xid messages of its driver on the worker; the GPU "
        "may need a reset.",
        spec_can_stay=True,
        counted=True,
        exit_code=18,
    )
    BAD_CHECKPOINT = _retried(
        "bad_checkpoint",
        "A checkpoint cannot be read",
        "A checkpoint could not be read; the job continues from the one before it.",
        counted=False,
        exit_code=19,
    )
    STATE_LOST = _final(
        "state_lost",
        "The training state is gone",
        ErrorKind.OPERATOR,
        "No usable training state is left to continue from. Extend the parent job again while its "
        "state is kept, or submit a job with a best.pt as its model.",
    )

    @property
    def retryable(self) -> bool:
        """Whether another attempt of the job follows."""
        return self.state is JobState.QUEUED
