"""A new job that goes on from the training of one that has ended, for more epochs.

All that it takes over is copied in the transaction that makes it: it needs nothing of its parent
afterwards. It is planned before that transaction, which checks that the parent is unchanged.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import Field, ValidationError
from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.accounts.authentication import Principal
from app.artifacts.names import BEST
from app.artifacts.repository import (
    artifact_named,
    copy_checkpoints,
    has_artifacts,
    newest_state_set,
)
from app.artifacts.tables import Artifact
from app.core.context import Context
from app.core.errors import FieldError, Invalid
from app.core.problems import invalid_fields
from app.datasets.repository import resolve_version
from app.events.repository import newest_event
from app.jobs.commands.idempotency import KeyUse, LostRace, again_after_lost_race, earlier_job
from app.jobs.commands.submit import (
    JobDraft,
    Resolution,
    Submitted,
    write_job,
)
from app.jobs.errors import JobInTrash, JobNotEnded, NoTrainingState
from app.jobs.life.recording import curve_stride
from app.jobs.lineage import epochs_of_line, joint_of, last_epoch_of
from app.jobs.plan.joint import PlannedJoint
from app.jobs.plan.plan import TrainingData, plan_of, read_capacity
from app.jobs.repository import lock_visible_job, visible_job
from app.jobs.spec.base_model import SpecModel
from app.jobs.spec.deciding_metric import DecidingMetric, deciding_metric
from app.jobs.spec.job_spec import JobSpec, ResolvedSpec, TrainArguments
from app.jobs.spec.text_fields import Name
from app.jobs.tables import Job, Joint
from app.models.repository import ResolvedModel

CHOSEN_BY_AUTO: Final = frozenset({"AdamW", "MuSGD"})
WARMUP_BIAS_LR_OF_AUTO: Final = 0.0
"""What `auto` chooses from, and sets beside lr0 (Ultralytics 8.4.190, trainer.py:1184)."""


class Extension(SpecModel):
    """What is asked of an extension; what is left out is as the parent's spec was sent."""

    epochs: int = Field(
        ge=1, le=100_000, description="Of the whole training, the parent's epochs included."
    )
    name: Name | None = Field(default=None, description="Shown in lists; need not be unique.")


@dataclass(frozen=True)
class TakenOver:
    """What an extension takes over of its parent's training.

    Args:
        epoch: of the training state, from 1.
        last_epoch: that the parent finished.
        files: checkpoints of that epoch, by name.
        best: epoch and value of the best by then; both None where there was none.
        curve: points of the deciding metric until then, for lists.
        rates: as recorded at the end of `epoch`.
    """

    epoch: int
    last_epoch: int
    files: Mapping[str, Artifact]
    best: tuple[int | None, float | None]
    curve: list[float | None]
    rates: Mapping[str, float | None]


@dataclass(frozen=True)
class Planned:
    """An extension before it is written."""

    parent: Job
    draft: JobDraft
    resolution: Resolution
    taken: TakenOver


@again_after_lost_race
def extend_job(
    context: Context,
    principal: Principal,
    job_id: str,
    asked: Extension,
    *,
    idempotency_key: str | None,
) -> Submitted:
    """Make a job that goes on from `job_id`, or return the one that the same key made before.

    Raises:
        JobNotFound: there is no such job in the caller's projects.
        JobInTrash: it is about to be deleted.
        JobNotEnded: it may still train.
        NoTrainingState: there is nothing that another job could go on from.
        Invalid: so many epochs lie behind already.
        IdempotencyKeyReuse: the key came with another body before.
        ConcurrentRequests: the parent changed each time while the extension was planned.
    """
    key_use = KeyUse(idempotency_key, _digest(job_id, asked))
    earlier = earlier_job(context, principal, key_use)
    if earlier is not None:
        return Submitted(earlier, replayed=True)
    planned = _plan(context, principal, job_id, asked, key_use)
    with context.database.write() as unit:
        _lock_unchanged_parent(unit.session, principal, planned)
        listed = write_job(unit, context, principal, planned.draft, planned.resolution)
        epoch, (best_epoch, best_value) = planned.taken.epoch, planned.taken.best
        joint = {"epoch": epoch, "best_epoch": best_epoch, "best_value": best_value}
        unit.session.execute(insert(Joint).values(job_id=listed.job.id, **joint))
        copy_checkpoints(unit.session, planned.taken.files.values(), listed.job.id)
    return Submitted(listed, replayed=False)


def plan_extension(
    context: Context, principal: Principal, job_id: str, asked: Extension
) -> Resolution:
    """Return what extending a job would make, with the same refusals; store nothing.

    Raises:
        NotFound, Invalid, Conflict: as `extend_job`.
    """
    without_key = KeyUse(None, _digest(job_id, asked))
    return _plan(context, principal, job_id, asked, without_key).resolution


def _plan(
    context: Context, principal: Principal, job_id: str, asked: Extension, key_use: KeyUse
) -> Planned:
    with context.database.read() as unit:
        parent = visible_job(unit.session, principal.project_ids, job_id)
        _check_ended(parent)
        deciding = deciding_metric(_resolved_of(parent))
        taken = _taken_over(unit.session, parent, deciding, stride=curve_stride(asked.epochs))
        _check_epochs(asked, taken)
        spec = _spec(parent, asked)
        resolved = _resolved(unit.session, parent, spec)
        resolution = _resolution(unit.session, context, parent, taken, (spec, resolved))
    best_epoch, best_value = taken.best
    draft = JobDraft(
        spec,
        key_use,
        parent_id=parent.id,
        carried={
            "threads": parent.threads,
            "best_epoch": best_epoch,
            "best_metric": None if best_epoch is None else parent.best_metric or deciding.name,
            "best_value": best_value,
            "curve": taken.curve,
        },
        event_data={"extends": parent.id, "epoch": taken.epoch},
    )
    return Planned(parent, draft, resolution, taken)


