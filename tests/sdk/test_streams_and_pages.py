"""The readers of bytes: server-sent events, and a job as HTML."""

import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from trainyard.core.connection import Patience, retry_after
from trainyard.notebook import job_html
from trainyard.operations.sse import MessageReader
from trainyard.views.jobs import JobView
from trainyard.views.stream import Tick

pytestmark = pytest.mark.unit
DOCUMENT = json.loads((Path(__file__).parents[2] / "docs/schema/openapi.json").read_text())
STREAM = (
    "retry: 1000\n\n"
    ": ping\n\n"
    'id: 1\nevent: hello\ndata: {"after": "é"}\n\n'
    'event: tick\r\ndata: {"a":\r\ndata: 1}\r\n\r\n'
    "id: 2\nevent: event\ndata: {}\n\n"
    "event: cut\ndata: {"
).encode()


class TestMessages:
    @pytest.mark.parametrize("seed", range(5))
    def test_messages_are_the_same_however_their_bytes_arrive(self, seed: int) -> None:
        chance = random.Random(seed)
        cuts = sorted(chance.sample(range(1, len(STREAM)), 12))
        reader = MessageReader()

        found = [
            (message.name, message.json(), message.id)
            for start, end in pairwise([0, *cuts, len(STREAM)])
            for message in reader.feed(STREAM[start:end])
        ]

        assert found == [
            ("hello", {"after": "é"}, "1"),
            ("tick", {"a": 1}, "1"),
            ("event", {}, "2"),
        ]


class TestNotebook:
    def test_texts_of_the_server_are_escaped(self) -> None:
        example: dict[str, Any] = DOCUMENT["components"]["examples"]["JobView"]["value"]
        view = JobView.model_validate({**example, "name": "<script>alert(1)</script>"})

        html = job_html(view, "http://a/jobs/1", Tick(job=view.id, epoch=1, epochs=2, done=0.5))

        assert "<script>" not in html
        assert "1 of 2" in html


class TestPatience:
    def test_what_the_server_asks_for_is_waited_for_if_there_is_time(self) -> None:
        assert Patience(10).next_wait(at_least=5.0) == 5.0

    def test_a_longer_wait_than_the_patience_is_none(self) -> None:
        assert Patience(10).next_wait(at_least=11.0) is None

    @pytest.mark.parametrize(("text", "seconds"), [("3", 3.0), ("", 0.0), ("soon", 0.0)])
    def test_retry_after_is_read(self, text: str, seconds: float) -> None:
        assert retry_after({"retry-after": text}) == seconds
