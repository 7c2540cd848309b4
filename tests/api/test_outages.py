"""The database is away or full: every route reports it, no data is lost, and all routes recover."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from httpx2 import Response
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import make_url

from app.core import writers
from app.core.database import SQLITE_BUSY_SECONDS, Database
from app.core.postgres import ANSWER_SECONDS, CONNECT_SECONDS
from tests.faults.proxy import FaultProxy, postgres_proxy
from tests.waiting import eventually
from tests.worlds.server import Api, on, serving

ANY_ID = "job_" + "0" * 26


@contextmanager
def no_connections(url: str) -> Iterator[None]:
    """Make PostgreSQL drop every connection to the database and refuse new ones."""
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


class _AnyId(dict[str, str]):
    def __missing__(self, _: str) -> str:
        return ANY_ID


JUDGED_FIRST = {
    "/session",
    "/session/links/{token}",
    "/setup/{token}",
    "/v1/keys/revoke",
    "/v1/logins",
    "/v1/logins/poll",
}
"""Routes that judge a body or a token before they need the database."""


class TestDatabaseAway:
    @pytest.fixture
    def api(self, postgres_url: str, tmp_path: Path) -> Iterator[Api]:
        yield from serving(on(postgres_url, tmp_path / "home"))

    def test_d1_every_route_says_when_to_try_again_and_then_answers(self, api: Api) -> None:
        paths = api.app.openapi()["paths"]
        routes = [
            (method, path)
            for path in paths
            if path not in JUDGED_FIRST | {"/livez"}
            for method in paths[path]
        ]

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


class TestDatabaseSilent:
    """Connections stay open without answers: a frozen host, or a network that drops packets."""

    @pytest.fixture
    def silenced(self, postgres_url: str, tmp_path: Path) -> Iterator[tuple[Api, FaultProxy]]:
        with postgres_proxy(postgres_url) as (proxy, url):
            settings = on(url, tmp_path / "home").model_copy(update={"request_threads": 8})
            for api in serving(settings):
                yield api, proxy
                proxy.heal()

    @pytest.mark.slow
    def test_d1_no_request_waits_for_ever_and_all_comes_back(
        self, silenced: tuple[Api, FaultProxy]
    ) -> None:
        api, proxy = silenced
        paths = ["/v1/jobs", "/v1/datasets", f"/v1/jobs/{ANY_ID}", "/readyz"] * 4

        proxy.stall()
        began = time.monotonic()
        with ThreadPoolExecutor(len(paths)) as clients:
            waiting = list(clients.map(api.client.get, paths))
        took = time.monotonic() - began
        alive = api.client.get("/livez")
        proxy.heal()

        assert {answer.status_code for answer in waiting} == {503}
        assert all(answer.headers["Retry-After"] for answer in waiting)
        # 16 requests on 8 threads are two rounds, each with one lost answer and new connections.
        assert took < 2 * (ANSWER_SECONDS + 2 * CONNECT_SECONDS)
        assert alive.status_code == 200
        eventually(lambda: api.client.get("/readyz").status_code == 200, within=10)
        assert api.submit()["state"] == "queued"


class TestLostCommit:
    """The database commits, but its answer is lost on the way."""

    @pytest.fixture
    def api(self, postgres_url: str, tmp_path: Path) -> Iterator[Api]:
        with postgres_proxy(postgres_url) as (proxy, url):
            for api in serving(on(url, tmp_path / "home")):
                proxy.lose_commit_answers(marker=b"INSERT INTO jobs")
                yield api
                assert proxy.lost_commits == 1

    def submit(self, api: Api, **headers: str) -> Response:
        return api.client.post("/v1/jobs", json=api.spec(), headers=headers)

    def test_d2_a_retry_with_its_key_finds_the_one_job(self, api: Api) -> None:
        first = self.submit(api, **{"Idempotency-Key": "once"})
        again = self.submit(api, **{"Idempotency-Key": "once"})

        assert (first.status_code, again.status_code) == (503, 200)
        assert first.headers["Retry-After"]
        assert again.headers["Idempotency-Replayed"] == "true"
        jobs = api.client.get("/v1/jobs").json()["data"]
        assert [job["id"] for job in jobs] == [again.json()["id"]]

    def test_d2_a_job_without_a_key_is_whole_all_the_same(self, api: Api) -> None:
        first = self.submit(api)

        assert first.status_code == 503
        (job,) = api.client.get("/v1/jobs").json()["data"]
        events = api.client.get(f"/v1/jobs/{job['id']}/events").json()["data"]
        assert [event["type"] for event in events] == ["job.submitted"]
        assert self.submit(api).json()["id"] != job["id"]


class TestDatabaseLocked:
    """SQLite has one writer: other writers wait for seconds, not forever."""

    @pytest.fixture
    def api(self, sqlite_url: str, tmp_path: Path) -> Iterator[Api]:
        yield from serving(on(sqlite_url, tmp_path / "home"))

    def test_d3_a_request_whose_patience_is_used_up_does_not_wait(
        self,
        api: Api,
        open_database: Callable[[str], Database],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(writers, "REQUEST_WAIT_SECONDS", 0.0)
        other = open_database(api.context.settings.effective_database_url)

        with other.write() as unit:
            unit.session.execute(text("SELECT 1"))
            answer = api.client.post("/v1/jobs", json=api.spec())

        assert answer.status_code == 503
        assert answer.headers["Retry-After"]

    @pytest.mark.slow
    def test_d3_every_writer_hears_so_in_time_and_reading_goes_on(
        self, api: Api, open_database: Callable[[str], Database]
    ) -> None:
        other = open_database(api.context.settings.effective_database_url)

        with other.write() as unit, ThreadPoolExecutor(4) as clients:
            unit.session.execute(text("SELECT 1"))
            began = time.monotonic()
            submits = [
                clients.submit(api.client.post, "/v1/jobs", json=api.spec()) for _ in range(4)
            ]
            listed = api.client.get("/v1/jobs")
            answers = [each.result() for each in submits]
            took = time.monotonic() - began

        assert {answer.status_code for answer in answers} == {503}
        assert listed.status_code == 200
        assert took < 2.5 * SQLITE_BUSY_SECONDS
        assert api.submit()["state"] == "queued"


@pytest.mark.mostly_sqlite
class TestManyWriters:
    """Another process holds a lock that every writer needs and no reader."""

    THREADS, SUBMITS = 4, 6
    MAY_WAIT = THREADS // 2

    @pytest.fixture
    def api(self, database_url: str, tmp_path: Path) -> Iterator[Api]:
        settings = on(database_url, tmp_path / "home")
        yield from serving(settings.model_copy(update={"request_threads": self.THREADS}))

    @contextmanager
    def locked(self, api: Api, open_database: Callable[[str], Database]) -> Iterator[None]:
        other = open_database(api.context.settings.effective_database_url)
        with other.write() as unit:
            lock = "SELECT 1" if other.is_sqlite else "LOCK TABLE jobs IN EXCLUSIVE MODE"
            unit.session.execute(text(lock))
            yield

    def test_d3_some_wait_the_others_are_refused_and_reading_goes_on(
        self,
        api: Api,
        open_database: Callable[[str], Database],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(writers, "STUCK_SECONDS", 0.0)
        monkeypatch.setattr(writers, "REQUEST_WAIT_SECONDS", 60.0)
        answers: list[Response] = []

        def submit(_: int) -> None:
            answers.append(api.client.post("/v1/jobs", json=api.spec()))

        with ThreadPoolExecutor(self.SUBMITS) as clients:
            with self.locked(api, open_database):
                submits = [clients.submit(submit, number) for number in range(self.SUBMITS)]
                eventually(lambda: len(answers) == self.SUBMITS - self.MAY_WAIT, within=30)
                refused = list(answers)
                read = api.client.get("/v1/jobs")
                ready = api.client.get("/readyz")
            for each in submits:
                each.result()

        assert {each.status_code for each in refused} == {503}
        assert all(each.headers["Retry-After"] for each in refused)
        assert (read.status_code, ready.status_code) == (200, 200)
        waited = answers[len(refused) :]
        assert [each.status_code for each in waited] == [201] * self.MAY_WAIT
        assert len(api.client.get("/v1/jobs").json()["data"]) == self.MAY_WAIT

    def test_d3_reads_are_answered_although_more_writers_wait_than_there_are_threads(
        self,
        api: Api,
        open_database: Callable[[str], Database],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(writers, "STUCK_SECONDS", 60.0)
        monkeypatch.setattr(writers, "REQUEST_WAIT_SECONDS", 60.0)
        writing, job = api.app.state.writing, api.spec()

        with ThreadPoolExecutor(self.SUBMITS) as clients:
            with self.locked(api, open_database):
                submits = [
                    clients.submit(api.client.post, "/v1/jobs", json=job)
                    for _ in range(self.SUBMITS)
                ]
                eventually(lambda: writing.available_tokens == 0, within=30)
                reads = [api.client.get("/v1/jobs").status_code for _ in range(3)]
            answers = [each.result().status_code for each in submits]

        assert reads == [200, 200, 200]
        assert answers == [201] * self.SUBMITS

    def test_a_burst_without_a_lock_is_accepted_as_a_whole(self, api: Api) -> None:
        with ThreadPoolExecutor(40) as clients:
            answers = list(
                clients.map(lambda _: api.client.post("/v1/jobs", json=api.spec()), range(40))
            )

        assert [each.status_code for each in answers] == [201] * 40


class TestDatabaseFull:
    @pytest.fixture
    def api(self, sqlite_url: str, tmp_path: Path) -> Iterator[Api]:
        yield from serving(on(sqlite_url, tmp_path / "home"))

    def test_d6_a_submit_is_refused_and_reading_goes_on(self, api: Api) -> None:
        engine = api.database.engine

        def grow_no_more(connection: sqlite3.Connection, *_: object) -> None:
            connection.execute("PRAGMA max_page_count=1")

        event.listen(engine, "checkout", grow_no_more)
        answer = api.client.post("/v1/jobs", json=api.spec(notes="x" * 9000))
        listed = api.client.get("/v1/jobs")
        event.remove(engine, "checkout", grow_no_more)

        assert answer.status_code == 507
        assert answer.json()["type"] == "urn:trainyard:problem:database-full"
        assert (listed.status_code, listed.json()["data"]) == (200, [])
