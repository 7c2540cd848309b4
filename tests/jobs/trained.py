"""Rows of a trained job: epochs, checkpoints and states, without any stored bytes."""

import hashlib
from collections.abc import Collection, Sequence
from datetime import timedelta

from sqlalchemy import update

from app.artifacts.names import ArtifactKind
from app.artifacts.repository import insert_artifact
from app.core.database import Database
from app.core.storage import StoredObject
from app.jobs.end_reasons import EndReason
from app.jobs.life.claim import SlotOffer, claim_job
from app.jobs.life.recorded import recorded_of
from app.jobs.life.recording import EpochReport, freeze_threads, log_event, record_epoch
from app.jobs.life.transitions import AttemptEnd, apply_event
from app.jobs.locks import Hold, lock_held
from app.jobs.states import JobEvent
from app.jobs.tables import Attempt, Job

MAP = "metrics/mAP50-95(B)"
RATE = "lr/rest/weight"
SLOT = SlotOffer("wrk_1", ("default",), gpus=0)
FINISHED = (JobEvent.FINISH, EndReason.SUCCEEDED)
FAILED = (JobEvent.FAIL, EndReason.TRAINER_CRASHED)


def digest(job_id: str, name: str, epoch: int) -> str:
    return hashlib.sha256(f"{job_id} {name} {epoch}".encode()).hexdigest()


def train(
    database: Database,
    job_id: str,
    values: Sequence[float],
    *,
    states: Collection[int],
    first: int = 1,
    end: tuple[JobEvent, EndReason] = FINISHED,
) -> None:
    """Claim a waiting job, finish epochs with these values, store some states, and end the job.

    A higher value is better. Each epoch has its own files, and a best.pt if it was the best so far.
    """
    with database.write() as unit:
        job = claim_job(unit.session, SLOT, lease=timedelta(seconds=90), rung_for=job_id)
    assert job is not None
    assert job.id == job_id
    hold = Hold(job_id, job.attempt)
    with database.write() as unit:
        freeze_threads(unit.session, hold, 3)
        log_event(
            unit.session, hold, "trainer.started", data={"optimizer": "AdamW", "lr0": 0.001667}
        )
        own = update(Attempt).where(Attempt.job_id == job_id, Attempt.number == job.attempt)
        unit.session.execute(own.values(first_epoch=first))
    for epoch, value in enumerate(values, first):
        _finish_epoch(database, job, epoch, value, with_state=epoch in states)
    event, reason = end
    with database.write() as unit:
        apply_event(unit.session, lock_held(unit.session, hold), event, AttemptEnd(reason))


def _finish_epoch(
    database: Database, job: Job, epoch: int, value: float, *, with_state: bool
) -> None:
    hold = Hold(job.id, job.attempt)
    with database.write() as unit:
        before = lock_held(unit.session, hold).best_value
        is_best = before is None or value > before
        report = EpochReport(
            epoch=epoch,
            epochs=job.resolved_spec["train"]["epochs"],
            metrics={MAP: value},
            lr={RATE: 1 / epoch},
            duration_seconds=1.0,
            deciding_metric="fitness",
            value=value,
            rank=value,
            is_best=is_best,
        )
        record_epoch(unit.session, hold, report, recorded_of(unit.session, hold))
        names = ["last.pt", "results.csv", *["best.pt"] * is_best, *["state.pt"] * with_state]
        for name in names:
            insert_artifact(
                unit.session,
                job.id,
                StoredObject(digest(job.id, name, epoch), 1),
                attempt=hold.attempt,
                kind=ArtifactKind.CHECKPOINT,
                name=name,
                epoch=epoch,
            )
