"""Claims, ends and requests as workers and users make them, each in its own transaction."""

from datetime import timedelta

from app.core.database import Database
from app.jobs.end_reasons import EndReason
from app.jobs.life.claim import SlotOffer, claim_job
from app.jobs.life.transitions import Applied, AttemptEnd, Refused, apply_event
from app.jobs.locks import Hold, lock_held, lock_job
from app.jobs.states import JobEvent
from app.jobs.tables import Job

LEASE = timedelta(seconds=30)
CPU_SLOT = SlotOffer("wrk_cpu", ("default",), gpus=0)
GPU_SLOT = SlotOffer("wrk_gpu", ("default",), gpus=1)


def claim(database: Database, offer: SlotOffer = CPU_SLOT, rung_for: str | None = None) -> Hold:
    with database.write() as unit:
        job = claim_job(unit.session, offer, lease=LEASE, rung_for=rung_for)
    assert job is not None
    return Hold(job.id, job.attempt)


def end(database: Database, hold: Hold, event: JobEvent, reason: EndReason) -> Applied:
    with database.write() as unit:
        job = lock_held(unit.session, hold)
        applied = apply_event(unit.session, job, event, AttemptEnd(reason, exit_code=1))
    assert isinstance(applied, Applied)
    return applied


def request(database: Database, job_id: str, event: JobEvent) -> Applied | Refused:
    with database.write() as unit:
        job = lock_job(unit.session, Job.id == job_id)
        assert job is not None
        return apply_event(unit.session, job, event)
