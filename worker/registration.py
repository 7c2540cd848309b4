"""The database row of a slot: registration at its start, heartbeats, and the mark at its stop."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.core.database import OUTAGE, Database
from app.core.logging import first_line, get_logger
from app.fleet.repository import (
    Registration,
    mark_stopped,
    record_heartbeat,
    register_worker,
    remember_worker,
)
from app.fleet.use import MeasuredUse
from app.jobs.end_reasons import EndReason
from app.jobs.life.transitions import AttemptEnd, apply_event
from app.jobs.locks import lock_job
from app.jobs.states import JobEvent, JobState
from app.jobs.tables import Job
from app.settings.timing import Timing

DATABASE_RETRY_SECONDS = 2.0

log = get_logger(__name__)


def register_slot(database: Database, registration: Registration, *, timing: Timing) -> str:
    """Register the slot's new incarnation, end its dead predecessor's attempts, return its id.

    Retries until the database is available: a worker may start before its database.
    """
    pause = threading.Event()
    while True:
        try:
            with database.write() as unit:
                worker_id = register_worker(unit.session, registration)
                ended = end_attempts_of_predecessors(unit.session, worker_id, timing=timing)
        except OUTAGE as error:
            log.warning("worker.not_registered", error=first_line(error))
            pause.wait(DATABASE_RETRY_SECONDS)
        else:
            log.info("worker.registered", worker_id=worker_id, slot=registration.slot, ended=ended)
            return worker_id


def end_attempts_of_predecessors(session: Session, worker_id: str, *, timing: Timing) -> list[str]:
    """End every attempt that an earlier incarnation of this slot left running; return the job ids.

    The caller holds the slot's lock, which proves that the process of those attempts is dead.
    """
    mine = (Job.worker_id == worker_id, Job.state == JobState.RUNNING)
    end = AttemptEnd(
        EndReason.WORKER_LOST,
        message="The worker process died; it was started again.",
        restart_backoff=timing.restart_backoff,
    )
    ended = []
    for job_id in session.scalars(select(Job.id).where(*mine).order_by(Job.id)).all():
        job = lock_job(session, Job.id == job_id, *mine)
        if job is not None:
            apply_event(session, job, JobEvent.INTERRUPT, end)
            ended.append(job_id)
    return ended


@contextmanager
def heartbeats(
    database: Database,
    worker_id: str,
    registration: Registration,
    *,
    timing: Timing,
    measure: Callable[[], MeasuredUse | None] = lambda: None,
) -> Iterator[None]:
    """Record the slot's heartbeats while the block runs, then mark the slot as stopped.

    Args:
        database: with the slot's row.
        worker_id: of the slot.
        registration: as it was registered.
        timing: has the interval.
        measure: returns what the slot uses; called before each heartbeat.
    """
    ended, incarnation = threading.Event(), registration.incarnation

    def beat() -> None:
        while not ended.wait(timing.heartbeat_seconds):
            try:
                used = measure()
                with database.write() as unit:
                    if record_heartbeat(unit.session, worker_id, incarnation, used):
                        continue
                    if not remember_worker(unit.session, worker_id, registration):
                        log.error("worker.replaced", worker_id=worker_id)
            except SQLAlchemyError as error:  # of any kind: the next heartbeat may succeed
                log.warning("worker.heartbeat_failed", error=first_line(error))

    thread = threading.Thread(target=beat, name="worker heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timing.heartbeat_seconds)
        try:
            with database.write() as unit:
                mark_stopped(unit.session, worker_id, incarnation)
        except OUTAGE as error:
            log.warning("worker.not_marked_stopped", error=first_line(error))


def host_name() -> str:
    """Return the machine's name and this process's id, so that operators can find the process."""
    return f"{socket.gethostname()} (pid {os.getpid()})"
