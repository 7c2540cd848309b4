"""Weights that a user sends to a project. Nothing here unpickles them; the worker inspects them."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from app.accounts.authentication import Principal
from app.audit.record import record_change
from app.core.context import Context
from app.core.storage import StoredObject, sha256_of
from app.models.bring_in import check_weights, checked_digest, checked_name, checked_task
from app.models.errors import ModelNameTaken, ModelOfInstance, WrongDigest
from app.models.repository import (
    NewWeights,
    bytes_at_hand,
    delete_model,
    insert_model,
    model_in_project,
    replace_refused,
    visible_model,
)
from app.models.tables import Model, ModelSource
from app.quotas.repository import Consumer, Quota, check_room


@dataclass(frozen=True)
class SentWeights:
    """What the request says about the weights, checked.

    Attributes:
        project_id: the project that they are for.
        name: the name for jobs.
        task: the task that they must have; None: any.
        sha256: their digest in lower-case hex.
    """

    project_id: str
    name: str
    task: str | None
    sha256: str

    @classmethod
    def checked(cls, project_id: str, name: str, task: str | None, sha256: str) -> "SentWeights":
        """Return the values if they can be those of weights.

        Raises:
            BadModelName: jobs could not use the name.
            UnknownTask: there is no such task.
            BadDigest: the digest is no SHA-256.
        """
        digest = checked_digest(sha256)
        assert digest is not None  # noqa: S101 -- one was given
        return cls(project_id, checked_name(name), checked_task(name, task), digest)


def add_known(context: Context, principal: Principal, sent: SentWeights) -> Model | None:
    """Add the weights if the project or the instance has their bytes already; else return None.

    Bytes of other projects do not count: a digest alone gives no file away.

    Raises:
        ModelNameTaken: other weights of the project have the name.
        QuotaExceeded: the project or the user has stored too much.
    """
    with context.database.read() as unit:
        size = bytes_at_hand(unit.session, sent.project_id, sent.sha256)
    if size is None:
        return None
    return _added(context, principal, sent, StoredObject(sent.sha256, size))


def check_quota(context: Context, principal: Principal, project_id: str, size_bytes: int) -> None:
    """Check, before the bytes arrive or are stored, that the quotas leave room for them.

    Raises:
        QuotaExceeded: the project or the user has stored too much.
    """
    consumer = Consumer(project_id, principal.user_id)
    with context.database.read() as unit:
        check_room(unit.session, consumer, Quota.STORED_BYTES, more=max(size_bytes, 1))


def add_file(context: Context, principal: Principal, sent: SentWeights, file: Path) -> Model:
    """Store a file that has arrived, and add it as weights that wait for their inspection.

    What will be refused is not stored: the collector leaves such bytes on the disk for a day.

    Raises:
        NotWeights: it is no file as written by `torch.save`.
        WrongDigest: it has another digest than the request names.
        ModelNameTaken: other weights of the project have the name.
        QuotaExceeded: the project or the user has stored too much.
    """
    check_weights(file)
    digest, size_bytes = sha256_of(file)
    if digest != sent.sha256:
        raise WrongDigest(sent.name, expected=sent.sha256, received=digest)
    check_quota(context, principal, sent.project_id, size_bytes)
    return _added(context, principal, sent, context.store.put_file(file))


def remove_model(context: Context, principal: Principal, reference: str) -> None:
    """Remove weights of a project; the caller sent them, or is an admin of the project.

    Raises:
        ModelNotFound: the caller's projects have no such weights.
        ModelOfInstance: they belong to the whole instance.
        InsufficientRole, ProjectArchived: the caller may not remove them.
    """
    with context.database.write() as unit:
        model = visible_model(unit.session, principal.project_ids, reference)
        if model.project_id is None:
            raise ModelOfInstance
        principal.require_owner_or_admin(model.project_id, model.owner_id or "")
        _record(unit.session, principal, "model.deleted", model)
        delete_model(unit.session, model.id)


def _added(
    context: Context, principal: Principal, sent: SentWeights, stored: StoredObject
) -> Model:
    try:
        with context.database.write() as unit:
            return _add(unit.session, principal, sent, stored)
    except ModelNameTaken:  # perhaps by the same request, which was sent twice at once
        with context.database.write() as unit:
            return _add(unit.session, principal, sent, stored)


def _add(session: Session, principal: Principal, sent: SentWeights, stored: StoredObject) -> Model:
    weights = NewWeights(
        sent.name,
        sent.task,
        ModelSource.UPLOAD,
        stored.sha256,
        stored.size_bytes,
        project_id=sent.project_id,
        vouched=True,
        owner_id=principal.user_id,
    )
    present = model_in_project(session, sent.project_id, sent.name)
    if present is not None and (replaced := replace_refused(session, present.id, weights)):
        return replaced
    if present is not None:
        if present.sha256 != stored.sha256:
            raise ModelNameTaken(sent.name)
        return present
    consumer = Consumer(sent.project_id, principal.user_id)
    check_room(session, consumer, Quota.STORED_BYTES, more=max(stored.size_bytes, 1))
    added = insert_model(session, weights)
    _record(session, principal, "model.added", added)
    return added


def _record(session: Session, principal: Principal, action: str, model: Model) -> None:
    record_change(
        session,
        principal.actor(),
        action,
        target=model.id,
        project_id=model.project_id,
        details={"name": model.name, "sha256": model.sha256},
    )
