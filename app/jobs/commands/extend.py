"""Extend a job: a new job that trains an ended one for more epochs.

Everything that it takes over is copied in the transaction that creates it. Afterwards it does not
need its parent. It is planned before that transaction, which checks that the parent is unchanged.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import Field, JsonValue, ValidationError
from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.accounts.authentication import Principal
from app.accounts.tables import MemberRole
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
from app.core.plain_text import shown, shown_lines
from app.core.problems import invalid_fields
from app.datasets.repository import resolve_version
from app.events.repository import newest_event
from app.jobs.commands.idempotency import KeyUse, LostRace, again_after_lost_race, earlier_job
from app.jobs.commands.submit import (
    JobDraft,
    Resolution,
    Submitted,
    check_admission,
    facts_of,
    write_job,
)
from app.jobs.errors import JobInTrash, JobNotEnded, NoTrainingState
from app.jobs.life.recording import best_at, curve_stride
from app.jobs.lineage import epochs_of_line, joint_of, last_epoch_of
from app.jobs.plan.joint import PlannedJoint
from app.jobs.plan.plan import TrainingData, plan_of, read_capacity
from app.jobs.repository import lock_visible_job, visible_job
from app.jobs.spec.base_model import SpecModel
from app.jobs.spec.deciding_metric import DecidingMetric, deciding_metric
from app.jobs.spec.job_spec import (
    JobSpec,
    ResolvedSpec,
    TrainArguments,
    asked_of,
    resolve_again,
)
from app.jobs.spec.overriding import overridden
from app.jobs.spec.text_fields import Name
from app.jobs.tables import Job, Joint
from app.models.repository import ResolvedModel

CHOSEN_BY_AUTO: Final = frozenset({"AdamW", "MuSGD"})
WARMUP_BIAS_LR_OF_AUTO: Final = 0.0
"""The choices of `auto`, and a value it sets with lr0 (Ultralytics 8.4.190, trainer.py:1184)."""


class Extension(SpecModel):
    """The body of an extension. Everything else comes from the parent's spec as submitted."""

    epochs: int = Field(
        ge=1,
        le=100_000,
        description="Epochs of the whole training, including those of the parent.",
        examples=[200],
    )
    name: Name | None = Field(
        default=None,
        description="Shown in lists. Does not have to be unique.",
        examples=["night shift, 200 epochs"],
    )


@dataclass(frozen=True)
class TakenOver:
    """Everything that an extension takes over from its parent's training.

    Args:
        epoch: epoch of the training state, from 1.
        last_epoch: last epoch that the parent finished.
        files: checkpoints of that epoch, by name.
        best: epoch and value of the best epoch up to there; both None without one.
        best_at: what the row of a job has of that epoch; None if its metrics are gone.
        curve: points of the deciding metric up to there, for lists.
        rates: learning rates recorded at the end of `epoch`.
    """

    epoch: int
    last_epoch: int
    files: Mapping[str, Artifact]
    best: tuple[int | None, float | None]
    best_at: Mapping[str, JsonValue] | None
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
    extension: Extension,
    *,
    idempotency_key: str | None,
) -> Submitted:
    """Extend `job_id`, or return the job that an earlier request with the key created.

    Raises:
        JobNotFound: the job is not in the caller's projects.
        JobInTrash: the job is in the trash.
        InsufficientRole: the caller only reads in the project.
        ProjectArchived: the job's project is archived.
        JobNotEnded: the job has not ended.
        NoTrainingState: the job has no training state to continue from.
        Invalid: the job has already finished that many epochs.
        IdempotencyKeyReuse: an earlier request used the key with another body.
        ConcurrentRequests: the parent changed each time while the extension was planned.
    """
    key_use = KeyUse(idempotency_key, _digest(job_id, extension))
    earlier = earlier_job(context, principal, key_use)
    if earlier is not None:
        return Submitted(earlier, replayed=True)
    planned = _plan(context, principal, job_id, extension, key_use)
    with context.database.write() as unit:
        _lock_unchanged_parent(unit.session, principal, planned)
        listed = write_job(unit, context, principal, planned.draft, planned.resolution)
        epoch, (best_epoch, best_value) = planned.taken.epoch, planned.taken.best
        joint = {"epoch": epoch, "best_epoch": best_epoch, "best_value": best_value}
        unit.session.execute(insert(Joint).values(job_id=listed.job.id, **joint))
        copy_checkpoints(unit.session, planned.taken.files.values(), listed.job.id)
    return Submitted(
        replace(listed, resume_epoch=epoch), replayed=False, slots=planned.resolution.slots
    )


def plan_extension(
    context: Context, principal: Principal, job_id: str, extension: Extension
) -> Resolution:
    """Plan an extension with the checks of `extend_job`, without storing anything.

    Raises:
        NotFound, Invalid, Conflict: as `extend_job`.
    """
    without_key = KeyUse(None, _digest(job_id, extension))
    return _plan(context, principal, job_id, extension, without_key).resolution


