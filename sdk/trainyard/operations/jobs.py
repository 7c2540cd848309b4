"""Jobs: submit, read, list, and wait for them."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from trainyard.core.connection import Connection
from trainyard.core.steps import Operation
from trainyard.views.base import parsed
from trainyard.views.jobs import JobView, ParsedView, ValidatedJobView
from trainyard.views.results import ManyMetricsView
from trainyard.views.stream import JobEvent


def submit_job(
    connection: Connection, spec: Mapping[str, Any], idempotency_key: str | None = None
) -> Operation[JobView]:
    """Submit a job once, however often the request has to be sent."""
    return _create(connection, "/v1/jobs", spec, idempotency_key)


def clone_job(
    connection: Connection, job: str, patch: Mapping[str, Any], idempotency_key: str | None = None
) -> Operation[JobView]:
    """Submit a new job with the spec of another one, changed by a merge patch."""
    return _create(connection, f"/v1/jobs/{job}/clone", patch, idempotency_key)


def extend_job(
    connection: Connection, job: str, body: Mapping[str, Any], idempotency_key: str | None = None
) -> Operation[JobView]:
    """Train an ended job for more epochs, as a new job."""
    return _create(connection, f"/v1/jobs/{job}/extend", body, idempotency_key)


def _create(
    connection: Connection, path: str, body: Mapping[str, Any], idempotency_key: str | None
) -> Operation[JobView]:
    headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
    document = yield from connection.json(
        "POST", path, json=dict(body), headers=headers, is_repeatable=True
    )
    return parsed(JobView, document)


def read_job(connection: Connection, job: str) -> Operation[JobView]:
    """Read a job."""
    document = yield from connection.json("GET", f"/v1/jobs/{job}")
    return parsed(JobView, document)


def steer_job(connection: Connection, job: str, action: str) -> Operation[JobView]:
    """Ask for `cancel`, `pause`, `resume`, `stop`, `retry` or `restore`.

    Only a retry does something twice if it is repeated.
    """
    document = yield from connection.json(
        "POST", f"/v1/jobs/{job}/{action}", is_repeatable=action != "retry"
    )
    return parsed(JobView, document)


def plan_job(connection: Connection, spec: Mapping[str, Any]) -> Operation[ValidatedJobView]:
    """Plan a job without submitting it."""
    document = yield from connection.json(
        "POST", "/v1/jobs/validate", json=dict(spec), is_repeatable=True
    )
    return parsed(ValidatedJobView, document)


def parse_job(connection: Connection, text: str) -> Operation[ParsedView]:
    """Translate a training in Ultralytics' words into a spec."""
    document = yield from connection.json(
        "POST",
        "/v1/jobs/parse",
        content=text.encode(),
        headers={"Content-Type": "text/plain; charset=utf-8"},
        is_repeatable=True,
    )
    return parsed(ParsedView, document)


def compare_jobs(
    connection: Connection, jobs: Sequence[str], params: Mapping[str, Any]
) -> Operation[ManyMetricsView]:
    """Read the metrics of several jobs."""
    query = {**params, "jobs": ",".join(jobs)}
    document = yield from connection.json("GET", "/v1/metrics", params=query)
    return parsed(ManyMetricsView, document)


def change_job(connection: Connection, job: str, fields: Mapping[str, Any]) -> Operation[JobView]:
    """Change some fields of a job."""
    document = yield from connection.json(
        "PATCH", f"/v1/jobs/{job}", json=dict(fields), is_repeatable=True
    )
    return parsed(JobView, document)


def delete_job(connection: Connection, job: str) -> Operation[JobView]:
    """Move a job to the trash."""
    document = yield from connection.json("DELETE", f"/v1/jobs/{job}")
    return parsed(JobView, document)


def read_events(
    connection: Connection, job: str, params: Mapping[str, Any]
) -> Operation[list[JobEvent]]:
    """Read a page of the events of a job."""
    page = yield from connection.json("GET", f"/v1/jobs/{job}/events", params=params)
    return [parsed(JobEvent, {**row, "job": job}) for row in page["data"]]
