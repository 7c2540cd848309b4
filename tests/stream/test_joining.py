"""A client that comes, leaves and comes back gets each event once, in order."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stream.memory import Client, World, a_world, settle

pytestmark = pytest.mark.unit

STEPS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from("ab"), st.integers(1, 5)),
    st.tuples(st.just("read"), st.just(""), st.just(0)),
    st.tuples(st.sampled_from(["connect", "leave", "pause"]), st.just(""), st.integers(0, 2)),
)


class TestProperty:
    @settings(max_examples=60)
    @given(steps=st.lists(STEPS, max_size=20), old=st.integers(0, 8))
    def test_each_client_gets_each_event_of_its_projects_once_and_in_order(
        self, steps: list[tuple[str, str, int]], old: int
    ) -> None:
        asyncio.run(play(steps, old))


async def play(steps: list[tuple[str, str, int]], old: int) -> None:
    async with a_world() as world:
        for _ in range(old):
            world.log.add()
        clients = [await world.client(projects, after=0) for projects in ("a", "ab", "b")]
        for what, project, number in steps:
            await take_step(world, clients, what, (project, number))
        for client in clients:
            client.may_read.set()
            if client.has_ended:
                await client.connect()
        await settle()
        while world.hub.position != world.log.newest():
            await world.step()

        for client in clients:
            rows = [row for row in world.log.rows if row.project_id in client.projects]
            assert client.ids() == [row.at.position for row in rows]
            await client.leave()
        assert world.hub.watchers == 0


async def take_step(world: World, clients: list[Client], what: str, how: tuple[str, int]) -> None:
    project, number = how
    if what == "add":
        for _ in range(number):
            world.log.add(project)
    elif what == "read":
        await world.step()
    elif what == "connect":
        await clients[number].leave()
        await clients[number].connect()
    elif what == "leave":
        await clients[number].leave()
    else:
        clients[number].may_read.clear()


class TestHello:
    def test_a_client_without_a_position_begins_at_the_newest_one(self) -> None:
        async def follow() -> None:
            async with a_world() as world:
                world.log.add()
                client = await world.client()
                world.log.add()
                await world.step()

                assert client.text.startswith("retry: 1000\n\nevent: hello\n")
                assert '"after":"1","gap":false' in client.messages()[0]["data"]
                assert client.ids() == [2]
                await client.leave()

        asyncio.run(follow())

    def test_a_client_that_missed_much_is_given_pages(self) -> None:
        async def follow() -> None:
            async with a_world() as world:
                for _ in range(50):
                    world.log.add(size=1000)
                client = await world.client(after=0)

                assert client.ids() == list(range(1, 51))
                assert client.watcher is not None
                assert client.watcher._waiting_bytes == 0
                await client.leave()

        asyncio.run(follow())
