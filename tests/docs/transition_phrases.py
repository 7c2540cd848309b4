"""What each arrow of a job's life means, in a phrase; keyed as `TRANSITIONS` has its rows."""

from typing import Final

from app.jobs.states import Guard, JobEvent, JobState

_E, _S, _G = JobEvent, JobState, Guard

Key = tuple[JobEvent, JobState, Guard]

_INTERRUPTED: Final = {
    _G.CANCEL_REQUESTED: "it was to be cancelled anyway",
    _G.PAUSE_REQUESTED: "it was to be paused anyway",
    _G.STOP_REQUESTED_WITH_CHECKPOINT: "the next attempt only finalizes the last checkpoint",
    _G.STOP_REQUESTED: "nothing was saved that could be finalized",
}

_TRASH: Final = {
    (_E.DELETE, _G.NOT_IN_TRASH): "it goes to the trash",
    (_E.DELETE, _G.IN_TRASH): "it is there already",
    (_E.RESTORE, _G.IN_TRASH): "it comes back from the trash as it was",
}

PHRASES: Final[dict[Key, str]] = {
    (_E.CLAIM, _S.QUEUED, _G.ALWAYS): "a slot takes it; the attempt number rises",
    (_E.LEAVE, _S.RUNNING, _G.CANCEL_REQUESTED): "the trainer left because of the cancel",
    (_E.LEAVE, _S.RUNNING, _G.PAUSE_REQUESTED): "the trainer left with a checkpoint to go on from",
    (_E.LEAVE, _S.RUNNING, _G.STOP_REQUESTED): "the trainer finished early and its result is kept",
    (_E.FINISH, _S.RUNNING, _G.ALWAYS): "it was done before any request took effect",
    (_E.FAIL, _S.RUNNING, _G.CANCEL_REQUESTED): "a failure while being cancelled is a cancel",
    (_E.FAIL, _S.RUNNING, _G.ALWAYS): "another attempt would fail as well",
    **{(_E.INTERRUPT, _S.RUNNING, guard): text for guard, text in _INTERRUPTED.items()},
    (_E.INTERRUPT, _S.RUNNING, _G.RESTARTS_LEFT): "it waits, backs off, and goes on from last.pt",
    (_E.INTERRUPT, _S.RUNNING, _G.ALWAYS): "it was interrupted too often without a new epoch",
    **{(_E.DRAIN, _S.RUNNING, guard): text for guard, text in _INTERRUPTED.items()},
    (_E.DRAIN, _S.RUNNING, _G.ALWAYS): "the worker leaves; not counted, no back-off",
    **{(_E.HALVE_BATCH, _S.RUNNING, guard): text for guard, text in _INTERRUPTED.items()},
    (_E.HALVE_BATCH, _S.RUNNING, _G.ALWAYS): "memory ran out: once more with half the batch, "
    "not counted",
    (_E.CANCEL, _S.QUEUED, _G.ALWAYS): "nothing runs, so it is cancelled at once",
    (_E.CANCEL, _S.RUNNING, _G.CANCEL_REQUESTED): "asked already",
    (_E.CANCEL, _S.RUNNING, _G.ALWAYS): "noted; the supervisor reads it within half a second",
    (_E.CANCEL, _S.PAUSED, _G.ALWAYS): "nothing runs, so it is cancelled at once",
    (_E.CANCEL, _S.CANCELLED, _G.NOT_IN_TRASH): "cancelled already",
    (_E.PAUSE, _S.QUEUED, _G.NO_STOP_REQUESTED): "it waits for a resume instead of a slot",
    (_E.PAUSE, _S.RUNNING, _G.PAUSE_REQUESTED): "asked already",
    (_E.PAUSE, _S.RUNNING, _G.NOTHING_STRONGER_THAN_PAUSE): "noted for the supervisor",
    (_E.PAUSE, _S.PAUSED, _G.ALWAYS): "paused already",
    (_E.RESUME, _S.QUEUED, _G.ALWAYS): "it waits for a slot already",
    (_E.RESUME, _S.RUNNING, _G.PAUSE_REQUESTED): "the pause is withdrawn",
    (_E.RESUME, _S.RUNNING, _G.ALWAYS): "it runs already",
    (_E.RESUME, _S.PAUSED, _G.ALWAYS): "it waits for a slot again",
    (_E.STOP, _S.QUEUED, _G.STOP_REQUESTED): "asked already",
    (_E.STOP, _S.QUEUED, _G.HAS_CHECKPOINT): "the next attempt only finalizes",
    (_E.STOP, _S.RUNNING, _G.STOP_REQUESTED): "asked already",
    (_E.STOP, _S.RUNNING, _G.NOTHING_STRONGER_THAN_STOP): "it ends after this epoch",
    (_E.STOP, _S.PAUSED, _G.HAS_CHECKPOINT): "an attempt is needed to finalize",
    (_E.RETRY, _S.FAILED, _G.NOT_IN_TRASH): "another try, from the last checkpoint if there is one",
    (
        _E.RETRY,
        _S.CANCELLED,
        _G.NOT_IN_TRASH,
    ): "another try, from the last checkpoint if there is one",
    (_E.TIMEOUT, _S.RUNNING, _G.CANCEL_REQUESTED): "it is leaving already",
    (_E.TIMEOUT, _S.RUNNING, _G.NO_EPOCH): "there is no result to keep",
    (_E.TIMEOUT, _S.RUNNING, _G.STOP_REQUESTED): "it is finishing already",
    (_E.TIMEOUT, _S.RUNNING, _G.NOTHING_STRONGER_THAN_STOP): "its result so far is kept",
    **{
        (event, ended, guard): text
        for ended in (_S.SUCCEEDED, _S.FAILED, _S.CANCELLED)
        for (event, guard), text in _TRASH.items()
    },
}
