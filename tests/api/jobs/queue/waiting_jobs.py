"""Jobs that wait for slots, on a server that a module shares."""

from datetime import timedelta

from sqlalchemy import delete, update

from app.core.ids import new_id
from app.fleet.tables import Worker
from app.jobs.life.claim import SlotOffer, claim_job
from app.jobs.tables import Job
from app.quotas.tables import Lane, Usage
from tests.worlds.rows import Rows, some_rows
from tests.worlds.server import Api

LEASE = timedelta(hours=1)


def emptied(api: Api) -> Api:
    """Return the server without jobs, slots and limits."""
    with api.database.write() as unit:
        for table in (Job, Lane, Worker):
            unit.session.execute(delete(table))
        unit.session.execute(update(Usage).values(max_running_jobs=None))
    return api


def a_stranger(api: Api) -> Rows:
    """Return another user with a project of their own."""
    return some_rows(api.database, name=new_id("other"))


def takes(
    api: Api, worker_id: str, *, gpus: int = 0, queues: tuple[str, ...] = ("default",)
) -> str | None:
    """Let a slot claim; return the job that it takes."""
    with api.database.write() as unit:
        job = claim_job(unit.session, SlotOffer(worker_id, queues, gpus), lease=LEASE)
        return None if job is None else job.id
