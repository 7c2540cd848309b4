"""The tasks of a slot: on each bell, claim and run jobs until no eligible job is left."""

import time

from celery import Celery

from app.core.crash_points import CrashPoint, crash_point
from app.core.database import OUTAGE
from app.core.logging import first_line, get_logger
from app.jobs.life.claim import claim_job
from app.jobs.life.doorbell import INSPECTION_TASK, RUN_JOB_TASK
from app.jobs.life.recording import unacknowledged_claim
from app.jobs.tables import Job
from worker.attempt.directory import clear_dead_attempts
from worker.attempt.lease import RETRY_SECONDS
from worker.attempt.supervisor import run_attempt
from worker.context import WorkerContext
from worker.inspection import inspect_models

NO_JOB = NO_MODEL = ""

log = get_logger(__name__)


def register_tasks(app: Celery, context: WorkerContext) -> None:
    """Register the two tasks of a worker with `app`: run jobs, and inspect weights.

    They run in the only thread of the pool, which lives as long as the process. While it trains, it
    takes no further message, and other slots receive the bells.
    """

    def run_job(job_id: str, dispatch_seq: int) -> None:
        log.debug("doorbell.received", job_id=job_id, dispatch_seq=dispatch_seq)
        work_on(context, rung_for=job_id or None)

    def inspect_model(model_id: str, number: int) -> None:
        log.debug("doorbell.received", model_id=model_id, number=number)
        inspect_models(context, rung_for=model_id or None)

    app.task(name=RUN_JOB_TASK, ignore_result=True)(run_job)
    app.task(name=INSPECTION_TASK, ignore_result=True)(inspect_model)


def work_on(context: WorkerContext, *, rung_for: str | None = None) -> None:
    """Run eligible jobs, `rung_for` first and then the best one, until none is left.

    Duplicate and late messages, and messages for a job that is gone, change nothing. After each job
    the slot inspects waiting weights, because only idle slots are rung for them. First it cleans up
    after slots of this machine that died and were not restarted. While a disk has only its reserve,
    no job is started.
    """
    clear_dead_attempts(context.attempts_folder)
    if context.settings.worker.warm == "always":
        context.starter.preload()
    while not context.leaving.is_set():
        if context.disk.is_reached():
            log.warning("claim.disk_reserve_reached")
            return
        claimed = _claim(context, rung_for)
        if claimed is None:
            return
        job, claimed_at = claimed
        run_attempt(context, job, claimed_at=claimed_at)
        inspect_models(context)
        rung_for = None


def _claim(context: WorkerContext, rung_for: str | None) -> tuple[Job, float] | None:
    """Claim a job; return it and the monotonic time at which the claim was sent.

    Retries while the database is unavailable. A claim without an answer may have been committed;
    the next try then returns that job.
    """
    in_doubt = False
    while not context.leaving.is_set():
        sent_at = time.monotonic()
        try:
            job = _claim_once(context, rung_for, in_doubt=in_doubt)
        except OUTAGE as error:
            log.warning("claim.failed", error=first_line(error))
            in_doubt = True
            context.leaving.wait(RETRY_SECONDS)
        else:
            return None if job is None else (job, sent_at)
    return None


def _claim_once(context: WorkerContext, rung_for: str | None, *, in_doubt: bool) -> Job | None:
    lease, job = context.settings.timing.lease, None
    with context.database.write() as unit:
        if in_doubt:
            job = unacknowledged_claim(unit.session, context.worker_id, lease=lease)
        if job is None:
            job = claim_job(unit.session, context.offer, lease=lease, rung_for=rung_for)
        if job is not None:
            crash_point(CrashPoint.CLAIM_BEFORE_COMMIT)
    if job is not None:
        crash_point(CrashPoint.CLAIM_AFTER_COMMIT)
    return job
