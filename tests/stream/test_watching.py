"""Watchers share what is read, see what they may see, and end when they may not watch any more."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.jobs.states import Phase
from app.stream.items import View
from app.stream.messages import ByeReason
from app.stream.repository import LaneRow, RunningRow, SlotRow, StateRows, VerifyingRow
from app.stream.watcher import MAX_WAITING_BYTES, Credential, CredentialKind
from tests.stream.memory import EVERYTHING, KEY, Client, World, a_world, settle

pytestmark = pytest.mark.unit

JOB = RunningRow(
    id="job_1",
    project_id="a",
    queue="default",
    worker_id="wrk_1",
    phase=Phase.TRAINING,
    epoch=31,
    epochs=36,
    batch=9,
    batches=13,
    losses={"box_loss": 2.91},
    eta_seconds=27.0,
    log_bytes=48211,
)
TICK = (
    '{"jobs":{"job_1":{"epoch":31,"epochs":36,"batch":9,"batches":13,"done":0.8526,'
    '"eta_seconds":27.0,"losses":{"box_loss":2.91},"log_bytes":48211}}}'
)
STATE = StateRows(
    [JOB],
    [SlotRow("wrk_1", is_stopped=False, is_recent=True)],
    [LaneRow("a", "default", 4), LaneRow("b", "default", 2)],
    [VerifyingRow("dsv_1", "ds_1", "a", {"step": "images", "done": 0.4})],
)


def in_world(play: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        async with a_world() as world:
            await play(world)

    asyncio.run(run())


def data(client: Client, event: str) -> list[str]:
    return [each["data"] for each in client.messages() if each["event"] == event]


class TestState:
    def test_a_client_that_joins_gets_the_current_state_after_hello(self) -> None:
        async def play(world: World) -> None:
            world.log.current = STATE
            client = await world.client("ab")

            assert client.events() == ["hello", "tick", "fleet", "fleet", "dataset"]
            assert data(client, "tick") == [TICK]
            assert data(client, "fleet") == [
                '{"worker":"wrk_1","state":"live","busy":true,"job":"job_1"}',
                '{"queues":{"default":{"queued":6,"running":1}}}',
            ]
            assert data(client, "dataset") == [
                '{"id":"ds_1","version":"dsv_1","state":"validating","step":"images","done":0.4}'
            ]
            await client.leave()

        in_world(play)

    def test_only_what_changed_is_sent_again(self) -> None:
        async def play(world: World) -> None:
            world.log.current = STATE
            client = await world.client("ab")
            await world.step()
            world.log.current = STATE._replace(running=[JOB._replace(batch=10)])
            await world.step()

            assert client.events()[5:] == ["tick"]
            assert '"batch":10' in data(client, "tick")[-1]
            await client.leave()

        in_world(play)

    def test_the_end_of_a_job_frees_its_slot_and_its_queue(self) -> None:
        async def play(world: World) -> None:
            world.log.current = STATE
            client = await world.client("ab")
            world.log.current = STATE._replace(running=[], lanes=[])
            await world.step()

            assert data(client, "fleet")[2:] == [
                '{"worker":"wrk_1","state":"live","busy":false,"job":null}',
                '{"queues":{"default":{"queued":0,"running":0}}}',
            ]
            await client.leave()

        in_world(play)

    def test_a_slot_that_is_forgotten_has_stopped(self) -> None:
        async def play(world: World) -> None:
            world.log.current = StateRows((), STATE.slots, (), ())
            client = await world.client()
            world.log.current = StateRows((), (), (), ())
            await world.step()

            assert '"state":"stopped"' in data(client, "fleet")[-1]
            await client.leave()

        in_world(play)

    def test_a_client_that_joined_during_an_outage_begins_when_the_database_is_back(self) -> None:
        async def play(world: World) -> None:
            world.log.is_unreachable = True
            world.log.current = STATE
            client = await world.client("ab")
            before = client.text
            world.log.is_unreachable = False
            await world.step()

            assert before == "retry: 1000\n\n"
            assert client.events() == ["hello", "tick", "fleet", "fleet", "dataset"]
            await client.leave()

        in_world(play)


class TestVisibility:
    def test_a_member_of_another_project_learns_only_that_the_slot_is_busy(self) -> None:
        async def play(world: World) -> None:
            world.log.current = STATE
            client = await world.client("b")

            assert client.events() == ["hello", "fleet", "fleet"]
            assert data(client, "fleet") == [
                '{"worker":"wrk_1","state":"live","busy":true,"job":null}',
                '{"queues":{"default":{"queued":2,"running":0}}}',
            ]
            await client.leave()

        in_world(play)

    def test_a_key_without_the_scopes_gets_neither_slots_nor_datasets(self) -> None:
        async def play(world: World) -> None:
            world.log.current = STATE
            client = await world.client("a", scopes=frozenset({"jobs:read"}))

            assert client.events() == ["hello", "tick", "fleet"]
            assert "queues" in data(client, "fleet")[0]
            await client.leave()

        in_world(play)

    def test_the_stream_of_a_job_has_no_other(self) -> None:
        async def play(world: World) -> None:
            world.log.current = STATE._replace(running=[JOB, JOB._replace(id="job_2")])
            client = await world.client("a", job_id="job_2")
            world.log.add(job="job_1")
            world.log.add(job="job_2")
            await world.step()

            assert client.events() == ["hello", "tick", "event"]
            assert "job_1" not in data(client, "tick")[0]
            assert client.ids() == [2]
            await client.leave()

        in_world(play)

    def test_a_member_removed_in_mid_stream_gets_no_more_of_the_project(self) -> None:
        async def play(world: World) -> None:
            client = await world.client("ab")
            world.log.add("b")
            await world.step()
            world.log.access = {KEY: View.of("a", EVERYTHING)}
            await world.step("access")
            world.log.add("b")
            world.log.add("a")
            await world.step()

            assert client.ids() == [1, 3]
            assert not client.has_ended
            await client.leave()

        in_world(play)

    def test_a_member_added_in_mid_stream_gets_the_project(self) -> None:
        async def play(world: World) -> None:
            client = await world.client("a")
            world.log.access = {KEY: View.of("ab", EVERYTHING)}
            await world.step("access")
            world.log.add("b")
            await world.step()

            assert client.ids() == [1]
            await client.leave()

        in_world(play)


class TestEnd:
    @pytest.mark.parametrize(
        ("kind", "reason"),
        [(CredentialKind.KEY, "revoked"), (CredentialKind.SESSION, "signed_out")],
    )
    def test_a_credential_that_ended_ends_its_streams(
        self, kind: CredentialKind, reason: str
    ) -> None:
        async def play(world: World) -> None:
            other = Credential(CredentialKind.KEY, "other")
            client = await world.client(credential=Credential(kind, "ended"))
            stays = await world.client(credential=other)
            world.log.access = {other: View.of("a", EVERYTHING)}
            world.log.add()
            await world.step("access")

            assert data(client, "bye") == [f'{{"reason":"{reason}"}}']
            assert client.ids() == []
            assert client.has_ended
            assert stays.ids() == [1]
            await stays.leave()

        in_world(play)

    def test_the_stream_of_a_job_ends_with_the_access_to_its_project(self) -> None:
        async def play(world: World) -> None:
            client = await world.client("a", job_id="job_1")
            world.log.access = {KEY: View.of("b", EVERYTHING)}
            await world.step("access")

            assert data(client, "bye") == ['{"reason":"revoked"}']
            assert client.has_ended

        in_world(play)

    def test_a_shutdown_ends_every_stream_with_bye(self) -> None:
        async def play(world: World) -> None:
            clients = [await world.client() for _ in range(3)]
            world.hub.end_all(ByeReason.SHUTDOWN)
            await settle()

            assert [data(each, "bye") for each in clients] == [['{"reason":"shutdown"}']] * 3
            assert all(each.has_ended for each in clients)
            assert world.hub.watchers == 0

        in_world(play)

    def test_a_shutdown_ends_streams_that_joined_during_an_outage_of_the_database(self) -> None:
        async def play(world: World) -> None:
            world.log.is_unreachable = True
            client = await world.client()
            world.hub.end_all(ByeReason.SHUTDOWN)
            await settle()

            assert client.events() == ["bye"]
            assert client.has_ended
            assert world.hub.watchers == 0

        in_world(play)

    def test_a_revoked_key_ends_its_stream_that_joined_during_an_outage_of_the_database(
        self,
    ) -> None:
        async def play(world: World) -> None:
            world.log.is_unreachable = True
            client = await world.client()
            await world.step("access")

            assert data(client, "bye") == ['{"reason":"revoked"}']
            assert client.has_ended

        in_world(play)

    def test_a_client_for_which_too_much_waits_is_ended_and_frees_it(self) -> None:
        async def play(world: World) -> None:
            client = await world.client()
            client.may_read.clear()
            for _ in range(12):
                world.log.add(size=MAX_WAITING_BYTES // 8)
                await world.step()

            assert client.watcher is not None
            assert client.watcher.is_over
            assert client.watcher._waiting_bytes == 0
            client.may_read.set()
            await settle()
            assert client.has_ended
            assert client.ids() == [1]

        in_world(play)

    def test_a_client_that_comes_back_continues_where_it_was_ended(self) -> None:
        async def play(world: World) -> None:
            client = await world.client()
            for _ in range(3):
                world.log.add()
                await world.step()
                await client.leave()
                world.log.add()
                await client.connect()

            assert client.ids() == [1, 2, 3, 4, 5, 6]
            await client.leave()

        in_world(play)


class TestPing:
    def test_a_silent_stream_gets_comments(self) -> None:
        async def run() -> None:
            async with a_world() as world:
                client = await world.client()
                world.hub._ping_all()
                await settle()

                assert client.text.endswith(": ping\n\n")
                await client.leave()

        asyncio.run(run())


def test_a_feed_runs_only_while_there_is_a_watcher() -> None:
    async def play(world: World) -> None:
        before = world.hub._feed
        client = await world.client()
        during = world.hub._feed
        await client.leave()

        assert before is None
        assert during is not None
        assert world.hub._feed is None

    in_world(play)
