"""A training as a worker records it: progress, epochs and the end, written to the database."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from app.jobs.end_reasons import EndReason
from app.jobs.life.recorded import recorded_of
from app.jobs.life.recording import (
    EpochReport,
    ProgressReport,
    note_started,
    record_epoch,
    record_progress,
)
from app.jobs.life.transitions import AttemptEnd, apply_event
from app.jobs.locks import Hold, lock_held
from app.jobs.states import JobEvent
from tests.browser.site import Site
from tests.worlds.rows import claim

HOUR: Final = timedelta(hours=1)
EPOCHS: Final = 9
METRIC: Final = "metrics/F1(B)"


@dataclass(frozen=True)
class Training:
    """A running attempt of a job on a site."""

    site: Site
    hold: Hold

    @property
    def job(self) -> str:
        return self.hold.job_id

    def progress(self, epoch: int, *, batch: int = 4, eta_seconds: float | None = 75) -> None:
        """Report a finished batch of eight."""
        report = ProgressReport(
            epoch=epoch,
            epochs=EPOCHS,
            batch=batch,
            batches=8,
            losses={"box_loss": 1.5},
            eta_seconds=eta_seconds,
        )
        with self.site.database.write() as unit:
            record_progress(unit.session, self.hold, report, lease=HOUR)

    def epoch(self, number: int, value: float | None) -> None:
        """Report a finished epoch, the best one so far; None makes its numbers NaN."""
        report = EpochReport(
            epoch=number,
            epochs=EPOCHS,
            metrics={METRIC: value, "train/box_loss": None if value is None else 2 - value},
            duration_seconds=1.0,
            deciding_metric=METRIC,
            value=value,
            rank=value,
            is_best=value is not None,
        )
        with self.site.database.write() as unit:
            record_epoch(unit.session, self.hold, report, recorded_of(unit.session, self.hold))

    def succeed(self) -> None:
        """End the job."""
        end = AttemptEnd(EndReason.SUCCEEDED, exit_code=0)
        with self.site.database.write() as unit:
            job = lock_held(unit.session, self.hold)
            apply_event(unit.session, job, JobEvent.FINISH, end)


def a_training(site: Site, name: str) -> Training:
    """Submit a job and claim it; its first epoch runs."""
    site.a_job(name=name, priority=100)  # the next one to be claimed
    training = Training(site, claim(site.database, lease_seconds=HOUR.total_seconds()))
    with site.database.write() as unit:
        note_started(unit.session, training.hold, device_name="cpu", first_epoch=1, data={})
    training.progress(1)
    return training
