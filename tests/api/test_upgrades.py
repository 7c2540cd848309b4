"""What a head asks for beside its request, against a real server process."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.raw_client import JOB_ID, PARAMETER, RawClient, a_raw_client, paths

pytestmark = pytest.mark.integration

JSON = "Content-Type: application/json"
REQUEST_ID = re.compile(rb"req_\w+")


@pytest.fixture(scope="module")
def client(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RawClient]:
    with a_raw_client(tmp_path_factory.mktemp("upgrades"), sqlite_template) as client:
        yield client


class TestUpgrades:
    """F11: `Upgrade` is ignored, whatever the route."""

    @pytest.mark.parametrize(
        "lines",
        [
            ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
            ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        ],
        ids=["h2c", "websocket"],
    )
    def test_an_upgrade_changes_no_answer_of_a_writing_route(
        self, client: RawClient, lines: tuple[str, ...]
    ) -> None:
        for method, path in paths():
            if method in {"GET", "HEAD"}:
                continue
            target, body = PARAMETER.sub(JOB_ID, path), b'{"epochs": "x"}'
            usual = [JSON, f"Content-Length: {len(body)}"]

            plain = client.send(client.head(f"{method} {target}", *usual) + body, then_leave=False)
            upgraded = client.send(
                client.head(f"{method} {target}", *usual, *lines) + body, then_leave=False
            )

            assert upgraded.status == plain.status, path
            assert REQUEST_ID.sub(b"", upgraded.body) == REQUEST_ID.sub(b"", plain.body), path

    def test_f2_a_key_in_a_trailer_opens_nothing(self, client: RawClient) -> None:
        head = f"POST /v1/jobs HTTP/1.1\r\nHost: {client.host}\r\n{JSON}\r\n"
        trailer = f"Authorization: Bearer {client.key}\r\n"
        content = f"{head}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n{trailer}\r\n"

        answer = client.send(content.encode(), then_leave=False)

        assert (answer.status, answer.slug) == (401, "unauthenticated")
