"""Jobs that were trained and extended over HTTP."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import update

from app.core.database import database_now
from app.jobs.tables import Job
from app.ops.retention import purge_job
from tests.jobs.trained import train
from tests.worlds.server import Api

RISING = (0.1, 0.2, 0.3, 0.4)


def trained(
    api: Api,
    values: Sequence[float] = RISING,
    *,
    states: Collection[int] = (3, 4),
    **spec: object,
) -> str:
    """Submit a job of four epochs and train it to its end."""
    job_id: str = api.submit(**{"train": {"epochs": 4, "imgsz": 64}} | spec)["id"]
    train(api.database, job_id, values, states=states)
    return job_id


def extend(api: Api, job_id: str, epochs: object = 6, **body: object) -> Any:  # noqa: ANN401
    return api.client.post(f"/v1/jobs/{job_id}/extend", json={"epochs": epochs, **body})


def extended(api: Api, job_id: str, epochs: int = 6) -> str:
    answer = extend(api, job_id, epochs)
    assert answer.status_code == 201, answer.text
    child: str = answer.json()["id"]
    return child


def checkpoints(api: Api, job_id: str) -> list[tuple[str, int, str]]:
    rows = api.client.get(f"/v1/jobs/{job_id}/checkpoints").json()["data"]
    return sorted((row["name"], row["epoch"], row["sha256"]) for row in rows)


def metrics(api: Api, job_id: str, **query: str | int) -> dict[str, Any]:
    answer = api.client.get(f"/v1/jobs/{job_id}/metrics", params={"lineage": "true", **query})
    assert answer.status_code == 200, answer.text
    view: dict[str, Any] = answer.json()
    return view


def delete_for_good(api: Api, job_id: str) -> None:
    with api.database.write() as unit:
        long_ago = database_now(timedelta(days=-30))
        unit.session.execute(update(Job).where(Job.id == job_id).values(trashed_at=long_ago))
    assert purge_job(api.database, job_id, after=timedelta(days=7), grace=timedelta())
