"""A job that a test holds, and the lease that it is held by."""

import time

from app.core.database import Database
from app.jobs.locks import Hold
from app.settings import Timing
from worker.attempt.lease import Lease

QUICK = Timing(
    lease_seconds=3,
    heartbeat_seconds=0.3,
    self_fence_seconds=2.5,
    request_poll_seconds=0.05,
    restart_backoff_seconds=0.1,
    kill_grace_seconds=0.5,
)

PATIENT = QUICK.model_copy(
    update={"lease_seconds": 30, "heartbeat_seconds": 2, "self_fence_seconds": 25}
)
"""As quick in all but leases: on a busy machine a write can take seconds."""


def a_lease(database: Database, hold: Hold, *, timing: Timing = QUICK) -> Lease:
    """The title to a job that was claimed just now."""
    return Lease(database, hold, timing=timing, claimed_at=time.monotonic())
