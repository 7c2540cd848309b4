"""Follow a job: its progress and its events, over as many connections as it takes."""

from http import HTTPStatus
from typing import Final

from trainyard.core.connection import Connection, Patience, content_of
from trainyard.core.steps import Broken, Close, Emit, Operation, Receive, Request, Wait
from trainyard.errors import (
    AccessError,
    NotFoundError,
    ProblemError,
    UnreachableError,
)
from trainyard.operations.jobs import read_job
from trainyard.operations.sse import Message, MessageReader
from trainyard.operations.waiting import LONG_PATIENCE, LONGEST_WAIT, POLL_SECONDS, pause
from trainyard.views.base import parsed
from trainyard.views.jobs import JobView
from trainyard.views.stream import JobEvent, Tick

SILENT_SECONDS: Final = 30.0
"""A stream has a comment every 15 seconds; one that is silent for longer is broken."""
ENDS: Final = frozenset({"job.succeeded", "job.failed", "job.cancelled"})
PAGE: Final = 200
STREAMS_TRIED: Final = 2
"""Streams that break before their first message; then the job is polled."""


class Following:
    """Follows one job until it has ended.

    Args:
        connection: to the server.
        job: its id.
        after: `seq` of the last event that is not wanted; 0 begins with the first one.
    """

    def __init__(self, connection: Connection, job: str, after: int = 0) -> None:
        self._connection = connection
        self._job = job
        self._seq = after
        self._position = ""
        self._has_ended = False
        self._silent_streams = 0
        self._patience = Patience(LONG_PATIENCE)

    def items(self) -> Operation[None]:
        """Emit each event once, in order, and how far the job is; return when it has ended."""
        while not self._has_ended:
            if self._silent_streams >= STREAMS_TRIED:
                yield from self._poll()
                return
            try:
                yield from self._stream()
            except (AccessError, NotFoundError):
                raise
            except (UnreachableError, ProblemError) as error:
                self._silent_streams += isinstance(error, ProblemError)
                yield from pause(self._connection, self._patience, error)

    def _stream(self) -> Operation[None]:
        headers = {"Accept": "text/event-stream"}
        if self._position:
            headers["Last-Event-ID"] = self._position
        request = Request(
            "GET",
            f"/v1/jobs/{self._job}/events/stream",
            headers=headers,
            silent_seconds=SILENT_SECONDS,
        )
        yield from self._connection.open(request)
        self._silent_streams += 1
        reader = MessageReader()
        while not self._has_ended:
            try:
                piece: bytes = yield Receive()
            except Broken as error:
                raise UnreachableError(self._connection.url, str(error)) from error
            if not piece:
                yield Wait(1.0)
                return
            for message in reader.feed(piece):
                yield from self._take(message)
        yield Close()

    def _take(self, message: Message) -> Operation[None]:
        self._silent_streams = 0
        self._patience.renew()
        if message.id:
            self._position = message.id
        if message.name == "hello":
            hello = message.json()
            if hello["gap"] or not self._position:
                yield from self._catch_up()
            self._position = hello["after"] if hello["gap"] else self._position or hello["after"]
            yield from self._look()
        elif message.name == "event":
            yield from self._event(parsed(JobEvent, message.json()))
        elif message.name == "tick":
            jobs = message.json()["jobs"]
            if self._job in jobs:
                yield Emit(parsed(Tick, {**jobs[self._job], "job": self._job}))
        elif message.name == "bye" and message.json()["reason"] != "shutdown":
            reason = message.json()["reason"]
            raise AccessError({"detail": f"The server ended the stream: {reason}."}, 401)

    def _event(self, event: JobEvent) -> Operation[None]:
        if event.seq <= self._seq:
            return
        if event.seq > self._seq + 1:
            yield from self._catch_up()
            if event.seq <= self._seq:
                return
        yield from self._emit(event)
        if event.type in ENDS:
            yield from self._look()

    def _emit(self, event: JobEvent) -> Operation[None]:
        self._seq = event.seq
        yield Emit(event)

    def _look(self) -> Operation[JobView]:
        """Read the job; if it has ended, emit what is left."""
        view = yield from read_job(self._connection, self._job)
        if view.has_ended:
            yield from self._catch_up()
            self._has_ended = True
        return view

    def _catch_up(self) -> Operation[None]:
        """Emit the events behind the last one that was emitted."""
        for event in (yield from self._newer()):
            yield from self._emit(event)

    def _newer(self) -> Operation[list[JobEvent]]:
        found: list[JobEvent] = []
        cursor: str | None = None
        while True:
            params = {"order": "newest", "limit": PAGE, "cursor": cursor}
            page = yield from self._connection.json(
                "GET", f"/v1/jobs/{self._job}/events", params=params
            )
            rows = [parsed(JobEvent, {**row, "job": self._job}) for row in page["data"]]
            newer = [event for event in rows if event.seq > self._seq]
            found += newer
            cursor = page.get("next")
            if len(newer) < len(rows) or cursor is None:
                return found[::-1]

    def _poll(self) -> Operation[None]:
        """Ask again and again, where no stream comes through."""
        etag = ""
        while not self._has_ended:
            params = {"wait": round(LONGEST_WAIT), "until": "changed"} if etag else {}
            headers = {"If-None-Match": etag} if etag else {}
            try:
                answer = yield from self._connection.send(
                    Request("GET", f"/v1/jobs/{self._job}", params, headers)
                )
            except (AccessError, NotFoundError):
                raise
            except (UnreachableError, ProblemError) as error:
                yield from pause(self._connection, self._patience, error, POLL_SECONDS)
                continue
            self._patience.renew()
            etag = answer.headers.get("etag", "")
            yield from self._catch_up()
            if answer.status == HTTPStatus.OK:
                yield from self._progress(parsed(JobView, content_of(answer)))
            yield Wait(POLL_SECONDS if not etag else 0.5)

    def _progress(self, view: JobView) -> Operation[None]:
        if view.progress is not None:
            known = view.progress.model_dump(exclude={"started_epoch"})
            yield Emit(parsed(Tick, {**known, "job": self._job}))
        if view.has_ended:
            yield from self._catch_up()
            self._has_ended = True
