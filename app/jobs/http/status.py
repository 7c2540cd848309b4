"""A job's status: its row, why it waits, and the entity tag for polling."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Final

from fastapi import Response
from pydantic_core import to_json

from app.accounts.authentication import Principal
from app.core.context import Context
from app.core.database import UnitOfWork
from app.core.ranges import is_known
from app.fleet.repository import KnownSlot
from app.jobs.changes import JobMark
from app.jobs.errors import JobNotFound
from app.jobs.http.job_views import JobRow, JobSpecView, JobView
from app.jobs.http.waiting import Wait, wait_of, waits_of
from app.jobs.listed import JobStatus, ListedJob, statuses_of
from app.jobs.states import JobState

JSON: Final = "application/json"
SPECS_KEPT: Final = 512
LONGEST_SPEC_KEPT: Final = 32 * 1024
"""Characters of the longest specs whose view is kept, so that all of them need little memory."""

Asked = tuple[Principal, str]
"""A caller, and the id of the job whose status they ask for."""


@dataclass(frozen=True)
class StatusAnswer:
    """A status as bytes. A waiting job's queue position can change while its tag does not."""

    tag: str
    body: bytes
    may_be_unchanged: bool
    mark: JobMark

    def response(self, if_none_match: str | None) -> Response:
        """Return the response to a caller who has the status with this entity tag."""
        headers = {"ETag": self.tag}
        if self.may_be_unchanged and is_known(self.tag, if_none_match):
            return Response(status_code=304, headers=headers)
        return Response(self.body, media_type=JSON, headers=headers)


def read_status(context: Context, principal: Principal, job_id: str) -> StatusAnswer:
    """Read a job's status.

    Raises:
        JobNotFound: no such job is in the caller's projects.
    """
    asked = (principal, job_id)
    with context.database.read() as unit:
        answer = read_statuses(unit, context, [asked]).get(asked)
    if answer is None:
        raise JobNotFound
    return answer


def read_statuses(
    unit: UnitOfWork, context: Context, asked: Collection[Asked]
) -> dict[Asked, StatusAnswer]:
    """Read statuses of jobs that their callers may see; the others have none.

    Two statements for all of them, and those of `waits_of` if any of the jobs waits.
    """
    project_ids = {each for principal, _ in asked for each in principal.project_ids}
    statuses = statuses_of(unit.session, project_ids, {job_id for _, job_id in asked})
    waits = waits_of(unit, context, [status.listed.job for status in statuses.values()])
    return {
        (principal, job_id): _answer(
            status, principal, waits.get(job_id), grace=context.settings.trash_grace
        )
        for principal, job_id in asked
        if (status := statuses.get(job_id)) is not None
        and status.listed.job.project_id in principal.project_ids
    }


def job_status(
    context: Context,
    principal: Principal,
    listed: ListedJob,
    slots: Sequence[KnownSlot] | None = None,
) -> JobView:
    """Return the status of a job that was just written; without `slots` they are read."""
    job = listed.job
    with context.database.read() as unit:
        wait = wait_of(unit, context, job, slots)
    return JobView(
        **JobRow.fields_of(
            listed, principal.project_names, wait, grace=context.settings.trash_grace
        ),
        notes=job.notes,
        resume_epoch=listed.resume_epoch,
        **JobSpecView.fields_of(job.spec, job.resolved_spec, threads=job.threads),
    )


def _answer(
    status: JobStatus, principal: Principal, wait: Wait | None, *, grace: timedelta
) -> StatusAnswer:
    listed = status.listed
    job = listed.job
    row = JobRow.of(listed, principal.project_names, wait, grace=grace).model_dump_json()
    own = to_json({"notes": job.notes, "resume_epoch": listed.resume_epoch}).decode()
    body = f"{row[:-1]},{own[1:-1]},{_spec_view(status)[1:]}"
    return StatusAnswer(
        _entity_tag(listed),
        body.encode(),
        may_be_unchanged=job.state is not JobState.QUEUED,
        mark=JobMark.of(job, listed.progress),
    )


def _spec_view(status: JobStatus) -> str:
    """Return the JSON of a `JobSpecView`. It depends on the arguments only, and takes the most."""
    specs = status.spec, status.resolved_spec
    is_short = sum(map(len, specs)) <= LONGEST_SPEC_KEPT
    view = _kept_spec_view if is_short else _kept_spec_view.__wrapped__
    return view(*specs, status.listed.job.threads)


@lru_cache(SPECS_KEPT)
def _kept_spec_view(spec: str, resolved_spec: str, threads: int | None) -> str:
    loaded = json.loads(spec), json.loads(resolved_spec)
    return JobSpecView(**JobSpecView.fields_of(*loaded, threads=threads)).model_dump_json()


def _entity_tag(listed: ListedJob) -> str:
    progress = listed.progress
    updated_at = progress.updated_at.timestamp() if progress else 0
    job, resume_epoch = listed.job, listed.resume_epoch
    return f'W/"{job.revision}-{job.last_seq}-{job.phase}-{updated_at}-{resume_epoch}"'
