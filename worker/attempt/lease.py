"""The lease of a held job: its renewal, its loss, and every write under it.

If a COMMIT gets no answer, the write is retried. A random mark in the row tells whether the first
try was committed, so each write happens once. Durations are measured with the monotonic clock; only
the database's clock decides whether a lease is valid.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from secrets import randbits
from typing import Generic, TypeVar

from sqlalchemy.orm import Session

from app.core.database import OUTAGE, Database
from app.core.logging import first_line, get_logger
from app.jobs.life.recording import pending_orders, renew_lease
from app.jobs.locks import AlreadyWritten, Fenced, Hold, mark_write
from app.jobs.states import Request
from app.settings.timing import Timing

Result = TypeVar("Result")

RETRY_SECONDS = 0.5
MARK_BITS = 62
THREAD_END_SECONDS = 5.0

log = get_logger(__name__)


class LeaseLost(Exception):
    """The lease could not be renewed for so long that another worker may soon claim the job."""


class _Once(Generic[Result]):
    """Work with its own mark: after a lost answer it is done again only if not committed."""

    def __init__(self, work: Callable[[Session], Result]) -> None:
        self._work = work
        self._mark = randbits(MARK_BITS)
        self._results: list[Result] = []

    def __call__(self, session: Session) -> Result:
        mark_write(session, self._mark)
        with suppress(AlreadyWritten):
            self._results.append(self._work(session))
        return self._results[-1]


class Lease:
    """A worker's right to one attempt, shared by the threads that serve it.

    It is lost for good when a write finds it fenced, or when `self_fence_seconds` have passed since
    the last successful renewal was *sent*. Then the trainer is killed and all writing stops.
    """

    def __init__(
        self, database: Database, hold: Hold, *, timing: Timing, claimed_at: float
    ) -> None:
        self.hold = hold
        self._database = database
        self._timing = timing
        self._renewed_at = claimed_at
        self._request: Request | None = None
        self._drains = False
        self._asked_at = claimed_at  # the newest question for the request, alone or by a renewal
        self._read_at = claimed_at  # the newest question for all orders
        self._turn = threading.Lock()  # the row has room for the mark of one write
        self._fenced = threading.Event()
        self._ended = threading.Event()
        self._log = log.bind(work="job", job_id=hold.job_id, attempt=hold.attempt)

    @property
    def length(self) -> timedelta:
        """How long a renewal holds, by the database's clock."""
        return self._timing.lease

    @property
    def request(self) -> Request | None:
        """The job's pending request, as last read."""
        return self._request

    @property
    def drains(self) -> bool:
        """Whether the job must continue on another slot, as last read."""
        return self._drains

    @property
    def is_fenced(self) -> bool:
        """Whether another attempt has claimed the job, or the job has ended."""
        return self._fenced.is_set()

    @property
    def is_lost(self) -> bool:
        """Whether the trainer must die at once."""
        return self.is_fenced or self.silent_seconds >= self._timing.self_fence_seconds

    @property
    def silent_seconds(self) -> float:
        """Seconds since the last successful renewal was sent."""
        return time.monotonic() - self._renewed_at

    @contextmanager
    def kept(self) -> Iterator["Lease"]:
        """Renew the lease and read requests, each in its own thread, until the block ends."""
        threads = [
            threading.Thread(target=target, name=f"{name} {self.hold.job_id}", daemon=True)
            for name, target in (("lease", self._keep_renewing), ("requests", self._keep_reading))
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            for thread in threads:
                thread.join(THREAD_END_SECONDS)

    def write(self, work: Callable[[Session], Result]) -> Result:
        """Run `work`, which begins with a guarded update, in one transaction, once.

        Retries while the database is unavailable, until the lease is lost. `work` may be called
        more than once, but its writes are committed once.

        Raises:
            Fenced: the hold is not valid any more.
            LeaseLost: the database was unavailable for too long.
        """
        with self._turn:
            return self.insist(partial(self.write_once, _Once(work)))

    def read(self, work: Callable[[Session], Result]) -> Result:
        """Run `work`, which only reads, in one transaction; retries as `write` does.

        Raises:
            Fenced: the hold is not valid any more.
            LeaseLost: the database was unavailable for too long.
        """
        return self.insist(lambda: self._read_once(work))

    def insist(self, attempt: Callable[[], Result]) -> Result:
        """Call `attempt`, which uses the database, until it succeeds or the lease is lost.

        Raises:
            Fenced: the hold is not valid any more.
            LeaseLost: the database was unavailable for too long.
        """
        while not self.is_lost:
            try:
                return attempt()
            except OUTAGE as error:
                log.warning(
                    "attempt.database_unavailable", job_id=self.hold.job_id, error=first_line(error)
                )
                self._ended.wait(RETRY_SECONDS)
        if self.is_fenced:
            raise Fenced(self.hold)
        raise LeaseLost

    def _read_once(self, work: Callable[[Session], Result]) -> Result:
        with self._database.read() as unit:
            return work(unit.session)

    def write_once(self, work: Callable[[Session], Result]) -> Result:
        """Run `work` in one transaction, without a retry, even if the lease seems lost.

        Raises:
            Fenced: the hold is not valid any more.
            sqlalchemy.exc.SQLAlchemyError: the database is unavailable.
        """
        try:
            with self._database.write() as unit:
                return work(unit.session)
        except Fenced:
            self._fenced.set()
            raise

    def renew_with(self, work: Callable[[Session], Request | None]) -> None:
        """Run `work`, which renews the lease and returns the job's pending request.

        Raises:
            Fenced: the hold is not valid any more.
            sqlalchemy.exc.SQLAlchemyError: the database is unavailable; there is no retry.
        """
        sent_at = time.monotonic()
        self._request, self._asked_at = self.write_once(work), sent_at
        if not self.is_lost:  # a lost lease stays lost: its trainer is already being killed
            self._renewed_at = max(self._renewed_at, sent_at)

    def _keep_renewing(self) -> None:
        due = time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())) and not self.is_lost:
            try:
                self.renew_with(lambda session: renew_lease(session, self.hold, lease=self.length))
                due += self._timing.heartbeat_seconds
            except Fenced:
                self._log.warning("lease.fenced")
            except OUTAGE as error:
                due = time.monotonic() + min(RETRY_SECONDS, self._timing.heartbeat_seconds)
                self._log.warning("lease.not_renewed", error=first_line(error))

    def _keep_reading(self) -> None:
        """Read the orders, except where a renewal has brought the request within an interval.

        A renewal does not tell whether the slot drains: that is read at least every heartbeat.
        """
        while not self._ended.wait(max(0.0, self._read_due_at - time.monotonic())):
            if self.is_lost:
                return
            if time.monotonic() >= self._read_due_at:
                self._asked_at = self._read_at = time.monotonic()
                self._read_orders()

    @property
    def _read_due_at(self) -> float:
        request_due_at = self._asked_at + self._timing.request_poll_seconds
        return min(request_due_at, self._read_at + self._timing.heartbeat_seconds)

    def _read_orders(self) -> None:
        try:
            with self._database.read() as unit:
                orders = pending_orders(unit.session, self.hold)
            self._request, self._drains = orders.request, orders.drains
        except Fenced:
            self._fenced.set()
        except OUTAGE as error:
            log.debug("requests.not_read", job_id=self.hold.job_id, error=first_line(error))
