"""The facts of a job in the header of its pages, those that rank it first."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from app.web import words
from app.web.formats import UNKNOWN, duration, number, short_metric
from app.web.jobs.one_job.job_header import Job, JobHeader

HEADLINES: Final = ("metrics/mAP50-95(B)", "metrics/mAP50-95(M)", "metrics/accuracy_top1")
"""Metrics that people know, of which the first one is shown with the one that decides."""
FITNESS: Final = "fitness"


@dataclass(frozen=True)
class Fact:
    """A value with its label.

    Attributes:
        label: what it is.
        value: as text.
        small: more of it, in small type.
        path: of the page that a click opens.
        is_big: whether it is one of the values that rank a job.
        is_zero: whether it ranks a job, and is 0: nothing was found.
        time: an instant to show as "4 min ago" in place of the value.
    """

    label: str
    value: str
    small: str = ""
    path: str = ""
    is_big: bool = False
    is_zero: bool = False
    time: str = ""


def beside_state(header: JobHeader) -> str:
    """Return the words beside the state, without the numbers that change with each batch."""
    job, last = header.job, header.recent.last_epoch
    state = job["state"]
    if state == "running":
        return words.state_of(job)
    if state == "succeeded":
        return f"{last} epochs in {duration(job['duration_seconds'])}" if last else ""
    trained = f"after {last} of {_epochs_of(job)} epochs" if last else "before an epoch ended"
    if state == "queued":
        parts = [words.waiting(job)] if job["waiting_reason"] else []
        if job["resume_epoch"] is not None:
            parts.append(f"continues after epoch {job['resume_epoch']}")
        return "; ".join(parts)
    if state == "paused" and job["resume_epoch"] is not None:
        return f"{trained}, continues after epoch {job['resume_epoch']}"
    return trained


def _epochs_of(job: Job) -> int:
    epochs: int = job["resolved"]["train"]["epochs"]
    return epochs


def until(job: Job) -> str | None:
    """Return the instant at which a running job is expected to end."""
    progress = job["progress"]
    if job["state"] != "running" or not progress or progress["eta_seconds"] is None:
        return None
    return (datetime.now(UTC) + timedelta(seconds=progress["eta_seconds"])).isoformat()


def facts_of(header: JobHeader) -> list[Fact]:
    """Return the facts of a job, those that rank it first."""
    job = header.job
    facts = [
        *_ranking(header),
        Fact("Model", job["model"], path=_model_path(job)),
        _dataset(header),
    ]
    if job["slot"]:
        name = job["slot"]["name"] or job["slot"]["worker"]
        facts.append(Fact("Worker", name, f"attempt {job['attempt']}", "/workers"))
    elif job["attempt"] > 1:
        facts.append(Fact("Attempts", str(job["attempt"]), path=f"{header.path}/events"))
    if job["started_at"]:
        facts.append(_time_taken(header))
    if job["queue"] != "default" or job["priority"]:
        priority = f"priority {job['priority']}" if job["priority"] else ""
        facts.append(Fact("Queue", job["queue"], priority))
    by = f"by {job['created_by']}" if job["created_by"] else ""
    facts.append(Fact("Submitted", "", by, time=job["created_at"]))
    if header.parent:
        name = header.parent["name"] or header.parent["id"]
        facts.append(Fact("Made from", name, path=f"/jobs/{header.parent['id']}"))
    if job["tags"]:
        tags = ", ".join(f"{name}={value}" for name, value in job["tags"].items())
        facts.append(Fact("Tags", tags))
    return facts


def _ranking(header: JobHeader) -> list[Fact]:
    """Return the best value, the last one, and a well-known metric of the best epoch."""
    best = header.job["best"]
    if best is None:
        return _not_yet(header.job)
    name, value = short_metric(best["metric"]), best["value"]
    label = f"Best {name}, epoch {best['epoch']}"
    facts = [Fact(label, number(value), is_big=True, is_zero=value == 0)]
    last = header.recent.last_value
    if last is not None:
        facts.append(Fact(f"Last {name}", number(last), is_big=True))
    known = next((each for each in HEADLINES if each in (best["at"] or {})), None)
    if known and known != best["metric"]:
        at_best = number(best["at"][known])
        facts.append(Fact(f"{short_metric(known)} at best", at_best, is_big=True))
    return facts


def _not_yet(job: Job) -> list[Fact]:
    """Return the places of what the first epoch brings, so that nothing moves when it ends."""
    if job["state"] != "running":
        return []
    best_model = (job["resolved"].get("customize") or {}).get("best_model") or {}
    chosen = best_model.get("metric", FITNESS)
    known = HEADLINES[2] if job["task"] == "classify" else HEADLINES[0]
    labels = [f"Best {short_metric(chosen)}, epoch {UNKNOWN}"]
    if chosen != FITNESS:  # epochs have no value of it
        labels.append(f"Last {short_metric(chosen)}")
    if known != chosen:
        labels.append(f"{short_metric(known)} at best")
    return [Fact(label, UNKNOWN, is_big=True) for label in labels]


def _model_path(job: Job) -> str:
    return f"/jobs/{job['model']}" if job["model"].startswith("job_") else ""


def _dataset(header: JobHeader) -> Fact:
    job, dataset = header.job, header.dataset
    if job["dataset_name"] is None:
        return Fact("Dataset", job["dataset"], "was deleted")
    version = f"version {dataset['number']}" if dataset else ""
    return Fact("Dataset", job["dataset_name"], version, f"/datasets/{job['dataset']}")


def _time_taken(header: JobHeader) -> Fact:
    job, seconds = header.job, header.recent.epoch_seconds
    waits = job["state"] in {"queued", "paused"}
    label = "Running for" if job["state"] == "running" else "Ran for" if waits else "Took"
    each = f"{seconds:.1f} s an epoch" if seconds else ""
    return Fact(label, duration(job["duration_seconds"]), each)
