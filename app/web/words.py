"""What the pages call the states, phases, requests and reasons that the API names.

A test walks the API's enums: each member has a word here, and each state a shape in `macros.html`.
"""

from typing import Any, Final

from app.web.formats import duration

STATES: Final = {
    "queued": "Queued",
    "running": "Running",
    "paused": "Paused",
    "succeeded": "Succeeded",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
OTHER_STATES: Final = {
    "validating": "Validating",
    "ready": "Ready",
    "invalid": "Invalid",
    "inspecting": "Inspecting",
    "refused": "Refused",
    "live": "Live",
    "silent": "Silent",
    "stopped": "Stopped",
    "cordoned": "Cordoned",
    "draining": "Draining",
    "enabled": "Enabled",
    "disabled": "Disabled",
    "pending": "Pending",
    "delivered": "Delivered",
    "error": "Error",
    "warning": "Warning",
    "info": "Info",
}
"""Of versions of datasets, models, slots, webhooks and deliveries, and severities."""
PHASES: Final = {
    "preparing": "preparing",
    "training": "training",
    "validating": "validating",
    "finalizing": "finalizing",
}
REQUESTS: Final = {
    "pause": "pauses after this epoch",
    "stop": "stops after this epoch",
    "cancel": "is being cancelled",
}
WAITING: Final = {
    "waiting_for_worker": "waits for a free slot",
    "backing_off": "waits before it tries again",
    "no_matching_worker": "no live slot serves queue {queue}",
    "cordoned": "every slot of queue {queue} takes no new jobs",
    "project_running_limit": "the project runs as many jobs as it may",
    "user_running_limit": "its user runs as many jobs as allowed",
}
WAITING_IN_SHORT: Final = {
    "waiting_for_worker": "waits for a slot",
    "backing_off": "backs off",
    "no_matching_worker": "no slot serves {queue}",
    "cordoned": "slots are cordoned",
    "project_running_limit": "limit of the project",
    "user_running_limit": "limit of its user",
}
UNKNOWN_START: Final = {
    "slot": "not known",
    "back_off": "not known",
    "no_matching_worker": "no slot suits it",
    "cordoned": "no slot takes jobs",
    "project_running_limit": "when the project's limit allows",
    "user_running_limit": "when your limit allows",
}
"""When a job would start that has no estimate, by what it would wait for."""
DISABLED: Final = {
    "by_member": "by a member",
    "gone": "it answered 410 Gone",
    "failing": "nothing but failures for days",
}
"""Why nothing is sent to a webhook."""
SEND_ERRORS: Final = {
    "status": "not accepted",
    "timeout": "no answer in time",
    "address_not_allowed": "address not allowed",
    "url_not_allowed": "URL not allowed",
    "host_not_found": "host not found",
    "connection_failed": "connection failed",
    "tls_failed": "TLS failed",
    "invalid_answer": "no valid answer",
    "expired": "given up",
}
ENDINGS: Final = {1: "st", 2: "nd", 3: "rd"}


def word_of(state: str) -> str:
    """Return the word of a state of anything; a state without one is shown by its name."""
    return STATES.get(state) or OTHER_STATES.get(state) or state.replace("_", " ").capitalize()


def state_of(job: dict[str, Any]) -> str:
    """Return the words beside the state of a job: its phase, its request or why it waits."""
    if job["state"] == "running":
        words = [PHASES.get(job["phase"] or "", ""), REQUESTS.get(job["request"] or "", "")]
        return ", ".join(word for word in words if word)
    if job["state"] == "queued" and job["waiting_reason"]:
        return waiting(job)
    if job["state"] == "failed" and job["error"]:
        return str(job["error"]["title"])
    return ""


def short_state_of(job: dict[str, Any]) -> str:
    """Return the words beside the state of a job where there is little room."""
    is_next = job["waiting_reason"] == "waiting_for_worker" and job["queue_position"]
    if job["state"] == "queued" and is_next:
        return f"{ordinal(job['queue_position'])} in line"
    if job["state"] == "queued" and job["waiting_reason"]:
        return WAITING_IN_SHORT[job["waiting_reason"]].format(queue=job["queue"])
    if job["state"] == "failed" and job["error"]:
        return str(job["error"]["code"]).replace("_", " ")
    return state_of(job)


def ordinal(number: int) -> str:
    """Return a place, such as `2nd`."""
    is_teen = number % 100 // 10 == 1
    return f"{number}{'th' if is_teen else ENDINGS.get(number % 10, 'th')}"


def waiting(job: dict[str, Any]) -> str:
    """Return why a queued job does not run yet, with its place in the queue."""
    place = job["queue_position"]
    return f"place {place}: {reason_of(job)}" if place else reason_of(job)


def reason_of(job: dict[str, Any]) -> str:
    """Return why a queued job does not run yet."""
    reason: str = WAITING.get(job["waiting_reason"], job["waiting_reason"])
    return reason.format(queue=job["queue"])


def start_of(forecast: dict[str, Any]) -> str:
    """Return when a job would start if it were submitted now."""
    seconds = forecast["starts_in_seconds"]
    if seconds is None:
        return UNKNOWN_START.get(forecast["waits_for"], UNKNOWN_START["slot"])
    return f"in {duration(seconds)}" if round(seconds) else "now"


def share_of(job: dict[str, Any]) -> float:
    """Return the trained share of a job, between 0 and 1."""
    if job["state"] == "succeeded":
        return 1.0
    progress = job["progress"]
    if not progress or not progress["epochs"]:
        return 0.0
    within = progress["batch"] / progress["batches"] if progress["batches"] else 0.0
    done = max(0, progress["epoch"] - 1) + min(1.0, within)
    share: float = round(done / progress["epochs"], 4)
    return min(1.0, share)


def time_of(job: dict[str, Any]) -> str:
    """Return what is left of a running job, and what an ended one has taken."""
    progress = job["progress"]
    if job["state"] == "running" and progress and progress["eta_seconds"] is not None:
        return f"{duration(progress['eta_seconds'])} left"
    return duration(job["duration_seconds"]) if job["started_at"] else ""
