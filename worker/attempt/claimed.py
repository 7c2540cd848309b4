"""One attempt as its phases see it, and the exceptions that end it early."""

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
    """The attempt cannot continue, for a known reason."""

    def __init__(self, reason: EndReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class LeaveRequested(Exception):
    """The attempt ends early: cancel or pause is requested, or the slot drains."""


@dataclass(frozen=True)
class ClaimedAttempt:
    """A claimed job, its lease, and its directory on this machine."""

    context: WorkerContext
    job: Job
    lease: Lease
    directory: AttemptDirectory

    @cached_property
    def spec(self) -> ResolvedSpec:
        """The resolved spec, as it was frozen with the job."""
        return ResolvedSpec.model_validate_json(json.dumps(self.job.resolved_spec))

    @property
    def deciding(self) -> DecidingMetric:
        """The metric that decides which epoch is the best."""
        return deciding_metric(self.spec)

    @property
    def should_leave(self) -> bool:
        """Whether the attempt must end: the slot drains, or cancel or pause is requested."""
        return self.drains or self.lease.request in {Request.CANCEL, Request.PAUSE}

    @property
    def drains(self) -> bool:
        """Whether the job must continue elsewhere: the worker is leaving, or its slot drains."""
        return self.context.leaving.is_set() or self.lease.drains

    @property
    def memory_limit_bytes(self) -> int | None:
        """The limit of the address space of a trainer; None for none."""
        # CUDA reserves more address space than there is memory: with a limit it could not start.
        on_cpu = not self.context.slot.gpus
        return self.context.settings.worker.memory_limit_bytes if on_cpu else None

    def check(self) -> None:
        """Check that the attempt may continue; called between steps that run no process.

        Raises:
            LeaveRequested: see `should_leave`.
            LeaseLost: the lease is lost; the next write tells whether it is fenced.
        """
        if self.lease.is_lost:
            raise LeaseLost
        if self.should_leave:
            raise LeaveRequested
