"""Submit a job: check its references, freeze the resolved spec, write all in one transaction."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import JsonValue, ValidationError
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.accounts.authentication import Principal
from app.accounts.tables import MemberRole
from app.artifacts.names import BEST
from app.artifacts.repository import artifact_named
from app.audit.record import record_change
from app.core.context import Context
from app.core.crash_points import CrashPoint, crash_point
from app.core.database import UnitOfWork
from app.core.errors import FieldError, Invalid
from app.core.ids import new_id
from app.core.problems import invalid_fields
from app.core.tasks import Task
from app.datasets.repository import resolve_version, training_labels
from app.datasets.tables import Dataset, DatasetVersion
from app.events.repository import append_event
from app.fleet.repository import KnownSlot
from app.jobs.commands.idempotency import (
    KeyUse,
    again_after_lost_race,
    earlier_job,
    insert_idempotency_key,
)
from app.jobs.commands.plugin_options import resolve_trainer
from app.jobs.errors import JobInTrash, NoWeightsYet, PriorityTooHigh, TaskMismatch
from app.jobs.listed import ListedJob, RelatedFacts
from app.jobs.plan.plan import (
    TrainingData,
    layers_of_model,
    learning_layers,
    plan_of,
    read_capacity,
)
from app.jobs.plan.views import StoredPlan
from app.jobs.repository import (
    insert_job,
    insert_plan,
    job_of,
)
from app.jobs.spec.job_spec import (
    SPEC_VERSION,
    JobSpec,
    ResolvedSpec,
    SpecFacts,
    asked_of,
    resolve_spec,
)
from app.jobs.spec.overriding import overridden
from app.models.repository import ResolvedModel, resolve_model
from app.quotas.repository import Consumer, Quota, check_room, check_within

BOXES_FROM_OUTLINES = frozenset({"segment", "obb"})
"""Tasks whose datasets a detect job can use: Ultralytics derives boxes from the outlines."""


@dataclass(frozen=True)
class Submitted:
    """A job, and whether an earlier request with the same key created it.

    `slots` are those that its plan was made with; None if the job was there before.
    """

    listed: ListedJob
    replayed: bool
    slots: Sequence[KnownSlot] | None = None


@dataclass(frozen=True)
class JobDraft:
    """A job before it is written.

    Args:
        spec: the spec as submitted.
        key_use: the idempotency key of the request.
        parent_id: the job that it was cloned or extended from.
        carried: initial values of columns, taken from the parent.
        event_data: data of its first event, job.submitted.
    """

    spec: JobSpec
    key_use: KeyUse
    parent_id: str | None = None
    carried: Mapping[str, Any] = field(default_factory=dict)
    event_data: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True)
class Resolution:
    """The resolved references of a spec, the resolved spec, the plan, and the slots it is for."""

    project_id: str
    dataset: Dataset
    version: DatasetVersion
    model: ResolvedModel
    spec: ResolvedSpec
    plan: StoredPlan
    slots: Sequence[KnownSlot]


def validate_job(context: Context, principal: Principal, spec: JobSpec) -> Resolution:
    """Resolve and plan a spec with the checks of a submit, without storing anything.

    Raises:
        Invalid, Conflict: as `submit_job`.
    """
    with context.database.read() as unit:
        silent = context.settings.timing.worker_silence
        resolution = resolve(unit.session, principal, spec, silent=silent)
        check_admission(unit.session, context, principal, resolution)
    return resolution


@again_after_lost_race
def submit_job(
    context: Context, principal: Principal, spec: JobSpec, *, idempotency_key: str | None
) -> Submitted:
    """Submit a job, or return the job that an earlier request with the key created.

    Raises:
        IdempotencyKeyReuse: an earlier request used the key with another body.
        ConcurrentRequests: other requests with the key were faster each time.
        Invalid, InsufficientRole, Conflict: as `resolve`.
    """
    draft = JobDraft(spec, KeyUse(idempotency_key, request_digest(spec)))
    earlier = earlier_job(context, principal, draft.key_use)
    if earlier is not None:
        return Submitted(earlier, replayed=True)
    resolution = validate_job(context, principal, spec)
    with context.database.write() as unit:
        listed = write_job(unit, context, principal, draft, resolution)
    return Submitted(listed, replayed=False, slots=resolution.slots)


def check_admission(
    session: Session, context: Context, principal: Principal, resolution: Resolution
) -> None:
    """Check what a job needs besides a good spec: a priority of the role, and room.

    Raises:
        PriorityTooHigh: the priority is above the ceiling of the caller's role.
        QueueFull: the project or the user has too many waiting jobs.
        QuotaExceeded: the project or the user has stored too many bytes.
    """
    check_priority(context, principal, resolution.project_id, resolution.spec.priority)
    consumer = Consumer(resolution.project_id, principal.user_id)
    check_room(session, consumer, Quota.QUEUED_JOBS, Quota.STORED_BYTES)


def check_priority(context: Context, principal: Principal, project_id: str, priority: int) -> None:
    """Check a priority against the ceiling of the caller's role in the project.

    Raises:
        PriorityTooHigh: the priority is above it.
    """
    if principal.is_administrator:
        return
    ceilings = context.settings.quotas
    role = next(it.role for it in principal.projects if it.id == project_id)
    is_admin = role.includes(MemberRole.ADMIN)
    ceiling = ceilings.admin_priority if is_admin else ceilings.member_priority
    if priority > ceiling:
        raise PriorityTooHigh(priority, ceiling, role)


def request_digest(spec: JobSpec) -> str:
    """Return a hash of the fields that were set, to compare two requests with one key."""
    request = json.dumps(spec.model_dump(mode="json", exclude_unset=True), sort_keys=True)
    return hashlib.sha256(request.encode()).hexdigest()


def resolve(
    session: Session, principal: Principal, spec: JobSpec, *, silent: timedelta
) -> Resolution:
    """Check the references of a spec, fill in every open value, and plan the job.

    Args:
        session: session to read with.
        principal: the caller, who sees only their own projects.
        spec: the submitted spec.
        silent: a worker without a heartbeat for longer than this is not live.

    Raises:
        Invalid: a reference does not exist, or model, dataset and task do not fit together.
        InsufficientRole: the caller only reads in the project.
        Conflict: the dataset has no ready version, the job named as the model has no weights, or
            the project is archived.
    """
    project_id = principal.project_id(spec.project, role=MemberRole.MEMBER)
    dataset, version = resolve_version(session, principal.project_ids, spec.dataset)
    model = _resolve_model(session, principal, spec.model)
    task = spec.task or _task_of(model, version)
    _check_fit(task, model, version)
    trainer = resolve_trainer(session, spec.trainer, task, silent=silent)
    chosen = spec.model_copy(update={"trainer": trainer})
    facts = facts_of(version, model, chosen, task)
    try:
        resolved = resolve_spec(chosen, facts)
    except ValidationError as error:
        raise invalid_fields(error.errors(include_input=False)) from None
    _check_split(resolved, version)
    capacity = read_capacity(session, principal.project_ids, resolved, silent=silent)
    changed = overridden(asked_of(chosen, facts), spec.train)
    plan = plan_of(spec, resolved, TrainingData.of(version), capacity, overridden=changed)
    return Resolution(project_id, dataset, version, model, resolved, plan, capacity.slots)


def _resolve_model(session: Session, principal: Principal, reference: str) -> ResolvedModel:
    if not reference.startswith("job_"):
        return resolve_model(session, principal.project_ids, reference)
    job = job_of(session, principal.project_ids, reference)
    if job is None:
        message = "There is no job with this id in your projects."
        raise Invalid(message, errors=[FieldError("/model", "unknown-model", message)])
    if job.trashed_at is not None:
        raise JobInTrash(job.id)
    best = artifact_named(session, job.id, BEST)
    if best is None:
        message = (
            f"Job {job.id} has no best.pt (it is {job.state}). Wait for it or choose another model."
        )
        raise NoWeightsYet(message)
    return ResolvedModel(
        kind="weights",
        name=reference,
        task=job.task,
        sha256=best.sha256,
        architecture=job.architecture,
    )


def _task_of(model: ResolvedModel, version: DatasetVersion) -> Task:
    task: Any = model.task or version.task
    return task  # type: ignore[no-any-return]


def _check_fit(task: Task, model: ResolvedModel, version: DatasetVersion) -> None:
    if model.task != task:
        raise TaskMismatch("/model", f"The model is for {model.task}, the job's task is {task}.")
    boxes_suffice = task == "detect" and version.task in BOXES_FROM_OUTLINES
    if version.task != task and not boxes_suffice:
        raise TaskMismatch(
            "/dataset", f"The dataset is labelled for {version.task}, the job's task is {task}."
        )


def _check_split(spec: ResolvedSpec, version: DatasetVersion) -> None:
    """Refuse to validate on a split that the dataset does not have."""
    images, split = version.images, spec.train.split
    if images is None or images.get(split, 0):
        return
    message = f"The dataset has no images in its split {split}."
    raise Invalid(message, errors=[FieldError("/train/split", "no-such-split", message)])


def facts_of(version: DatasetVersion, model: ResolvedModel, spec: JobSpec, task: Task) -> SpecFacts:
    """Return the facts about dataset and model that decide what the arguments of a spec do."""
    data = TrainingData.of(version)
    known: Any = version.training_facts or {}
    layers = layers_of_model(model.architecture, data, single_cls=spec.train.single_cls)
    return SpecFacts(
        dataset_version=version.id,
        task=task,
        classes=data.classes,
        class_counts=training_labels(version),
        architecture=model.architecture,
        layers_with_parameters=learning_layers(layers),
        images=data.images,
        channels=data.channels,
        keypoints=data.keypoints,
        running_max_objects=known.get("running_max_objects"),
        has_flip_idx=known.get("has_flip_idx"),
        has_masks=known.get("has_masks"),
    )


def write_job(
    unit: UnitOfWork,
    context: Context,
    principal: Principal,
    draft: JobDraft,
    resolution: Resolution,
) -> ListedJob:
    """Write a job, its plan, its first event and its idempotency key; ring after the commit.

    Raises:
        Invalid: the dataset was deleted in the meantime.
        LostRace: another request with the key committed first.
        QueueFull: other requests took the last places.
    """
    tags = resolution.spec.tags
    try:
        job = insert_job(unit.session, _columns(principal, draft, resolution), tags)
    except IntegrityError:
        message = "The dataset was deleted while the job was submitted."
        errors = [FieldError("/dataset", "unknown-dataset", message)]
        raise Invalid(message, errors=errors) from None
    insert_plan(unit.session, job.id, resolution.plan.model_dump(mode="json"))
    data: dict[str, JsonValue] = {**draft.event_data, "actor": {**principal.event_actor}}
    append_event(unit.session, job.id, job.last_seq, "job.submitted", data=data)
    record_change(
        unit.session,
        principal.actor(),
        "job.submitted",
        target=job.id,
        project_id=job.project_id,
        details={"name": job.name, "parent": draft.parent_id},
    )
    insert_idempotency_key(unit.session, principal.user_id, draft.key_use, job_id=job.id)
    event.listen(unit.session, "before_commit", _crash_before_commit)
    consumer = Consumer(resolution.project_id, principal.user_id)
    check_within(unit.session, consumer, Quota.QUEUED_JOBS)
    unit.after_commit(lambda: context.ring(job.id, job.dispatch_seq, job.queue))
    unit.after_commit(lambda: crash_point(CrashPoint.SUBMIT_AFTER_COMMIT))
    return ListedJob(job, None, tags, RelatedFacts(resolution.dataset.name, principal.user_name))


def _crash_before_commit(_session: Session) -> None:
    crash_point(CrashPoint.SUBMIT_BEFORE_COMMIT)


def _columns(principal: Principal, draft: JobDraft, resolution: Resolution) -> dict[str, Any]:
    resolved = resolution.spec
    hours = resolved.timeout_hours
    return {
        "id": new_id("job"),
        "project_id": resolution.project_id,
        "owner_id": principal.user_id,
        "parent_id": draft.parent_id,
        "name": resolved.name or "",
        "notes": resolved.notes,
        "queue": resolved.resources.queue,
        "gpus": resolved.resources.gpus,
        "priority": resolved.priority,
        "max_restarts": resolved.max_restarts,
        "timeout_seconds": None if hours is None else timedelta(hours=hours).total_seconds(),
        "dataset_id": resolution.dataset.id,
        "dataset_version_id": resolution.version.id,
        "model": resolved.model,
        "model_sha256": resolution.model.sha256,
        "task": resolved.task,
        "architecture": resolved.architecture,
        "imgsz": resolved.train.imgsz,
        "trainer": resolved.trainer.name if resolved.trainer else None,
        "spec": draft.spec.model_dump(mode="json", exclude_unset=True),
        "resolved_spec": resolved.model_dump(mode="json"),
        "spec_version": SPEC_VERSION,
        "estimated_seconds": resolution.plan.estimate.seconds,
        **draft.carried,
    }
