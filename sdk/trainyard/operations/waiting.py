"""Wait for a job."""

import time
from http import HTTPStatus
from typing import Final

from trainyard.core.connection import Connection, Patience, content_of
from trainyard.core.steps import Operation, Request, Wait
from trainyard.errors import (
    JobFailed,
    ProblemError,
    TooManyRequestsError,
    UnavailableError,
    UnreachableError,
    WaitTimeout,
)
from trainyard.views.base import parsed
from trainyard.views.jobs import JobView

LONGEST_WAIT: Final = 50.0
"""Seconds that one request waits; a proxy may end one after a minute."""
POLL_SECONDS: Final = 2.0
LONG_PATIENCE: Final = 600.0
"""How long somebody who waits for a training bears a server that does not answer."""
LOG_TAIL: Final = 30
UNTIL: Final = frozenset({"ended", "started"})


def wait_for_job(
    connection: Connection, job: str, *, until: str = "ended", timeout: float | None = None
) -> Operation[JobView]:
    """Wait until a job has ended, or has left the queue; return it.

    Args:
        connection: to the server.
        job: its id.
        until: `ended` or `started`.
        timeout: the seconds to wait; None: as long as it takes.

    Raises:
        WaitTimeout: it did not happen in time.
        UnreachableError: the server has not answered for ten minutes.
    """
    if until not in UNTIL:
        raise ValueError(f"`until` is {' or '.join(sorted(UNTIL))}, not {until!r}")
    deadline = None if timeout is None else time.monotonic() + timeout
    patience = Patience(LONG_PATIENCE)
    seconds = 0.0
    while True:
        try:
            view = yield from _asked(connection, job, until, seconds)
        except (UnreachableError, UnavailableError) as error:
            yield from pause(connection, patience, error)
            continue
        except TooManyRequestsError as error:
            yield from pause(connection, patience, error, POLL_SECONDS)
            seconds = 0.0
            continue
        patience.renew()
        if view.has_ended or (until == "started" and view.state != "queued"):
            return view
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise WaitTimeout(f"The job {view.name or job} is {view.state} after {timeout:g} s.")
        seconds = LONGEST_WAIT if left is None else min(LONGEST_WAIT, left)


def _asked(connection: Connection, job: str, until: str, seconds: float) -> Operation[JobView]:
    params = {"wait": max(1, round(seconds)), "until": until} if seconds else {}
    document = yield from connection.json("GET", f"/v1/jobs/{job}", params=params)
    return parsed(JobView, document)


def pause(
    connection: Connection,
    patience: Patience,
    error: UnreachableError | ProblemError,
    at_least: float = 0.0,
) -> Operation[None]:
    """Wait before something is tried again; raise the error when the patience is at its end.

    A server that has never answered is not waited for.
    """
    seconds = patience.next_wait(at_least) if connection.has_answered else None
    if seconds is None:
        raise error
    yield Wait(seconds)


def check_result(connection: Connection, view: JobView) -> Operation[None]:
    """Raise `JobFailed` with the end of the log if a job has failed or was cancelled."""
    if view.state not in {"failed", "cancelled"}:
        return
    tail = ""
    if view.state == "failed":
        request = Request("GET", f"/v1/jobs/{view.id}/logs", params={"tail": LOG_TAIL})
        try:
            answer = yield from connection.send(request)
            tail = str(content_of(answer) or "") if answer.status == HTTPStatus.OK else ""
        except ProblemError:
            tail = ""
    raise JobFailed(view, tail)
