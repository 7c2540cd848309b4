"""What a job can be and what can happen to it: states, phases, requests and events, as data."""

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
