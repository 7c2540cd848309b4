"""A client of `/v1/uploads` that can also break its connection."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import anyio
from httpx2 import Response

from tests.worlds.server import Api

MIB = 1024 * 1024
TUS = {"Tus-Resumable": "1.0.0"}
CHUNK_TYPE = "application/offset+octet-stream"


def encoded(**metadata: str) -> str:
    """Return the header Upload-Metadata."""
    return ",".join(
        f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in metadata.items()
    )


def checksum(algorithm: str, content: bytes) -> str:
    """Return the header Upload-Checksum."""
    digest = hashlib.new(algorithm, content).digest()
    return f"{algorithm} {base64.b64encode(digest).decode()}"


def create(api: Api, size: int, **metadata: str) -> str:
    """Create an upload; return its path."""
    headers = {**TUS, "Upload-Length": str(size)}
    if metadata:
        headers["Upload-Metadata"] = encoded(**metadata)
    answer = api.client.post("/v1/uploads", headers=headers)
    assert answer.status_code == 201, answer.text
    path: str = answer.headers["Location"]
    return path


def patch(
    api: Api, path: str, offset: int, content: bytes | Iterator[bytes], **headers: str
) -> Response:
    """Send bytes at an offset; further headers with underscores for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {**TUS, "Content-Type": CHUNK_TYPE, "Upload-Offset": str(offset), **named}
    return api.client.patch(path, content=content, headers=sent)


def offset_of(api: Api, path: str) -> int:
    """Return the offset that HEAD reports."""
    answer = api.client.head(path, headers=TUS)
    assert answer.status_code == 200
    return int(answer.headers["Upload-Offset"])


def upload(api: Api, content: bytes, **metadata: str) -> dict[str, Any]:
    """Upload in one request; return the finished upload."""
    path = create(api, len(content), **metadata)
    answer = patch(api, path, 0, content)
    assert answer.status_code == 204, answer.text
    view: dict[str, Any] = api.client.get(path).json()
    return view


def break_off(
    api: Api, path: str, offset: int, content: bytes, headers: Mapping[str, str] | None = None
) -> None:
    """Send bytes and disconnect before the body ends, as a broken connection does."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": content, "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent = {
        **TUS,
        "Host": "127.0.0.1",
        "Authorization": f"Bearer {api.key}",
        "Content-Type": CHUNK_TYPE,
        "Upload-Offset": str(offset),
        **(headers or {}),
    }
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "PATCH",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(_: object) -> None:
        pass

    anyio.run(api.app, scope, receive, send)


def stored_bytes(api: Api, sha256: str, size: int) -> bytes:
    """Return the bytes in the store."""
    return b"".join(bytes(piece) for piece in api.context.store.open_range(sha256, 0, size))


def spooled(api: Api) -> dict[str, int]:
    """Return the sizes of the files in the spool of uploads, by upload."""
    folder = api.context.settings.home / "spool" / "uploads"
    return {path.name: path.stat().st_size for path in folder.glob("upl_*")}
