"""A job that a worker holds, and the rows that the worker writes for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import JsonValue

from app.artifacts.names import ArtifactKind
from app.artifacts.repository import insert_artifact
from app.core.storage import StoredObject
from app.jobs.class_metrics import Columns
from app.jobs.end_reasons import EndReason
from app.jobs.life.claim import SlotOffer, claim_job
from app.jobs.life.log_pieces import append_log, replace_log_pieces
from app.jobs.life.recorded import recorded_of
from app.jobs.life.recording import (
    EpochReport,
    ProgressReport,
    record_epoch,
    record_progress,
    set_phase,
)
from app.jobs.life.transitions import AttemptEnd, apply_event
from app.jobs.locks import Hold, lock_held
from app.jobs.states import JobEvent, Phase
from tests.worlds.server import Api

LEASE = timedelta(seconds=90)


@dataclass(frozen=True)
class Running:
    """A job that a worker holds, with methods that write rows as the worker does."""

    api: Api
    hold: Hold

    @property
    def path(self) -> str:
        return f"/v1/jobs/{self.hold.job_id}"

    def finish_epoch(self, epoch: int, classes: Columns | None = None) -> None:
        report = EpochReport(
            epoch=epoch,
            epochs=3,
            metrics={"train/box_loss": 3.0 / epoch, "metrics/mAP50(B)": None},
            lr={"lr/all/weight": 0.5},
            classes=classes,
            duration_seconds=1.0,
        )
        with self.api.database.write() as unit:
            record_epoch(unit.session, self.hold, report, recorded_of(unit.session, self.hold))

    def show_progress(self, phase: Phase, *, eta_seconds: float | None) -> None:
        report = ProgressReport(2, 3, 4, 5, {"box_loss": 1.5}, eta_seconds)
        with self.api.database.write() as unit:
            record_progress(unit.session, self.hold, report, lease=LEASE)
            set_phase(unit.session, self.hold, phase)

    def log(self, offset: int, chunk: bytes) -> None:
        with self.api.database.write() as unit:
            append_log(unit.session, self.hold, offset=offset, chunk=chunk)

    def store_log(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        stored = self.api.context.store.put_file(path)
        with self.api.database.write() as unit:
            replace_log_pieces(unit.session, self.hold, {self.hold.attempt: stored})

    def add_file(
        self,
        stored: StoredObject,
        *,
        kind: ArtifactKind = ArtifactKind.WEIGHTS,
        checks: Mapping[str, JsonValue] | None = None,
    ) -> None:
        with self.api.database.write() as unit:
            insert_artifact(
                unit.session,
                self.hold.job_id,
                stored,
                attempt=self.hold.attempt,
                kind=kind,
                name="best.pt",
                epoch=1,
                checks=checks,
            )

    def interrupt_and_claim_again(self) -> "Running":
        with self.api.database.write() as unit:
            job = lock_held(unit.session, self.hold)
            end = AttemptEnd(EndReason.WORKER_LOST)
            apply_event(unit.session, job, JobEvent.INTERRUPT, end)
        return claimed(self.api)


def claimed(api: Api) -> Running:
    with api.database.write() as unit:
        job = claim_job(unit.session, SlotOffer("wrk_1", ("default",), gpus=0), lease=LEASE)
    assert job is not None
    return Running(api, Hold(job.id, job.attempt))
