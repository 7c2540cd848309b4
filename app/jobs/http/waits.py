"""Requests that wait until a job changes, without a thread of their own.

One thread looks for all waiting requests of this server: after each wake-up, and at least once a
second while a request waits. It reads all jobs that are waited for with one statement.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, Field
from starlette.requests import Request

from app.core.background import Background
from app.core.database import OUTAGE, Database
from app.core.logging import first_line, get_logger
from app.core.wake_ups import LOG, Listener
from app.jobs.changes import JobMark, marks_of
from app.jobs.errors import TooManyWaits
from app.jobs.states import JobState

LONGEST_WAIT_SECONDS: Final = 60
MAX_WAITS: Final = 1000
MAX_WAITS_OF_CALLER: Final = 100
POLL_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = 0.05
"""Shortest time between two looks."""

log = get_logger(__name__)


class WaitTarget(StrEnum):
    """What a request waits for.

    `ended`: the job succeeded, failed or was cancelled. `started`: it is no longer queued.
    `changed`: its status differs from that of If-None-Match, or from that at the request.
    """

    ENDED = "ended"
    STARTED = "started"
    CHANGED = "changed"

    def is_reached(self, now: JobMark | None, *, seen: JobMark) -> bool:
        """Return whether the wait is over; it is, too, if the job is gone."""
        if now is None:
            return True
        match self:
            case WaitTarget.ENDED:
                return now.state.is_ended
            case WaitTarget.STARTED:
                return now.state is not JobState.QUEUED
            case WaitTarget.CHANGED:
                return now != seen


class WaitQuery(BaseModel):
    """How long to wait for a job, and for what."""

    wait: int = Field(
        default=0,
        ge=0,
        le=LONGEST_WAIT_SECONDS,
        description="Longest time to wait, in seconds. 0: answer at once.",
    )
    until: WaitTarget = Field(
        default=WaitTarget.ENDED,
        description="What to wait for. `ended`: the job succeeded, failed or was cancelled. "
        "`started`: it is no longer queued. `changed`: its status differs from that of "
        "If-None-Match, or from that at the request. The answer after the wait is the status at "
        "that time, whether or not the job has got there.",
    )


@dataclass(eq=False)
class _Wait:
    caller: str
    job_id: str
    until: WaitTarget
    seen: JobMark
    over: asyncio.Event = field(default_factory=asyncio.Event)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def end(self) -> None:
        """Let the request continue. Called from any thread."""
        self.loop.call_soon_threadsafe(self.over.set)


class JobWaits(Background):
    """The requests of this server that wait for jobs, and the thread that looks for them.

    Args:
        database: with the jobs.
        listener: is woken when the event log or progress has something new.
        draining: set when the server has started to shut down; then no request waits any longer.
    """

    def __init__(self, database: Database, listener: Listener, draining: threading.Event) -> None:
        super().__init__("job waits")
        self._database = database
        self._listener = listener
        self._draining = draining
        self._waits: set[_Wait] = set()
        self._lock = threading.Lock()
        self._is_needed = threading.Event()

    def __len__(self) -> int:
        """Return how many requests wait now."""
        return len(self._waits)

    async def wait(
        self, request: Request, job_id: str, until: WaitTarget, *, seen: JobMark, seconds: float
    ) -> None:
        """Return once the job has reached `until`, the client has left, or the time is over.

        Args:
            request: of the client that waits.
            job_id: the job, which the caller may see.
            until: what to wait for.
            seen: the mark of the job as the caller knows it; a change since then counts.
            seconds: the longest wait.

        Raises:
            TooManyWaits: the caller or all callers have too many requests that wait.
        """
        caller = request.state.principal.credential
        with self._registered(_Wait(caller, job_id, until, seen)) as wait:
            tasks = [asyncio.create_task(wait.over.wait()), asyncio.create_task(_left(request))]
            try:
                await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    @contextmanager
    def _registered(self, wait: _Wait) -> Iterator[_Wait]:
        with self._lock:
            of_caller = sum(each.caller == wait.caller for each in self._waits)
            if len(self._waits) >= MAX_WAITS or of_caller >= MAX_WAITS_OF_CALLER:
                raise TooManyWaits(MAX_WAITS_OF_CALLER)
            self._waits.add(wait)
        self._is_needed.set()
        if self._draining.is_set() or self._stopping.is_set():
            wait.over.set()
        try:
            yield wait
        finally:
            with self._lock:
                self._waits.discard(wait)

    def _stop(self) -> None:
        super()._stop()
        self._is_needed.set()
        self._listener.wake({LOG})

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._is_needed.wait()
            self._listener.wait(POLL_SECONDS)
            try:
                self._look()
            except OUTAGE as error:
                log.warning("job_waits.database_unavailable", error=first_line(error))
            self._stopping.wait(PAUSE_SECONDS)
        self._end_all()

    def _look(self) -> None:
        if self._draining.is_set():
            self._end_all()
        waits = self._current()
        if not waits:
            return
        with self._database.read() as unit:
            marks = marks_of(unit.session, {wait.job_id for wait in waits})
        for wait in waits:
            if wait.until.is_reached(marks.get(wait.job_id), seen=wait.seen):
                wait.end()

    def _current(self) -> list[_Wait]:
        """Return the requests that wait; without any, the thread sleeps until one comes."""
        with self._lock:
            if not self._waits:
                self._is_needed.clear()
            return [wait for wait in self._waits if not wait.over.is_set()]

    def _end_all(self) -> None:
        with self._lock:
            for wait in self._waits:
                wait.end()


async def _left(request: Request) -> None:
    """Return when the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
