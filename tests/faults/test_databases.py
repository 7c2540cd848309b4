"""A database without a free connection, and one that refuses writes after a failover."""

import functools
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from app.core.database import POOL_TIMEOUT_SECONDS
from app.settings import Settings
from tests.worlds.server import NO_BROKER, Api, serving

pytestmark = [pytest.mark.integration, pytest.mark.faults]

CONNECTIONS = 2


@pytest.fixture
def api(postgres_url: str, tmp_path: Path) -> Iterator[Api]:
    settings = Settings.model_validate(
        {
            "home": tmp_path / "home",
            "database_url": postgres_url,
            "broker_url": NO_BROKER,
            "request_threads": CONNECTIONS,
        }
    )
    yield from serving(settings)


@contextmanager
def read_only(url: str) -> Iterator[None]:
    """Make new connections read-only, as on a standby, and close the current ones."""
    name = make_url(url).database
    engine = create_engine(make_url(url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
        connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
        connection.execute(text(kill), {"name": name})
        try:
            yield
        finally:
            reset = f'ALTER DATABASE "{name}" RESET default_transaction_read_only'
            connection.execute(text(reset))
    engine.dispose()


@pytest.mark.slow
def test_d4_a_pool_without_a_connection_is_said_in_time(api: Api) -> None:
    api.client.get("/v1/jobs")

    with ExitStack() as taken:
        for _ in range(CONNECTIONS):
            unit = taken.enter_context(api.context.database.read())
            unit.session.execute(text("SELECT 1"))
        began = time.monotonic()
        answer = api.client.get("/v1/jobs")
        took = time.monotonic() - began

    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert took < 2 * POOL_TIMEOUT_SECONDS
    assert api.client.get("/v1/jobs").status_code == 200


def test_d5_a_read_only_database_refuses_writes_until_it_is_over(api: Api) -> None:
    api.submit()

    with read_only(api.context.settings.effective_database_url):
        refused = api.client.post("/v1/jobs", json=api.spec())
        listed = api.client.get("/v1/jobs")

    assert refused.status_code == 503
    assert len(listed.json()["data"]) == 1
    # The first write may get a connection opened meanwhile; its failure closes all of these.
    post = functools.partial(api.client.post, "/v1/jobs", json=api.spec())
    assert 201 in {post().status_code for _ in range(2)}
