"""A phrase for each transition of a job, with the same keys as the rows of `TRANSITIONS`."""

from typing import Final

from app.jobs.guards import Guard
from app.jobs.states import JobEvent, JobState

_E, _S, _G = JobEvent, JobState, Guard

Key = tuple[JobEvent, JobState, Guard]

_INTERRUPTED: Final = {
    _G.CANCEL_REQUESTED: "a cancel was pending",
    _G.PAUSE_REQUESTED: "a pause was pending",
    _G.STOP_REQUESTED_WITH_CHECKPOINT: "the next attempt only finalizes the last checkpoint",
    _G.STOP_REQUESTED: "there is no checkpoint to finalize",
}

_TRASH: Final = {
    (_E.DELETE, _G.NOT_IN_TRASH): "it moves to the trash",
    (_E.DELETE, _G.IN_TRASH): "it is already in the trash",
    (_E.RESTORE, _G.IN_TRASH): "it leaves the trash unchanged",
}

PHRASES: Final[dict[Key, str]] = {
    (_E.CLAIM, _S.QUEUED, _G.ALWAYS): "a slot claims it; the attempt number increases",
    (_E.LEAVE, _S.RUNNING, _G.CANCEL_REQUESTED): "the trainer left because of the cancel",
    (_E.LEAVE, _S.RUNNING, _G.PAUSE_REQUESTED): "the trainer left with a checkpoint to resume from",
    (_E.LEAVE, _S.RUNNING, _G.STOP_REQUESTED): "the trainer finished early, and its result is kept",
    (_E.FINISH, _S.RUNNING, _G.ALWAYS): "it finished before any request took effect",
    (_E.FAIL, _S.RUNNING, _G.CANCEL_REQUESTED): "a failure during a cancel counts as a cancel",
    (_E.FAIL, _S.RUNNING, _G.ALWAYS): "another attempt would fail as well",
    **{(_E.INTERRUPT, _S.RUNNING, guard): text for guard, text in _INTERRUPTED.items()},
    (_E.INTERRUPT, _S.RUNNING, _G.RESTARTS_LEFT): "it waits, backs off, and resumes from last.pt",
    (_E.INTERRUPT, _S.RUNNING, _G.ALWAYS): "it was interrupted too often without a new epoch",
    **{(_E.DRAIN, _S.RUNNING, guard): text for guard, text in _INTERRUPTED.items()},
    (_E.DRAIN, _S.RUNNING, _G.ALWAYS): "the worker leaves; not counted, no back-off",
    **{(_E.HALVE_BATCH, _S.RUNNING, guard): text for guard, text in _INTERRUPTED.items()},
    (
        _E.HALVE_BATCH,
        _S.RUNNING,
        _G.ALWAYS,
    ): "memory ran out: one more attempt with half the batch, not counted",
    (_E.CANCEL, _S.QUEUED, _G.ALWAYS): "it is not running, so it is cancelled at once",
    (_E.CANCEL, _S.RUNNING, _G.CANCEL_REQUESTED): "already requested",
    (_E.CANCEL, _S.RUNNING, _G.ALWAYS): "recorded; the supervisor reads it within half a second",
    (_E.CANCEL, _S.PAUSED, _G.ALWAYS): "it is not running, so it is cancelled at once",
    (_E.CANCEL, _S.CANCELLED, _G.NOT_IN_TRASH): "already cancelled",
    (_E.PAUSE, _S.QUEUED, _G.NO_STOP_REQUESTED): "it waits for a resume instead of a slot",
    (_E.PAUSE, _S.RUNNING, _G.PAUSE_REQUESTED): "already requested",
    (_E.PAUSE, _S.RUNNING, _G.NOTHING_STRONGER_THAN_PAUSE): "recorded for the supervisor",
    (_E.PAUSE, _S.PAUSED, _G.ALWAYS): "already paused",
    (_E.RESUME, _S.QUEUED, _G.ALWAYS): "it is already waiting for a slot",
    (_E.RESUME, _S.RUNNING, _G.PAUSE_REQUESTED): "the pause is withdrawn",
    (_E.RESUME, _S.RUNNING, _G.ALWAYS): "it is already running",
    (_E.RESUME, _S.PAUSED, _G.ALWAYS): "it waits for a slot again",
    (_E.STOP, _S.QUEUED, _G.STOP_REQUESTED): "already requested",
    (_E.STOP, _S.QUEUED, _G.HAS_CHECKPOINT): "the next attempt only finalizes",
    (_E.STOP, _S.RUNNING, _G.STOP_REQUESTED): "already requested",
    (_E.STOP, _S.RUNNING, _G.NOTHING_STRONGER_THAN_STOP): "it ends after this epoch",
    (_E.STOP, _S.PAUSED, _G.HAS_CHECKPOINT): "an attempt is needed to finalize",
    (
        _E.RETRY,
        _S.FAILED,
        _G.NOT_IN_TRASH,
    ): "it starts again, from the last checkpoint if there is one",
    (
        _E.RETRY,
        _S.CANCELLED,
        _G.NOT_IN_TRASH,
    ): "it starts again, from the last checkpoint if there is one",
    (_E.TIMEOUT, _S.RUNNING, _G.CANCEL_REQUESTED): "it is already leaving",
    (_E.TIMEOUT, _S.RUNNING, _G.NO_EPOCH): "there is no result to keep",
    (_E.TIMEOUT, _S.RUNNING, _G.STOP_REQUESTED): "it is already finishing",
    (_E.TIMEOUT, _S.RUNNING, _G.NOTHING_STRONGER_THAN_STOP): "its result so far is kept",
    **{
        (event, ended, guard): text
        for ended in (_S.SUCCEEDED, _S.FAILED, _S.CANCELLED)
        for (event, guard), text in _TRASH.items()
    },
}
