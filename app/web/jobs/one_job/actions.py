"""What a user can do with a job in its state: the buttons of its header, and words for refusals."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.web.api import ApiProblem

ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})
READ_ONLY_ROLE: Final = "viewer"

DONE: Final = {
    "cancel": "cancelled",
    "pause": "paused",
    "resume": "resumed",
    "stop": "stopped with its result",
    "retry": "retried",
    "delete": "moved to the trash",
    "restore": "restored",
    "clone": "cloned",
    "extend": "extended",
}
"""What can be done with a job, after "It can be"."""
MEANWHILE: Final = {
    "queued": "It waits in the queue now.",
    "running": "It is running now.",
    "paused": "It is paused now.",
    "succeeded": "It has ended meanwhile.",
    "failed": "It has failed meanwhile.",
    "cancelled": "It was cancelled meanwhile.",
}
REQUESTED: Final = {
    "pause": "A pause is already requested.",
    "stop": "A stop is already requested.",
    "cancel": "A cancel is already requested.",
}


@dataclass(frozen=True)
class Action:
    """A button of the header, or a link where `method` is "get".

    Attributes:
        path: below the job, such as `pause`; of a link, a whole path.
        label: what it does.
        method: of HTTP, in lower case.
        style: a class of the button.
        confirmed: the dialog that asks first.
    """

    path: str
    label: str
    method: str = "post"
    style: str = ""
    confirmed: str = ""


PAUSE: Final = Action("pause", "Pause")
WITHDRAW_PAUSE: Final = Action("resume", "Do not pause")
RESUME: Final = Action("resume", "Resume", style="primary")
STOP: Final = Action("stop", "Stop, keep result")
CANCEL: Final = Action("cancel", "Cancel", method="get", style="danger", confirmed="cancel")
RETRY: Final = Action("retry", "Retry")
EXTEND: Final = Action("extend", "Extend", method="get")
EDIT: Final = Action("edit", "Edit name, tags, notes", method="get")
TRASH: Final = Action("trash", "Move to trash", style="danger")
RESTORE: Final = Action("restore", "Restore")


@dataclass(frozen=True)
class Actions:
    """The actions of a job: the first ones as buttons, the others in a menu."""

    buttons: tuple[Action, ...]
    menu: tuple[Action, ...]


def actions_of(job: Mapping[str, Any], role: str) -> Actions:
    """Return what the user can do with a job now.

    Args:
        job: its status.
        role: of the user in the project of the job.
    """
    clone = Action(f"/jobs/new?clone={job['id']}", "Clone", method="get")
    compare = Action(f"/jobs/compare?jobs={job['id']}", "Compare with…", method="get")
    if role == READ_ONLY_ROLE:
        return Actions((), (compare,))
    if job["trashed_at"]:
        return Actions((RESTORE,), (compare,))
    state, has_result = job["state"], job["resume_epoch"] is not None
    if state == "running":
        return Actions(_of_running(job["request"]), (clone, EDIT, compare, *_cancel(job)))
    if state in {"queued", "paused"}:
        first = PAUSE if state == "queued" else RESUME
        is_stopping = job["request"] == "stop"
        stop = (STOP,) if has_result and not is_stopping else ()
        buttons = stop if is_stopping else (first, *stop)
        return Actions(buttons, (clone, EDIT, compare, CANCEL))
    if state == "succeeded":
        return Actions((clone, EXTEND), (EDIT, compare, TRASH))
    buttons = (RETRY, clone) if state == "cancelled" else (clone,)
    return Actions(buttons, (EDIT, EXTEND, compare, TRASH))


def _of_running(request: str | None) -> tuple[Action, ...]:
    if request is None:
        return (PAUSE, STOP)
    return (WITHDRAW_PAUSE, STOP) if request == "pause" else ()


def _cancel(job: Mapping[str, Any]) -> tuple[Action, ...]:
    return () if job["request"] == "cancel" else (CANCEL,)


def amendment(amended: Mapping[str, Any]) -> str:
    """Return what a merge patch of a spec sets, such as `lr0 = 0.1, batch = 8`."""
    return ", ".join(_leaves(amended))


def _leaves(patch: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for name, value in patch.items():
        if isinstance(value, Mapping):
            found += _leaves(value)
        elif value is None:
            found.append(f"no {name}")
        else:
            found.append(f"{name} = {value if isinstance(value, str) else json.dumps(value)}")
    return found


def refusal(problem: ApiProblem) -> str:
    """Return why an action was refused, and what can be done with the job instead."""
    facts = problem.problem
    allowed = facts.get("allowed")
    if allowed is None:
        return str(facts["detail"])
    if problem.slug == "nothing-to-keep":
        cause = "No epoch has ended, so there is no result to keep."
    elif facts["in_trash"]:
        cause = "It is in the trash."
    elif facts["request"] and facts["state"] == "running":
        cause = REQUESTED[facts["request"]]
    else:
        cause = MEANWHILE[facts["state"]]
    can = [DONE[each] for each in allowed if not _says_nothing_new(each, facts["state"])]
    if facts["state"] in ENDED and not facts["in_trash"]:
        can.append(DONE["extend"])
    return f"{cause} It can be {_either(can)}." if can else cause


def _says_nothing_new(event: str, state: str) -> bool:
    """Return whether an event is allowed only because it changes nothing in the state."""
    return (event, state) in {
        ("cancel", "cancelled"),
        ("pause", "paused"),
        ("resume", "queued"),
        ("resume", "running"),
    }


def _either(words: list[str]) -> str:
    *before, last = words
    return f"{', '.join(before)} or {last}" if before else last
