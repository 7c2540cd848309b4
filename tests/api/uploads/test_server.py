"""Uploads to a real server: by tuspy, over sockets that break, and with flat memory."""

import hashlib
import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed

from tests.api.datasets.uploading import shapes_zip
from tests.api.uploads.tus import CHUNK_TYPE, MIB, TUS
from tests.waiting import eventually
from tests.worlds.server import Server, a_server

pytestmark = pytest.mark.integration

SMALL, LARGE, VERY_LARGE = 8 * MIB, 64 * MIB, 4096 * MIB
"""Sizes of uploads; buffers of sockets, parts and the allocator take about 15 MiB."""


@pytest.fixture(scope="module")
def server(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("uploads")
    database = folder / "trainyard.db"
    database.write_bytes(sqlite_template.read_bytes())
    with a_server(folder / "home", f"sqlite:///{database}") as server:
        yield server


@pytest.fixture
def tus(server: Server) -> TusClient:
    return TusClient(f"{server.url}/v1/uploads", headers={"Authorization": f"Bearer {server.key}"})


def newest(server: Server) -> dict[str, Any]:
    view: dict[str, Any] = server.get("/v1/uploads", limit=1)["data"][0]
    return view


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class TestTuspy:
    @pytest.mark.parametrize("checked", [True, False], ids=["checksum", "plain"])
    def test_tuspy_uploads_an_archive_that_becomes_a_dataset(
        self, server: Server, tus: TusClient, *, checked: bool
    ) -> None:
        content = shapes_zip(0)
        metadata = {"filename": "shapes.zip"}

        uploader = tus.uploader(
            file_stream=io.BytesIO(content),
            chunk_size=1000,
            metadata=metadata,
            upload_checksum=checked,
        )
        uploader.upload()

        made = newest(server)
        assert (made["filename"], made["sha256"]) == ("shapes.zip", digest(content))
        body = {"upload": made["id"], "name": f"tuspy {checked}"}
        dataset = server.client.post("/v1/datasets/from-upload", json=body).json()["id"]
        eventually(lambda: server.get(f"/v1/datasets/{dataset}")["state"] == "ready", within=60)

    def test_tuspy_resumes_where_an_earlier_client_stopped(
        self, server: Server, tus: TusClient
    ) -> None:
        content = shapes_zip(1)
        first = tus.uploader(file_stream=io.BytesIO(content), chunk_size=1000)
        first.upload(stop_at=1000)

        second = tus.uploader(file_stream=io.BytesIO(content), url=first.url)
        resumed_at = second.offset
        second.upload()

        assert resumed_at == 1000
        assert newest(server)["sha256"] == digest(content)

    def test_tuspy_reports_an_upload_that_was_deleted(self, server: Server, tus: TusClient) -> None:
        uploader = tus.uploader(file_stream=io.BytesIO(bytes(5000)), chunk_size=1000)
        uploader.upload(stop_at=1000)
        server.client.delete(str(uploader.url), headers=TUS)

        with pytest.raises(TusUploadFailed) as failed:
            uploader.upload()
        with pytest.raises(TusCommunicationError):
            uploader.get_offset()

        assert failed.value.status_code == 404


class TestSockets:
    def test_bytes_before_a_reset_connection_are_kept(self, server: Server) -> None:
        path = create(server, 3 * MIB)
        address = httpx.URL(server.url)
        head = [
            f"PATCH {path} HTTP/1.1",
            f"Host: {address.host}",
            f"Authorization: Bearer {server.key}",
            f"Content-Type: {CHUNK_TYPE}",
            "Tus-Resumable: 1.0.0",
            "Upload-Offset: 0",
            f"Content-Length: {3 * MIB}",
        ]

        with socket.create_connection((address.host, address.port or 80), timeout=20) as connection:
            connection.sendall("\r\n".join([*head, "", ""]).encode() + bytes(2 * MIB))

        eventually(lambda: server.get(path)["offset_bytes"] >= MIB, within=20)


class TestMemory:
    def test_an_upload_of_64_mib_leaves_the_memory_flat(self, server: Server) -> None:
        send_by_tus(server, SMALL)

        with growth(server) as grown:
            send_by_tus(server, LARGE)

        assert grown[0] < LARGE // 2

    def test_an_archive_of_64_mib_leaves_the_memory_flat(self, server: Server) -> None:
        send_by_tus(server, SMALL)

        with growth(server) as grown:
            answer = server.client.post("/v1/datasets?name=large", content=filled(LARGE))

        assert answer.status_code == 202
        assert grown[0] < LARGE // 2

    @pytest.mark.slow
    @pytest.mark.timeout(1800)
    def test_an_upload_of_4_gib_leaves_the_memory_flat(self, server: Server) -> None:
        send_by_tus(server, SMALL)

        with growth(server) as grown:
            send_by_tus(server, VERY_LARGE)

        assert grown[0] < LARGE


@contextmanager
def growth(server: Server) -> Iterator[list[int]]:
    """Yield a list that gets the bytes by which the server's memory rose at most in the block."""
    process = Path("/proc") / str(server.process.pid)
    before = memory(process, "VmRSS")
    (process / "clear_refs").write_text("5")  # resets the peak
    grown: list[int] = []
    yield grown
    grown.append(memory(process, "VmHWM") - before)


def memory(process: Path, field: str) -> int:
    """Return a field of the process's status in bytes."""
    lines = (process / "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024


def send_by_tus(server: Server, size: int) -> None:
    path = create(server, size)
    headers = {**TUS, "Content-Type": CHUNK_TYPE, "Upload-Offset": "0"}
    answer = server.client.patch(path, content=filled(size), headers=headers, timeout=800)
    assert answer.status_code == 204, answer.text


def create(server: Server, size: int) -> str:
    answer = server.client.post("/v1/uploads", headers={**TUS, "Upload-Length": str(size)})
    path: str = answer.headers["Location"]
    return path


def filled(size: int) -> Iterator[bytes]:
    piece = b"x" * MIB
    for _ in range(size // MIB):
        yield piece
