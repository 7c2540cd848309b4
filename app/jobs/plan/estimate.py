"""Estimates of a job's duration from past jobs with its architecture, image size and device."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Any, Final

from sqlalchemy import bindparam, func, literal, select
from sqlalchemy.orm import Session

from app.datasets.tables import DatasetVersion
from app.jobs.plan.views import EstimatePlan
from app.jobs.spec.spec_facts import images_used
from app.jobs.states import JobState
from app.jobs.tables import Epoch, Job

JOBS_ASKED: Final = 5
JOBS_LOOKED_AT: Final = 50
"""At most this many of the newest similar jobs are read, whether they succeeded or not."""
DEVICES_ASKED: Final = 3
EPOCHS_MEASURED: Final = 20
"""Only the first epochs of a past job are measured."""

NO_ARCHITECTURE: Final = "The architecture of these weights is not known."
NO_DEVICE: Final = "No slot that can run the job has ever registered, so the device is not known."
NO_JOBS: Final = (
    "No job of yours with this architecture and image size has succeeded on these devices: {}."
)
BY_IMAGES: Final = (
    "Scaled from the epochs of these jobs by the number of images. Batch size, losses and data "
    "loading may differ."
)
BY_TIME: Final = '"time" sets the duration; the number of epochs is re-estimated to fit it.'


@dataclass(frozen=True)
class EpochImages:
    """The images of one epoch, for training and for validation."""

    training: int
    validation: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.training + self.validation


@dataclass(frozen=True)
class AlikeJob:
    """A past job and its seconds per image of an epoch."""

    id: str
    device: str
    image_seconds: float


def images_of_epoch(images: Mapping[str, int], train: Mapping[str, Any]) -> EpochImages:
    """Return the images of one epoch.

    Args:
        images: images of the dataset, by split.
        train: arguments as in the resolved spec. `fraction` is a share up to 1, above it a number.
    """
    training = images_used(train.get("fraction", 1.0), images.get("train", 0))
    return EpochImages(training, images.get(train.get("split", "val"), 0))


# Built once: every submit runs it, and building a statement takes longer than running it.
_NEWEST = (
    select(Job.id)
    .where(
        Job.architecture == bindparam("architecture"),
        Job.imgsz == bindparam("imgsz"),
        Job.device_name == bindparam("device"),
    )
    .order_by(Job.id.desc())
    .limit(JOBS_LOOKED_AT)
    .subquery()
)
_EPOCH_SECONDS = (
    select(func.avg(Epoch.duration_seconds))
    .where(Epoch.job_id == Job.id, Epoch.epoch <= EPOCHS_MEASURED)
    .correlate(Job)
    .scalar_subquery()
)
_ALIKE = (
    select(Job.id, Job.resolved_spec["train"], DatasetVersion.images, _EPOCH_SECONDS)
    .join(_NEWEST, _NEWEST.c.id == Job.id)
    .join(DatasetVersion, DatasetVersion.id == Job.dataset_version_id)
    .where(
        Job.project_id.in_(bindparam("project_ids", expanding=True)),
        Job.trashed_at.is_(None),
        Job.state == literal(JobState.SUCCEEDED, Job.state.type, literal_execute=True),
    )
    .order_by(Job.id.desc())
    .limit(JOBS_ASKED)
)


def alike_jobs(
    session: Session,
    project_ids: Collection[str],
    *,
    architecture: str,
    imgsz: int,
    devices: Iterable[str],
) -> list[AlikeJob]:
    """Return up to five jobs that succeeded on one of the devices, newest first.

    All of them ran on the device of the newest.
    """
    parameters = {"project_ids": list(project_ids), "architecture": architecture, "imgsz": imgsz}
    of_devices = (
        _alike_on(session, device, parameters) for device in sorted(set(devices))[:DEVICES_ASKED]
    )
    return max(of_devices, key=lambda found: found[0].id if found else "", default=[])


def _alike_on(session: Session, device: str, parameters: dict[str, Any]) -> list[AlikeJob]:
    found = []
    for job_id, train, images, seconds in session.execute(_ALIKE, {**parameters, "device": device}):
        done = images_of_epoch(images or {}, train or {}).total
        if seconds is not None and done:
            found.append(AlikeJob(job_id, device, float(seconds) / done))
    return found


def estimate(jobs: Sequence[AlikeJob], images: EpochImages, epochs: int) -> EstimatePlan:
    """Estimate the duration of `epochs` epochs from the median of past jobs; needs at least one."""
    of_epoch = median(job.image_seconds for job in jobs) * images.total
    return EstimatePlan(
        seconds=of_epoch * epochs,
        epoch_seconds=of_epoch,
        device=jobs[0].device,
        jobs=[job.id for job in jobs],
        note=BY_IMAGES,
    )


def no_estimate(note: str) -> EstimatePlan:
    """Return an empty estimate with the reason."""
    return EstimatePlan(seconds=None, epoch_seconds=None, device=None, jobs=[], note=note)


def estimate_by_time(hours: float) -> EstimatePlan:
    """Return the estimate of a job that `train.time` ends."""
    seconds = timedelta(hours=hours).total_seconds()
    return EstimatePlan(seconds=seconds, epoch_seconds=None, device=None, jobs=[], note=BY_TIME)
