"""Uploads arrive byte-equal, wherever connections break and however requests overlap."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, Event

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from app.uploads.body import pieces
from app.uploads.chunks import ChunkWriter
from app.uploads.errors import IncompleteUpload
from tests.api.refusals import assert_refused
from tests.api.uploads.tus import (
    MIB,
    TUS,
    break_off,
    checksum,
    create,
    offset_of,
    patch,
    spooled,
    stored_bytes,
)
from tests.waiting import eventually
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

CONTENT = os.urandom(3000)
STEP = st.tuples(st.integers(1, len(CONTENT)), st.sampled_from(["whole", "broken", "checked"]))


def send_in_steps(api: Api, steps: list[tuple[int, str]]) -> None:
    """Send pieces of these lengths, some over a connection that breaks; then send the rest."""
    path = create(api, len(CONTENT))

    for length, how in steps:
        offset = offset_of(api, path)
        piece = CONTENT[offset : offset + length]
        if how == "broken":
            break_off(api, path, offset, piece)
        elif piece:
            named = {"Upload_Checksum": checksum("sha1", piece)} if how == "checked" else {}
            assert patch(api, path, offset, piece, **named).status_code == 204
    offset = offset_of(api, path)
    patch(api, path, offset, CONTENT[offset:])

    view = api.client.get(path).json()
    assert stored_bytes(api, view["sha256"], len(CONTENT)) == CONTENT


class TestBrokenConnections:
    @given(steps=st.lists(STEP, max_size=5))
    @settings(
        max_examples=8,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_u1_an_upload_cut_anywhere_arrives_byte_equal(
        self, shared_api: Api, steps: list[tuple[int, str]]
    ) -> None:
        send_in_steps(shared_api, steps)

    @given(steps=st.lists(STEP, max_size=12))
    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @pytest.mark.slow
    def test_u1_an_upload_cut_at_many_places_arrives_byte_equal(
        self, shared_api: Api, steps: list[tuple[int, str]]
    ) -> None:
        send_in_steps(shared_api, steps)

    def test_what_arrived_before_a_broken_connection_is_kept(self, shared_api: Api) -> None:
        path = create(shared_api, 2 * MIB)

        break_off(shared_api, path, 0, bytes(MIB + 5))

        assert offset_of(shared_api, path) == MIB + 5

    def test_a_client_that_sends_nothing_for_too_long_keeps_what_arrived(self) -> None:
        arrived: list[bytes] = []
        messages = [{"type": "http.request", "body": b"begun", "more_body": True}]

        async def receive() -> dict[str, object]:
            if not messages:
                await anyio.sleep_forever()
            return messages.pop()

        async def read() -> None:
            request = Request({"type": "http", "headers": []}, receive)
            async for piece in pieces(request, patience=0.01):
                arrived[:] = [*arrived, piece]

        with pytest.raises(IncompleteUpload):
            anyio.run(read)
        assert arrived == [b"begun"]


class TestCrashes:
    def test_bytes_beyond_the_saved_offset_are_cut_off(self, shared_api: Api) -> None:
        path = create(shared_api, len(CONTENT))
        patch(shared_api, path, 0, CONTENT[:100])
        file = shared_api.context.settings.home / "spool" / "uploads" / path.rpartition("/")[2]
        with file.open("ab") as written:
            written.write(b"never recorded" * 500)

        patch(shared_api, path, 100, CONTENT[100:])

        view = shared_api.client.get(path).json()
        assert stored_bytes(shared_api, view["sha256"], len(CONTENT)) == CONTENT

    @pytest.mark.parametrize("kept", [None, 50], ids=["lost", "shorter"])
    def test_lost_bytes_are_reported_and_not_replaced_by_zeros(
        self, shared_api: Api, kept: int | None
    ) -> None:
        path = create(shared_api, len(CONTENT))
        patch(shared_api, path, 0, CONTENT[:100])
        file = shared_api.context.settings.home / "spool" / "uploads" / path.rpartition("/")[2]
        if kept is None:
            file.unlink()
        else:
            os.truncate(file, kept)

        answer = patch(shared_api, path, 100, CONTENT[100:])

        assert_refused(answer, status=503, slug="upload-elsewhere")

    def test_the_bytes_of_an_upload_on_another_server_are_not_written_here(
        self, api: Api, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        path = create(api, len(CONTENT))
        patch(api, path, 0, CONTENT[:100])
        there = api.context.settings.model_copy(update={"home": tmp_path_factory.mktemp("there")})
        api.app.state.context = replace(api.context, settings=there)

        answer = patch(api, path, 100, CONTENT[100:])

        assert_refused(answer, status=503, slug="upload-elsewhere")
        assert offset_of(api, path) == 100

    def test_a_stopping_server_keeps_what_arrived_and_asks_to_continue_elsewhere(
        self, api: Api
    ) -> None:
        path = create(api, len(CONTENT))
        api.context.draining.set()

        answer = patch(api, path, 0, CONTENT[:100])

        assert_refused(answer, status=503, slug="upload-interrupted")
        assert offset_of(api, path) == 100


class TestOneWriter:
    def test_a_chunk_is_refused_while_another_request_writes(
        self, shared_api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = create(shared_api, len(CONTENT))
        begun, may_end = Event(), Event()
        write = ChunkWriter.write

        def slowly(self: ChunkWriter, piece: bytes) -> None:
            begun.set()
            assert may_end.wait(20)
            write(self, piece)

        monkeypatch.setattr(ChunkWriter, "write", slowly)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(patch, shared_api, path, 0, CONTENT[:100])
            assert begun.wait(20)
            second = patch(shared_api, path, 0, CONTENT[:100])
            may_end.set()

        assert_refused(second, status=409, slug="upload-busy")
        assert first.result().status_code == 204
        assert offset_of(shared_api, path) == 100

    def test_u2_the_same_chunk_in_several_requests_is_kept_once(self, shared_api: Api) -> None:
        path = create(shared_api, len(CONTENT))
        together = Barrier(6)

        def send(_: int) -> int:
            together.wait(20)
            return patch(shared_api, path, 0, CONTENT).status_code

        with ThreadPoolExecutor(6) as pool:
            statuses = sorted(pool.map(send, range(6)))

        assert statuses == [204, *[409] * 5]
        view = shared_api.client.get(path).json()
        assert stored_bytes(shared_api, view["sha256"], len(CONTENT)) == CONTENT

    def test_a_delete_ends_a_request_that_is_writing(
        self, shared_api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = create(shared_api, len(CONTENT))
        begun, may_end = Event(), Event()
        keep = ChunkWriter.finish

        def late(self: ChunkWriter) -> object:
            begun.set()
            assert may_end.wait(20)
            return keep(self)

        monkeypatch.setattr(ChunkWriter, "finish", late)
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(patch, shared_api, path, 0, CONTENT[:100])
            assert begun.wait(20)
            deleted = shared_api.client.delete(path, headers=TUS)
            may_end.set()

        assert deleted.status_code == 204
        assert_refused(writing.result(), status=404, slug="upload-not-found")
        eventually(lambda: path.rpartition("/")[2] not in spooled(shared_api), within=20)
