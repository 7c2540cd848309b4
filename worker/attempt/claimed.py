"""One attempt as its phases see it, and the ways in which it can come to an early end."""

import json
from dataclasses import dataclass
from functools import cached_property

from app.jobs.end_reasons import EndReason
from app.jobs.spec.deciding_metric import DecidingMetric, deciding_metric
from app.jobs.spec.job_spec import ResolvedSpec
from app.jobs.states import Request
from app.jobs.tables import Job
from worker.attempt.directory import AttemptDirectory
from worker.attempt.lease import Lease, LeaseLost
from worker.context import WorkerContext


class AttemptFailed(Exception):
    """The attempt cannot go on, for a reason that is known."""

    def __init__(self, reason: EndReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class LeaveRequested(Exception):
    """A request or the worker's own end came while no process was there to be told."""


@dataclass(frozen=True)
class ClaimedAttempt:
    """A claimed job, the title to it, and where it lives on this machine."""

    context: WorkerContext
    job: Job
    lease: Lease
    directory: AttemptDirectory

    @cached_property
    def spec(self) -> ResolvedSpec:
        """What to train, as it was frozen with the job."""
        return ResolvedSpec.model_validate_json(json.dumps(self.job.resolved_spec))

    @property
    def deciding(self) -> DecidingMetric:
        """What decides which epoch is the best."""
        return deciding_metric(self.spec)

    @property
    def should_leave(self) -> bool:
        """Whether the trainer has to leave: the worker ends, or cancel or pause is requested."""
        asked = self.lease.request in {Request.CANCEL, Request.PAUSE}
        return asked or self.context.leaving.is_set()

    def check(self) -> None:
        """Go on only while the attempt is wanted; called between steps that have no process.

        Raises:
            LeaveRequested: see `should_leave`.
            LeaseLost: the lease is lost; whether fenced or silent, the next write tells.
        """
        if self.lease.is_lost:
            raise LeaseLost
        if self.should_leave:
            raise LeaveRequested
