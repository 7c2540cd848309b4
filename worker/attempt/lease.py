"""The lease of a held job: renewed, fenced off by others or by ourselves, and every write under it.

A write whose COMMIT was answered by silence is asked again, and the database tells by its mark
whether it landed: each is done once. Durations are measured with the monotonic clock; only the
database's clock judges the lease.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from secrets import randbits
from typing import Generic, TypeVar

from sqlalchemy.orm import Session

from app.core.database import OUTAGE, Database
from app.core.logging import first_line, get_logger
from app.jobs.life.recording import mark_write, pending_request, renew_lease
from app.jobs.locks import Fenced, Hold
from app.jobs.states import Request
from app.settings import Timing

Result = TypeVar("Result")

RETRY_SECONDS = 0.5
MARK_BITS = 62
THREAD_END_SECONDS = 5.0

log = get_logger(__name__)


class LeaseLost(Exception):
    """The lease could not be renewed for so long that another worker may soon claim the job."""


class _Once(Generic[Result]):
    """Work with a mark of its own: done again after a lost answer only where it did not land."""

    def __init__(self, hold: Hold, work: Callable[[Session], Result]) -> None:
        self._hold = hold
        self._work = work
        self._mark = randbits(MARK_BITS)
        self._results: list[Result] = []

    def __call__(self, session: Session) -> Result:
        if mark_write(session, self._hold, self._mark):
            self._results.append(self._work(session))
        return self._results[-1]


class Lease:
    """A worker's title to one attempt, shared by the threads that serve it.

    It is lost for good once a write found it fenced, or once `self_fence_seconds` have passed
    since the last renewal was *sent*: then the trainer dies and nothing more is written.
    """

    def __init__(
        self, database: Database, hold: Hold, *, timing: Timing, claimed_at: float
    ) -> None:
        self.hold = hold
        self._database = database
        self._timing = timing
        self._renewed_at = claimed_at
        self._request: Request | None = None
        self._turn = threading.Lock()  # the row holds the mark of one write
        self._fenced = threading.Event()
        self._ended = threading.Event()
        self._log = log.bind(work="job", job_id=hold.job_id, attempt=hold.attempt)

    @property
    def length(self) -> timedelta:
        """How long a renewal holds, by the database's clock."""
        return timedelta(seconds=self._timing.lease_seconds)

    @property
    def request(self) -> Request | None:
        """What was last read as requested of the job."""
        return self._request

    @property
    def is_fenced(self) -> bool:
        """Whether the job is another attempt's now, or ended."""
        return self._fenced.is_set()

    @property
    def is_lost(self) -> bool:
        """Whether the trainer must die at once."""
        return self.is_fenced or self.silent_seconds >= self._timing.self_fence_seconds

    @property
    def silent_seconds(self) -> float:
        """Seconds since the last renewal that succeeded was sent."""
        return time.monotonic() - self._renewed_at

    @contextmanager
    def kept(self) -> Iterator["Lease"]:
        """Renew and read requests in threads of their own until the block ends."""
        threads = [
            threading.Thread(target=target, name=f"{name} {self.hold.job_id}", daemon=True)
            for name, target in (("lease", self._renew_on), ("requests", self._read_on))
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
        """Do `work`, which begins with a guarded update, in one transaction, once.

        A database that is away is asked again until the lease is lost. `work` may be called more
        than once, but what it wrote is committed once.

        Raises:
            Fenced: the hold is not valid any more.
            LeaseLost: the database stayed away for too long.
        """
        with self._turn:
            return self.insist(partial(self.write_once, _Once(self.hold, work)))

    def read(self, work: Callable[[Session], Result]) -> Result:
        """Do `work`, which only asks, in one transaction; asked again as in `write`.

        Raises:
            Fenced: the hold is not valid any more.
            LeaseLost: the database stayed away for too long.
        """
        return self.insist(lambda: self._read_once(work))

    def insist(self, attempt: Callable[[], Result]) -> Result:
        """Do what asks the database, again and again while that is away and the lease is not lost.

        Raises:
            Fenced: the hold is not valid any more.
            LeaseLost: the database stayed away for too long.
        """
        while not self.is_lost:
            try:
                return attempt()
            except OUTAGE as error:
                log.warning("database.away", job_id=self.hold.job_id, error=first_line(error))
                self._ended.wait(RETRY_SECONDS)
        if self.is_fenced:
            raise Fenced(self.hold)
        raise LeaseLost

    def _read_once(self, work: Callable[[Session], Result]) -> Result:
        with self._database.read() as unit:
            return work(unit.session)

    def write_once(self, work: Callable[[Session], Result]) -> Result:
        """Do `work` in one transaction, whether or not the lease seems lost.

        Raises:
            Fenced: the hold is not valid any more.
            sqlalchemy.exc.SQLAlchemyError: the database is away.
        """
        try:
            with self._database.write() as unit:
                return work(unit.session)
        except Fenced:
            self._fenced.set()
            raise

    def renew_with(self, work: Callable[[Session], Request | None]) -> None:
        """Do `work`, which renews the lease and returns what is requested.

        Raises:
            Fenced: the hold is not valid any more.
            sqlalchemy.exc.SQLAlchemyError: the database is away; nothing is tried again.
        """
        sent_at = time.monotonic()
        self._request = self.write_once(work)
        if not self.is_lost:  # the trainer of a lease that was lost is being killed already
            self._renewed_at = max(self._renewed_at, sent_at)

    def _renew_on(self) -> None:
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

    def _read_on(self) -> None:
        while not self._ended.wait(self._timing.request_poll_seconds) and not self.is_lost:
            try:
                with self._database.read() as unit:
                    self._request = pending_request(unit.session, self.hold)
            except Fenced:
                self._fenced.set()
            except OUTAGE as error:
                log.debug("requests.not_read", job_id=self.hold.job_id, error=first_line(error))
