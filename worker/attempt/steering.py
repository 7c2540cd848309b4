"""Wait for an attempt's process and pass stop, cancel and pause requests on to it."""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from app.core.guarded_files import FileRefused
from app.core.logging import get_logger
from app.jobs.states import Request
from worker.attempt.claimed import ClaimedAttempt
from worker.attempt.lease import LeaseLost
from worker.processes.process import RunningProcess
from worker.trainer.protocol import NO_STATE_FILE

TICK_SECONDS = 0.1
"""Longest delay before what another thread has learned reaches the process: a request, a lost
lease, a failed relay. The end of the process itself is seen at once."""
CANCEL_GRACE_SECONDS = 1.0
"""The longest grace period after a cancel, which ends a job within two seconds."""

log = get_logger(__name__)


class Watched(Protocol):
    """What the relay knows about a running process."""

    @property
    def has_started(self) -> bool:
        """Whether the process already handles the signal to finish early."""

    @property
    def failure(self) -> Exception | None:
        """The error that ended the relay of its events."""


@dataclass(frozen=True)
class Unwatched:
    """A process that sends no events and cannot finish early."""

    has_started: bool = False
    failure: Exception | None = None


class Steering:
    """Passes requests on to one process, and kills it if it does not leave within its grace period.

    Args:
        attempt: the attempt; its lease, its job's request and its worker are watched.
        watched: what the relay knows about the process.
    """

    def __init__(self, attempt: ClaimedAttempt, watched: Watched) -> None:
        self._attempt = attempt
        self._watched = watched
        self._leave_requested_at: float | None = None
        self._finish_requested = False

    @property
    def leave_requested(self) -> bool:
        """Whether the process was requested to leave, so that its end is no failure."""
        return self._leave_requested_at is not None

    def wait(self, process: RunningProcess) -> int:
        """Return the exit code once the process has ended.

        Raises:
            LeaseLost: the lease is lost; the process is dead.
            Exception: the `failure` of the watched process, which is dead.
        """
        while (exit_code := process.wait(TICK_SECONDS)) is None:
            self._steer(process)
        return exit_code

    def _steer(self, process: RunningProcess) -> None:
        if self._attempt.lease.is_lost:
            process.kill()
            raise LeaseLost
        if self._watched.failure is not None:
            process.kill()
            raise self._watched.failure
        if self._attempt.should_leave:
            self._request_leave_or_kill(process)
        elif self._attempt.lease.request is Request.STOP:
            self._request_finish(process)

    def _request_leave_or_kill(self, process: RunningProcess) -> None:
        if self._leave_requested_at is None:
            self._leave_requested_at = time.monotonic()
            if self._is_cancelled:
                # On a full disk the trainer may write a state in vain.
                with suppress(OSError, FileRefused):
                    self._attempt.directory.run_files.write(NO_STATE_FILE, "")
            process.request_leave()
            log.info("trainer.leave_requested", job_id=self._attempt.job.id)
        elif self._attempt.context.hurrying.is_set() or self._is_grace_over(
            time.monotonic() - self._leave_requested_at
        ):
            process.kill()
            log.info("trainer.killed", job_id=self._attempt.job.id)

    def _is_grace_over(self, seconds: float) -> bool:
        grace = self._attempt.context.settings.timing.kill_grace_seconds
        return seconds >= (min(grace, CANCEL_GRACE_SECONDS) if self._is_cancelled else grace)

    @property
    def _is_cancelled(self) -> bool:
        return self._attempt.lease.request is Request.CANCEL

    def _request_finish(self, process: RunningProcess) -> None:
        if not self._finish_requested and self._watched.has_started:
            self._finish_requested = True
            process.request_finish()
