"""A client that sends bytes and reads any number of answers from one connection."""

import contextlib
import http.client
import json
import socket
from dataclasses import dataclass
from io import BufferedReader
from types import TracebackType
from typing import Any, Self, cast

SECONDS = 20.0


@dataclass(frozen=True)
class Answer:
    """One complete answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 -- JSON
        return json.loads(self.body)

    @property
    def slug(self) -> str:
        """Check that the answer is a problem with our headers, and return its slug."""
        assert self.headers["content-type"] == "application/problem+json"
        assert self.headers["x-content-type-options"] == "nosniff"
        assert self.headers["x-request-id"] == self.json["request_id"] != ""
        assert self.json["status"] == self.status
        slug: str = self.json["type"].removeprefix("urn:trainyard:problem:")
        return slug


class _Stream:
    """A socket's bytes as `http.client` wants them; it would close its own file after an answer."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rb")

    def makefile(self, _mode: str) -> BufferedReader:
        return cast("BufferedReader", self)

    def close(self) -> None:
        pass

    def flush(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- a method of the file
        return getattr(self._file, name)


class RawConnection:
    """One connection to a server."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(SECONDS)
        self.socket = connection
        self._stream = _Stream(connection)

    def send(self, content: bytes) -> Self:
        """Send bytes; a server that has already answered and closed is no error."""
        with contextlib.suppress(OSError):
            self.socket.sendall(content)
        return self

    def answer(self, *, method: str = "GET") -> Answer:
        """Read one answer; fails without a complete one."""
        response = http.client.HTTPResponse(cast("socket.socket", self._stream), method=method)
        response.begin()
        body = response.read()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, body)

    def answers(self) -> list[Answer]:
        """Read the answers until the server closes; fails if one is incomplete."""
        found = []
        while True:
            try:
                found.append(self.answer())
            except (http.client.RemoteDisconnected, ConnectionResetError):
                return found

    def is_closed(self) -> bool:
        """Wait until the server closes; return whether it did without sending anything."""
        try:
            return bool(self._stream.read(1) == b"")
        except ConnectionResetError:
            return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stream._file.close()
        self.socket.close()
