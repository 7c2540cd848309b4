"""Clone a job: a new job from its spec as submitted, with a merge patch (RFC 7396)."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app.accounts.authentication import Principal
from app.core.context import Context
from app.core.problems import invalid_fields
from app.core.strict_json import InvalidJson
from app.jobs.commands.idempotency import KeyUse, again_after_lost_race, earlier_job
from app.jobs.commands.submit import JobDraft, Submitted, validate_job, write_job
from app.jobs.errors import JobInTrash, NothingToAmend
from app.jobs.life.transitions import facts_of
from app.jobs.repository import visible_job
from app.jobs.spec.job_spec import JobSpec
from app.jobs.states import JobState

AMENDED: Final = "amended"
"""The member of the body that is no field of a spec: whether to apply the error's merge patch."""


@again_after_lost_race
def clone_job(
    context: Context,
    principal: Principal,
    job_id: str,
    changes: Mapping[str, Any],
    *,
    idempotency_key: str | None,
) -> Submitted:
    """Submit a clone of `job_id`, or return the job that an earlier request with the key created.

    Raises:
        JobNotFound: the job is not in the caller's projects.
        JobInTrash: the job is in the trash.
        NothingToAmend: the changes have `amended`, and no change is known that avoids a failure.
        Invalid, Conflict: as `submit_job`; pointers refer to the merged spec.
    """
    key_use = KeyUse(idempotency_key, _digest(job_id, changes))
    earlier = earlier_job(context, principal, key_use)
    if earlier is not None:
        return Submitted(earlier, replayed=True)
    spec = _changed_spec(context, principal, job_id, changes)
    draft = JobDraft(spec, key_use, parent_id=job_id)
    resolution = validate_job(context, principal, spec)
    with context.database.write() as unit:
        listed = write_job(unit, context, principal, draft, resolution)
    return Submitted(listed, replayed=False, slots=resolution.slots)


def merge_patch(document: object, patch: object) -> object:
    """Return the document with the patch applied (RFC 7396, section 2)."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(document) if isinstance(document, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def _digest(job_id: str, changes: Mapping[str, Any]) -> str:
    try:
        request = json.dumps({"clone": job_id, "changes": changes}, sort_keys=True)
    except RecursionError:
        raise InvalidJson("The body is nested too deeply.") from None
    return hashlib.sha256(request.encode()).hexdigest()


def _changed_spec(
    context: Context, principal: Principal, job_id: str, changes: Mapping[str, Any]
) -> JobSpec:
    """Return the spec of the clone. The fields of the body are judged before the parent's error."""
    is_amended = changes.get(AMENDED)
    own = {name: value for name, value in changes.items() if name != AMENDED}
    amendment: Mapping[str, Any] | None = {}
    refusal: NothingToAmend | None = None
    with context.database.read() as unit:
        parent = visible_job(unit.session, principal.project_ids, job_id)
        if parent.trashed_at is not None:
            raise JobInTrash(job_id)
        if is_amended is True:
            amendment = parent.error_amended if parent.state is JobState.FAILED else None
            refusal = NothingToAmend(facts_of(unit.session, parent)) if amendment is None else None
    spec = _validated(merge_patch(parent.spec, amendment or {}), own, _refusals_of(is_amended))
    if refusal is not None:
        raise refusal
    return spec


def _refusals_of(is_amended: object) -> list[ErrorDetails]:
    if is_amended is None or isinstance(is_amended, bool):
        return []
    message = "Give true to apply the error's `amended`, or leave it out."
    return [ErrorDetails(type="bool_type", loc=(AMENDED,), msg=message, input=None)]


def _validated(spec: object, own: Mapping[str, Any], refused: list[ErrorDetails]) -> JobSpec:
    try:
        changed = JobSpec.model_validate(merge_patch(spec, own))
    except RecursionError:
        raise InvalidJson("The body is nested too deeply.") from None
    except ValidationError as error:
        raise invalid_fields([*error.errors(include_input=False), *refused]) from None
    if refused:
        raise invalid_fields(refused)
    return changed
