"""A thousand watchers cost the database, the broker and the renderer as much as one (A13)."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from app.accounts.key_repository import revoke
from app.accounts.tables import MemberRole
from app.core.database import Database
from app.core.pages import CursorSeal
from app.core.wake_ups import ACCESS, LOG, Listener
from app.events.log import PositionSeal
from app.events.repository import append_event
from app.stream import rendering
from app.stream.feed import Rhythm
from app.stream.following import Follower, Start
from app.stream.hub import Hub
from app.stream.items import View
from app.stream.source import DatabaseSource
from app.stream.watcher import Credential, CredentialKind, Watcher
from tests.counting import counted, statements_to
from tests.stream.memory import EVERYTHING
from tests.worlds.accounts import Person, a_person
from tests.worlds.rows import a_job, some_rows

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

WATCHERS, PEOPLE = 1000, 10
NEVER = Rhythm(poll=900, state=900, access=900, pause=0, again=900)
"""The feed reads only when it is woken."""
IDLE = timedelta(days=1)


@dataclass
class Crowd:
    """A thousand clients of one hub, with the keys of ten people."""

    hub: Hub
    listeners: list[Listener]
    watchers: list[Watcher]
    tasks: list["asyncio.Task[None]"]
    texts: dict[int, bytes] = field(default_factory=dict)

    async def until(self, text: bytes, count: int = WATCHERS) -> None:
        while sum(text in each for each in self.texts.values()) < count:  # noqa: ASYNC110 -- the test's own timeout ends it
            await asyncio.sleep(0.01)


@contextmanager
def a_hub(database: Database) -> Iterator[tuple[Hub, Follower, list[Listener]]]:
    listeners: list[Listener] = []

    def listen() -> Listener:
        listeners.append(Listener())
        return listeners[-1]

    seal = PositionSeal(CursorSeal(b"secret"))
    source = DatabaseSource(database, seal, silent=IDLE, idle=IDLE)
    with Hub(source, listen, rhythm=NEVER) as hub:
        yield hub, Follower(hub, source), listeners


async def a_crowd(hub: Hub, follower: Follower, people: list[Person], project: str) -> Crowd:
    crowd = Crowd(hub, [], [], [])

    async def follow(number: int, watcher: Watcher) -> None:
        async for piece in follower.follow(watcher, Start()):
            crowd.texts[number] = crowd.texts.get(number, b"") + piece

    for number in range(WATCHERS):
        person = people[number % PEOPLE]
        credential = Credential(CredentialKind.KEY, person.public_id)
        watcher = Watcher(credential, View.of({project}, EVERYTHING))
        crowd.watchers.append(watcher)
        crowd.tasks.append(asyncio.create_task(follow(number, watcher)))
    await crowd.until(b"event: hello")
    return crowd


def test_a_thousand_watchers_share_reads_and_renderings(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = some_rows(database)
    job = a_job(database, rows)
    people = [a_person(database, {rows.project_id: MemberRole.VIEWER}) for _ in range(PEOPLE)]

    async def play() -> None:
        with a_hub(database) as (hub, follower, listeners):
            crowd = await a_crowd(hub, follower, people, rows.project_id)
            with database.write() as unit:
                append_event(unit.session, job, 7, "epoch.finished", data={"epoch": 3})

            with (
                statements_to(database) as read,
                counted(monkeypatch, rendering, "format_sse_event") as renderings,
            ):
                listeners[0].wake({LOG})
                await crowd.until(b'"epoch":3')

            assert len(listeners) == 1
            # The first FROM of the second statement, which reads the events, is in its subquery.
            assert read == ["SELECT event_log", "SELECT jobs", "SELECT projects"]
            assert len(renderings) == 1

            with database.write() as unit:
                revoke(unit.session, people[0].key_id)
            with statements_to(database) as read:
                listeners[0].wake({ACCESS})
                await crowd.until(b'{"reason":"revoked"}', WATCHERS // PEOPLE)

            assert read == ["SELECT api_keys"]
            for task in crowd.tasks:
                task.cancel()
            await asyncio.wait(crowd.tasks)
            assert hub.watchers == 0

    asyncio.run(play())
