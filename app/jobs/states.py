"""The states, phases, requests and events of a job."""

from enum import StrEnum


class JobState(StrEnum):
    """The state of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_ended(self) -> bool:
        """Whether the job has ended; only `retry` leaves such a state."""
        return self in ENDED


ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


class Phase(StrEnum):
    """The phase of a running job."""

    PREPARING = "preparing"
    TRAINING = "training"
    VALIDATING = "validating"
    FINALIZING = "finalizing"


class Request(StrEnum):
    """A pending request to a running job. A stronger request replaces a weaker one."""

    PAUSE = "pause"
    STOP = "stop"
    CANCEL = "cancel"


REQUEST_STRENGTH = {None: 0, Request.PAUSE: 1, Request.STOP: 2, Request.CANCEL: 3}


class JobEvent(StrEnum):
    """An event in the life of a job."""

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
