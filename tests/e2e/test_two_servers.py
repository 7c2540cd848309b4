"""Two server processes on one database answer as one."""

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2 as httpx
import pytest

from app.core.database import Database
from tests.api.conftest import NO_BROKER, a_ready_dataset
from tests.e2e.yard import COMMAND
from tests.waiting import eventually

POSTS = 20
pytestmark = pytest.mark.integration


@contextmanager
def a_server(home: Path, database_url: str) -> Iterator[str]:
    """Run `trainyard server` on a free port; yield its URL."""
    environment = {
        **os.environ,
        "TRAINYARD_HOME": str(home),
        "TRAINYARD_DATABASE_URL": database_url,
        "TRAINYARD_BROKER_URL": NO_BROKER,
    }
    with home.with_suffix(".log").open("wb") as output:
        process = subprocess.Popen(
            [COMMAND, "server", "--port", "0"], env=environment, stdout=output, stderr=output
        )
    try:
        note = home / "server.json"
        eventually(note.exists, within=60, message=home.with_suffix(".log").read_text)
        yield json.loads(note.read_text())["url"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def test_twenty_parallel_posts_with_one_key_make_one_job(database_url: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        urls = [stack.enter_context(a_server(tmp_path / name, database_url)) for name in "ab"]
        database = Database(database_url)
        stack.callback(database.dispose)
        dataset = a_ready_dataset(database).dataset_id
        key = (tmp_path / "a" / "api-key").read_text().strip()
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "once"}
        client = stack.enter_context(httpx.Client(headers=headers, timeout=30))
        spec = {"dataset": dataset, "model": "yolo26n.yaml"}

        def post(number: int) -> httpx.Response:
            return client.post(f"{urls[number % 2]}/v1/jobs", json=spec)

        with ThreadPoolExecutor(POSTS) as pool:
            answers = list(pool.map(post, range(POSTS)))

        assert Counter(answer.status_code for answer in answers) == {201: 1, 200: POSTS - 1}
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert client.get(f"{urls[1]}/v1/jobs").json()["data"][0]["id"] == answers[0].json()["id"]
