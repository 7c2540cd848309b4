"""The database is away, or full: every route says so, nothing is lost, and all of it comes back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import make_url

from app.settings import Settings
from tests.api.conftest import NO_BROKER, Api, _serving
from tests.waiting import eventually

ANY_ID = "job_" + "0" * 26


@contextmanager
def no_connections(url: str) -> Iterator[None]:
    """PostgreSQL drops every connection to the database and takes no new one."""
    name = make_url(url).database
    engine = create_engine(make_url(url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'))
        kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
        connection.execute(text(kill), {"name": name})
        try:
            yield
        finally:
            connection.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'))
    engine.dispose()


def on(url: str, home: Path) -> Settings:
    return Settings.model_validate({"home": home, "database_url": url, "broker_url": NO_BROKER})


class _AnyId(dict[str, str]):
    def __missing__(self, _: str) -> str:
        return ANY_ID


class TestDatabaseAway:
    @pytest.fixture
    def api(self, postgres_url: str, tmp_path: Path) -> Iterator[Api]:
        yield from _serving(on(postgres_url, tmp_path / "home"))

    def test_d1_every_route_says_when_to_try_again_and_then_answers(self, api: Api) -> None:
        paths = api.app.openapi()["paths"]
        routes = [(method, path) for path in paths if path != "/livez" for method in paths[path]]

        with no_connections(api.context.settings.effective_database_url):
            answers = {
                (method, path): api.client.request(method, path.format_map(_AnyId()))
                for method, path in routes
                if path not in {"/version", "/readyz"}
            }
            unready, alive = api.client.get("/readyz"), api.client.get("/livez")

        assert {answer.status_code for answer in answers.values()} == {503}
        assert all(answer.headers["Retry-After"] for answer in answers.values())
        assert {
            answer.json()["type"] for (method, _), answer in answers.items() if method != "head"
        } == {"urn:trainyard:problem:database-unavailable"}
        assert (unready.status_code, alive.status_code) == (503, 200)
        assert unready.headers["Retry-After"]
        eventually(lambda: api.client.get("/readyz").status_code == 200, within=10)
        assert api.submit()["state"] == "queued"

    def test_d1_a_caller_who_is_remembered_hears_the_same(self, api: Api) -> None:
        api.client.get("/v1/jobs")

        with no_connections(api.context.settings.effective_database_url):
            answer = api.client.post("/v1/jobs", json=api.spec())

        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        assert api.client.get("/v1/jobs").json()["data"] == []


class TestDatabaseFull:
    @pytest.fixture
    def api(self, sqlite_url: str, tmp_path: Path) -> Iterator[Api]:
        yield from _serving(on(sqlite_url, tmp_path / "home"))

    def test_d6_a_submit_is_refused_and_reading_goes_on(self, api: Api) -> None:
        engine = api.database.engine

        def grow_no_more(connection: object, *_: object) -> None:
            connection.execute("PRAGMA max_page_count=1")  # type: ignore[attr-defined]

        event.listen(engine, "checkout", grow_no_more)
        answer = api.client.post("/v1/jobs", json=api.spec(notes="x" * 9000))
        listed = api.client.get("/v1/jobs")
        event.remove(engine, "checkout", grow_no_more)

        assert answer.status_code == 507
        assert answer.json()["type"] == "urn:trainyard:problem:database-full"
        assert (listed.status_code, listed.json()["data"]) == (200, [])
