"""A log in memory, and a feed that reads when a test lets it: the hub without time and database."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from threading import Event

import pytest
from sqlalchemy.exc import OperationalError

from app.events.log import LogPosition
from app.stream import hub as hub_module
from app.stream.feed import Feed, Rhythm
from app.stream.following import Follower, Start
from app.stream.hub import Hub
from app.stream.items import LogItem, View
from app.stream.rendering import rendered
from app.stream.repository import StateRows
from app.stream.source import Rows
from app.stream.watcher import Credential, CredentialKind, Watcher

EVERYTHING = frozenset({"jobs:read", "datasets:read", "workers:read"})
MESSAGE = re.compile(r"event: (?P<event>\w+)\ndata: (?P<data>.*)\n(?:id: (?P<id>.*)\n)?\n")
KEY = Credential(CredentialKind.KEY, "k")


@dataclass
class MemoryLog:
    """The rows of projects in order, what is current, and which credentials are valid."""

    page: int = 3
    rows: list[LogItem] = field(default_factory=list)
    current: StateRows = field(default_factory=lambda: StateRows((), (), (), ()))
    access: dict[Credential, View] = field(default_factory=dict)
    reads: int = 0
    is_unreachable: bool = False

    def add(self, project: str = "a", job: str = "job_1", size: int = 0) -> LogItem:
        at = LogPosition(0, len(self.rows) + 1)
        data = rendered("event", f'"{"x" * size}"', id_=self.seal(at))
        self.rows.append(LogItem(at, project, "jobs:read", job, data))
        return self.rows[-1]

    def newest(self) -> LogPosition:
        if self.is_unreachable:
            raise OperationalError("SELECT", {}, Exception("connection refused"))
        return self.rows[-1].at if self.rows else LogPosition(0, 0)

    def rows_after(self, after: LogPosition) -> Rows:
        self.reads += 1
        return self._rows(after, lambda _: True)

    def page_after(self, after: LogPosition, view: View) -> Rows:
        return self._rows(after, lambda row: row.project_id in view.projects)

    def _rows(self, after: LogPosition, wanted: Callable[[LogItem], bool]) -> Rows:
        newest = self.newest()
        found = [row for row in self.rows if after < row.at <= newest and wanted(row)]
        kept = tuple(found[: self.page])
        sealed_to = kept[-1].at if len(kept) == self.page else max(newest, after)
        return Rows(kept, sealed_to, has_more=sealed_to < newest)

    def state(self) -> StateRows:
        return self.current

    def access_of(self, credentials: Collection[Credential]) -> Mapping[Credential, View]:
        return {each: self.access[each] for each in credentials if each in self.access}

    def seal(self, at: LogPosition) -> str:
        return str(at.position)


class NoWakeUps:
    """A listener that hears nothing and waits for no time."""

    def wait(self, seconds: float) -> frozenset[str]:
        Event().wait(seconds)
        return frozenset()

    def wake(self, topics: Iterable[str]) -> None:
        pass


class SteppedFeed(Feed):
    """A feed without a thread: it reads when it is told to."""

    def start(self) -> None:
        self.read()

    def read(self, *topics: str) -> None:
        self._log_due = self._state_due = 0.0
        self._read(frozenset(topics))

    @property
    def is_alive(self) -> bool:
        return False

    def join(self) -> None:
        pass


@dataclass
class World:
    """A hub on a log in memory, and its clients."""

    log: MemoryLog
    hub: Hub
    follower: Follower

    async def step(self, *topics: str) -> None:
        """Let the feed read, and let everything react to that."""
        feed = self.hub._feed
        if isinstance(feed, SteppedFeed):
            feed.read(*topics)
        await settle()

    async def client(self, projects: Collection[str] = "a", **more: object) -> "Client":
        client = Client(self.follower, frozenset(projects), **more)  # type: ignore[arg-type] # fields of the client
        await client.connect()
        return client


@dataclass
class Client:
    """A client that keeps what it received, over all its connections."""

    follower: Follower
    projects: frozenset[str]
    scopes: frozenset[str] = EVERYTHING
    credential: Credential = KEY
    job_id: str | None = None
    after: int | None = None
    text: str = ""
    watcher: Watcher | None = None
    task: "asyncio.Task[None] | None" = None
    may_read: asyncio.Event = field(default_factory=asyncio.Event)

    async def connect(self) -> None:
        """Connect with the newest id that was received."""
        view = View.of(self.projects, self.scopes, self.job_id)
        self.watcher = Watcher(self.credential, view, project_id="a" if self.job_id else None)
        ids = [found["id"] for found in self.messages() if found["id"]]
        last = int(ids[-1]) if ids else self.after
        start = Start() if last is None else Start(LogPosition(0, last))
        self.may_read.set()
        self.task = asyncio.create_task(self._read(self.watcher, start))
        await settle()

    async def leave(self) -> None:
        """Leave, wherever the stream is."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])

    async def _read(self, watcher: Watcher, start: Start) -> None:
        pieces = self.follower.follow(watcher, start)
        try:
            async for piece in pieces:
                self.text += piece.decode()
                await self.may_read.wait()
        finally:
            await pieces.aclose()

    def messages(self) -> list[dict[str, str]]:
        return [found.groupdict() for found in MESSAGE.finditer(self.text)]

    def events(self) -> list[str]:
        return [each["event"] for each in self.messages()]

    def ids(self) -> list[int]:
        return [int(each["id"]) for each in self.messages() if each["event"] == "event"]

    @property
    def has_ended(self) -> bool:
        return self.task is not None and self.task.done()


class ReadsInLoop:
    """Reads in the event loop instead of threads, with a turn of everything else around a read."""

    async def answer(self, _key: object, read: Callable[[], Rows]) -> Rows:
        await asyncio.sleep(0)
        rows = read()
        await asyncio.sleep(0)
        return rows


async def settle() -> None:
    """Let every task run until it waits for a message."""
    loop = asyncio.get_running_loop()
    while loop._ready:  # type: ignore[attr-defined] # noqa: ASYNC110 -- it has no event for that
        await asyncio.sleep(0)


@asynccontextmanager
async def a_world(page: int = 3, ping_seconds: float = 900.0) -> AsyncIterator[World]:
    log = MemoryLog(page)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub_module, "Feed", SteppedFeed)
        rhythm = Rhythm(failure=0.0)
        with Hub(log, NoWakeUps, rhythm=rhythm, ping_seconds=ping_seconds) as hub:
            follower = Follower(hub, log)
            follower._reads = ReadsInLoop()  # type: ignore[assignment] # without threads
            yield World(log, hub, follower)