def _lock_unchanged_parent(session: Session, principal: Principal, planned: Planned) -> None:
    """Lock the parent, so that it is neither retried nor loses its state before the commit.

    Raises:
        LostRace: it trained again since the extension was planned, or lost its training state.
        JobNotFound, JobInTrash, JobNotEnded: as when it is planned.
    """
    parent = lock_visible_job(session, principal.project_ids, planned.parent.id)
    _check_ended(parent)
    files = [row.id for row in planned.taken.files.values()]
    if parent.attempt != planned.parent.attempt or not has_artifacts(session, files):
        raise LostRace(parent.id)


def _check_ended(parent: Job) -> None:
    if parent.trashed_at is not None:
        raise JobInTrash(parent.id)
    if not parent.state.is_ended:
        raise JobNotEnded(parent.id, parent.state)


def _check_epochs(asked: Extension, taken: TakenOver) -> None:
    if asked.epochs > taken.last_epoch:
        return
    message = (
        f"The job has finished {taken.last_epoch} epochs: an extension has more of them in all."
    )
    raise Invalid(message, errors=[FieldError("/epochs", "not_above_finished", message)])


def _taken_over(
    session: Session, parent: Job, deciding: DecidingMetric, *, stride: int
) -> TakenOver:
    found = newest_state_set(session, parent.id)
    if found is None:
        has_best = artifact_named(session, parent.id, BEST) is not None
        raise NoTrainingState(parent.id, has_best=has_best)
    epoch, files = found
    points = range(stride, epoch + 1, stride)
    best = {files[BEST].epoch} if BEST in files else set()
    # Not all of them: they can be very many.
    needed = {number for number in {epoch, *points, *best} if number is not None}
    rows = {row.epoch: row for row in epochs_of_line(session, parent.id, among=needed)}
    values = {number: deciding.value_of(row.metrics) for number, row in rows.items()}
    return TakenOver(
        epoch=epoch,
        last_epoch=max(epoch, last_epoch_of(session, parent.id)),
        files=files,
        best=_best(session, parent, files, values),
        curve=[values.get(number) for number in points],
        rates=rows[epoch].lr if epoch in rows else {},
    )


def _best(
    session: Session,
    parent: Job,
    files: Mapping[str, Artifact],
    values: Mapping[int, float | None],
) -> tuple[int | None, float | None]:
    """The epoch that best.pt is of, and what made it the best."""
    epoch = files[BEST].epoch if BEST in files else None
    joint = joint_of(session, parent.id)
    if epoch is None or epoch == parent.best_epoch:
        return (epoch, None if epoch is None else parent.best_value)
    if joint is not None and epoch == joint.best_epoch:
        return (epoch, joint.best_value)
    return (epoch, values.get(epoch))


def _spec(parent: Job, asked: Extension) -> JobSpec:
    """The parent's spec as it was sent, with what is asked of the extension."""
    document: dict[str, Any] = {
        **parent.spec,
        "train": parent.spec.get("train", {}) | {"epochs": asked.epochs},
        **asked.model_dump(include={"name"}, exclude_unset=True),
    }
    try:
        return JobSpec.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise invalid_fields(error.errors(include_input=False)) from None


def _resolved_of(job: Job) -> ResolvedSpec:
    return ResolvedSpec.model_validate_json(json.dumps(job.resolved_spec))


def _resolved(session: Session, parent: Job, spec: JobSpec) -> ResolvedSpec:
    """The parent's spec as it ran, halved batch included, for more epochs."""
    resolved = _resolved_of(parent)
    changes = {"epochs": spec.train.epochs, **_chosen_optimizer(session, parent, resolved.train)}
    train = resolved.train.model_copy(update=changes)
    return resolved.model_copy(update={"name": spec.name, "train": train})


def _chosen_optimizer(session: Session, parent: Job, train: TrainArguments) -> dict[str, object]:
    """State what `auto` chose for the parent: for more epochs it might choose another."""
    started = newest_event(session, parent.id, "trainer.started")
    if train.optimizer != "auto" or started is None:
        return {}
    name, rate = started.data.get("optimizer"), started.data.get("lr0")
    if name not in CHOSEN_BY_AUTO or rate is None:
        return {}
    return {"optimizer": name, "lr0": rate, "warmup_bias_lr": WARMUP_BIAS_LR_OF_AUTO}


def _resolution(
    session: Session,
    context: Context,
    parent: Job,
    taken: TakenOver,
    specs: tuple[JobSpec, ResolvedSpec],
) -> Resolution:
    """Nothing is looked up anew but who could run it: what the parent was made of is frozen."""
    spec, resolved = specs
    project_ids = frozenset({parent.project_id})
    dataset, version = resolve_version(session, project_ids, parent.dataset_version_id)
    model = ResolvedModel(
        kind="architecture" if parent.model_sha256 is None else "weights",
        name=parent.model,
        task=parent.task,
        sha256=parent.model_sha256,
        architecture=parent.architecture,
    )
    capacity = read_capacity(
        session, project_ids, resolved, silent=context.settings.timing.worker_silence
    )
    joint = PlannedJoint(parent.id, taken.epoch, taken.last_epoch, taken.rates)
    plan = plan_of(spec, resolved, TrainingData.of(version), capacity, joint=joint)
    return Resolution(parent.project_id, dataset, version, model, resolved, plan)


def _digest(job_id: str, asked: Extension) -> str:
    wish = asked.model_dump(mode="json", exclude_unset=True)
    return hashlib.sha256(
        json.dumps({"extend": job_id, **wish}, sort_keys=True).encode()
    ).hexdigest()
