"""Two server processes on one database answer like a single server."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx2 as httpx
import pytest

from app.core.database import Database
from tests.worlds.rows import a_ready_dataset
from tests.worlds.server import a_server

POSTS = 20
pytestmark = pytest.mark.integration


@pytest.mark.parametrize("kind", [pytest.param("sqlite", marks=pytest.mark.slow), "postgresql"])
def test_twenty_parallel_posts_with_one_key_make_one_job(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    database_url: str = request.getfixturevalue(
        {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[kind]
    )
    with ExitStack() as stack:
        servers = [stack.enter_context(a_server(tmp_path / name, database_url)) for name in "ab"]
        urls = [server.url for server in servers]
        database = Database(database_url)
        stack.callback(database.dispose)
        dataset = a_ready_dataset(database).dataset_id
        headers = {"Authorization": f"Bearer {servers[0].key}", "Idempotency-Key": "once"}
        client = stack.enter_context(httpx.Client(headers=headers, timeout=30))
        spec = {"dataset": dataset, "model": "yolo26n.yaml"}

        def post(number: int) -> httpx.Response:
            return client.post(f"{urls[number % 2]}/v1/jobs", json=spec)

        with ThreadPoolExecutor(POSTS) as pool:
            answers = list(pool.map(post, range(POSTS)))

        assert Counter(answer.status_code for answer in answers) == {201: 1, 200: POSTS - 1}
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert client.get(f"{urls[1]}/v1/jobs").json()["data"][0]["id"] == answers[0].json()["id"]