def _plan(
    context: Context, principal: Principal, job_id: str, extension: Extension, key_use: KeyUse
) -> Planned:
    with context.database.read() as unit:
        parent = visible_job(unit.session, principal.project_ids, job_id)
        principal.require_role(parent.project_id, MemberRole.MEMBER)
        _check_ended(parent)
        deciding = deciding_metric(_resolved_of(parent))
        taken = _taken_over(unit.session, parent, deciding, stride=curve_stride(extension.epochs))
        _check_epochs(extension, taken)
        spec = _spec(parent, extension)
        resolved = _resolved(unit.session, parent, spec)
        resolution = _resolution(unit.session, context, parent, taken, (spec, resolved))
        check_admission(unit.session, context, principal, resolution)
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
            "best_rank": deciding.rank_of(best_value),
            "best_at": taken.best_at,
            "curve": taken.curve,
        },
        event_data={"extends": parent.id, "epoch": taken.epoch},
    )
    return Planned(parent, draft, resolution, taken)


def _lock_unchanged_parent(session: Session, principal: Principal, planned: Planned) -> None:
    """Lock the parent, so that it is not retried and keeps its state until the commit.

    Raises:
        LostRace: the parent trained again after the extension was planned, or lost its state.
        JobNotFound, JobInTrash, JobNotEnded: as in `extend_job`.
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


def _check_epochs(extension: Extension, taken: TakenOver) -> None:
    if extension.epochs > taken.last_epoch:
        return
    message = f"The job has finished {taken.last_epoch} epochs; an extension needs a higher total."
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
    of_best = {files[BEST].epoch} if BEST in files else set()
    # Not all of them: they can be very many.
    needed = {number for number in {epoch, *points, *of_best} if number is not None}
    rows = {row.epoch: row for row in epochs_of_line(session, parent.id, among=needed)}
    values = {number: deciding.value_of(row.metrics) for number, row in rows.items()}
    best_epoch, best_value = _best(session, parent, files, values)
    best = None if best_epoch is None else rows.get(best_epoch)
    return TakenOver(
        epoch=epoch,
        last_epoch=max(epoch, last_epoch_of(session, parent.id)),
        files=files,
        best=(best_epoch, best_value),
        best_at=best_at(best.epoch, deciding.direction, best.metrics) if best else None,
        curve=[values.get(number) for number in points],
        rates=rows[epoch].lr if epoch in rows else {},
    )


def _best(
    session: Session,
    parent: Job,
    files: Mapping[str, Artifact],
    values: Mapping[int, float | None],
) -> tuple[int | None, float | None]:
    """Return the epoch of best.pt and its value of the deciding metric."""
    epoch = files[BEST].epoch if BEST in files else None
    joint = joint_of(session, parent.id)
    if epoch is None or epoch == parent.best_epoch:
        return (epoch, None if epoch is None else parent.best_value)
    if joint is not None and epoch == joint.best_epoch:
        return (epoch, joint.best_value)
    return (epoch, values.get(epoch))


def _spec(parent: Job, extension: Extension) -> JobSpec:
    """Return the parent's spec as submitted, changed by the extension."""
    document: dict[str, Any] = {
        **_with_visible_text(parent.spec),
        "train": parent.spec.get("train", {}) | {"epochs": extension.epochs},
        **extension.model_dump(include={"name"}, exclude_unset=True),
    }
    try:
        return JobSpec.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise invalid_fields(error.errors(include_input=False)) from None


def _with_visible_text(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored spec with the characters escaped that an earlier release accepted."""
    tags = {key: shown(value) for key, value in spec.get("tags", {}).items()}
    texts = {"name": shown(spec.get("name") or ""), "notes": shown_lines(spec.get("notes", ""))}
    return {**spec, **{key: text for key, text in texts.items() if spec.get(key)}, "tags": tags}


def _resolved_of(job: Job) -> ResolvedSpec:
    return ResolvedSpec.model_validate_json(json.dumps(job.resolved_spec))


def _resolved(session: Session, parent: Job, spec: JobSpec) -> ResolvedSpec:
    """Return the parent's resolved spec, including a halved batch, for more epochs."""
    resolved = _resolved_of(parent)
    changes = {"epochs": spec.train.epochs, **_chosen_optimizer(session, parent, resolved.train)}
    train = resolved.train.model_copy(update=changes)
    return resolved.model_copy(update={"name": spec.name, "train": train})


def _chosen_optimizer(session: Session, parent: Job, train: TrainArguments) -> dict[str, object]:
    """Return what `auto` chose for the parent; for more epochs it might choose differently."""
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
    """Resolve the extension. Only capacity is read again; the parent's references are frozen."""
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
    facts = facts_of(version, model, resolved, resolved.task)
    try:
        resolved = resolve_again(resolved, facts)
    except ValidationError as error:
        raise invalid_fields(error.errors(include_input=False)) from None
    changed = overridden(asked_of(spec, facts), spec.train)
    capacity = read_capacity(
        session, project_ids, resolved, silent=context.settings.timing.worker_silence
    )
    joint = PlannedJoint(parent.id, taken.epoch, taken.last_epoch, taken.rates)
    data = TrainingData.of(version)
    plan = plan_of(spec, resolved, data, capacity, joint=joint, overridden=changed)
    return Resolution(parent.project_id, dataset, version, model, resolved, plan, capacity.slots)


def _digest(job_id: str, extension: Extension) -> str:
    fields = extension.model_dump(mode="json", exclude_unset=True)
    return hashlib.sha256(
        json.dumps({"extend": job_id, **fields}, sort_keys=True).encode()
    ).hexdigest()
