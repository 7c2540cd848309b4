"""What is answered in front of FastAPI is the answer of the route, to the byte."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.testclient import TestClient

from app.accounts.tables import ApiKey, MemberRole
from app.core.database import database_now
from app.core.storage import StoredObject
from app.jobs.http import routes
from app.jobs.http.job_views import JobView
from app.jobs.states import JobState, Phase
from app.jobs.tables import Job
from app.main import create_app
from tests.api.asgi_client import Heard, call
from tests.api.browser.browsers import a_session
from tests.api.jobs.running_job import claimed
from tests.counting import counted
from tests.worlds.accounts import a_key, a_person, a_project
from tests.worlds.rows import NO_JOB, SHA
from tests.worlds.server import Api

pytestmark = pytest.mark.integration

TO_THE_ROUTE = {"content-length": "0"}
"""Changes no answer, but the request is no longer one of the plainest."""
GROWING = re.compile(rb'"(duration_seconds|request_id)":[^,}]+')
TRAIN = {"epochs": 3, "optimizer": "AdamW", "lr0": 1e-5, "imgsz": 64}
OWN = ("x-request-id",)
JOBS = ("waiting", "running", "failed", "trashed", "foreign", "unknown", "malformed")
HEADERS: tuple[Mapping[str, str], ...] = (
    {},
    {"accept": "*/*"},
    {"accept": "text/html, application/json;q=0.9"},
    {"accept": "text/html"},
    {"if-none-match": "*"},
    {"if-none-match": '"other"'},
    {"host": "elsewhere.example"},
)
QUERIES = ("", "?", "?wait=0", "?wait=x", "?unknown=1")
LISTS = (
    *("", "?", "?limit=2", "?limit=0", "?limit=x", "?limit=2&limit=3", "?limit=", "?unknown=1"),
    *("?state=queued&state=running&limit=5", "?state=nothing", "?tag=a:%C3%BC&tag=b:2", "?q=one"),
    *("?name=one&sort=name", "?name=%FF", "?name=", "?fields=progress", "?counts=true"),
    *("?sort=best", "?trashed=true", "?trashed=yes", "?cursor=x", "?project=nowhere"),
    *("?project=default", "?created_after=2026-11-30T08:00:00Z", "?created_after=today"),
)


@dataclass(frozen=True)
class World:
    """A server, the paths of its jobs, and the headers of its callers."""

    api: Api
    paths: Mapping[str, str]
    callers: Mapping[str, Mapping[str, str]]

    def ask(self, method: str, path: str, headers: Mapping[str, str]) -> Heard:
        return call(self.api, method, path, headers)

    def tag_of(self, job: str) -> str:
        return self.ask("GET", self.paths[job], self.callers["owner"]).headers["etag"]


@pytest.fixture(scope="module")
def world(shared_api: Api) -> World:
    api = shared_api
    running = api.submit(name="one", tags={"b": "2", "a": "ü"}, train=TRAIN)
    job = claimed(api)
    job.show_progress(Phase.TRAINING, eta_seconds=60.0)
    job.finish_epoch(1)
    job.add_file(StoredObject(SHA, 1))
    ids = {name: str(api.submit()["id"]) for name in ("waiting", "failed", "trashed", "foreign")}
    ids |= {"running": running["id"], "unknown": NO_JOB, "malformed": "job_1"}
    project = a_project(api.database)
    with api.database.write() as unit:
        for name, values in (
            ("failed", {"state": JobState.FAILED, "end_reason": "out_of_memory"}),
            ("trashed", {"state": JobState.CANCELLED, "trashed_at": database_now()}),
            ("foreign", {"project_id": project}),
        ):
            unit.session.execute(update(Job).where(Job.id == ids[name]).values(**values))
    paths = {name: f"/v1/jobs/{job_id}" for name, job_id in ids.items()}
    return World(api, paths, _callers(api, project))


def _callers(api: Api, project: str) -> dict[str, Mapping[str, str]]:
    """Return the headers of callers of every kind, of whom some may read some of the jobs."""
    database, rows = api.database, api.rows
    own = {rows.project_id: MemberRole.VIEWER}
    viewer = a_person(database, own)
    revoked = a_person(database, own)
    with database.write() as unit:
        ended = update(ApiKey).where(ApiKey.id == revoked.key_id)
        unit.session.execute(ended.values(revoked_at=database_now()))
    expired = a_key(database, viewer.user_id, lifetime=timedelta(seconds=-1))[1]
    bound = a_key(database, viewer.user_id, bound_to=rows.project_id)[1]
    administrator = a_person(database, is_admin=True)
    keys = {
        "owner": api.key,
        "viewer": viewer.key,
        "bound": bound,
        "foreign": a_person(database, {project: MemberRole.ADMIN}).key,
        "narrow": a_person(database, own, scopes=["jobs:write"]).key,
        "revoked": revoked.key,
        "expired": expired,
        "administrator": administrator.key,
        "wrong": viewer.key[:-7] + ("0" if viewer.key[-7] != "0" else "1") + viewer.key[-6:],
        "malformed": "key",
    }
    bearers = {name: {"authorization": f"Bearer {key}"} for name, key in keys.items()}
    cookie = {"cookie": f"trainyard={a_session(api)[1]}", "sec-fetch-site": "same-origin"}
    return {
        **bearers,
        "none": {},
        "session": cookie,
        "both": {**cookie, **bearers["foreign"]},
        "lower case": {"authorization": f"bearer {api.key}"},
        "basic": {"authorization": "Basic eDp5"},
    }


def shown(heard: Heard) -> tuple[int, dict[str, str], bytes]:
    """Return an answer without what differs between two answers to one question."""
    headers = {name: value for name, value in heard.headers.items() if name not in OWN}
    body = GROWING.sub(b"", heard.body)
    length = headers.pop("content-length", None)
    if length is not None and heard.body:
        assert int(length) == len(heard.body)
    return heard.status, headers, body


def assert_same(world: World, method: str, path: str, headers: Mapping[str, str]) -> None:
    quick = world.ask(method, path, headers)
    ordinary = world.ask(method, path, {**headers, **TO_THE_ROUTE})

    assert shown(quick) == shown(ordinary), (method, path, headers)


class TestSameAnswers:
    @pytest.mark.parametrize("job", JOBS)
    def test_every_caller_gets_the_answer_of_the_route(self, world: World, job: str) -> None:
        for headers in world.callers.values():
            for method in ("GET", "HEAD"):
                assert_same(world, method, world.paths[job], headers)

    @pytest.mark.parametrize("job", ["waiting", "running", "failed", "unknown"])
    def test_every_header_and_query_has_the_answer_of_the_route(
        self, world: World, job: str
    ) -> None:
        known = {"if-none-match": world.tag_of("running")}
        for more in (*HEADERS, known):
            assert_same(world, "GET", world.paths[job], {**world.callers["owner"], **more})
        for query in QUERIES:
            assert_same(world, "GET", world.paths[job] + query, world.callers["owner"])

    @pytest.mark.parametrize("job", ["waiting", "running", "failed"])
    def test_a_status_has_the_fields_of_its_model_in_their_order(
        self, world: World, job: str
    ) -> None:
        body = world.ask("GET", world.paths[job], world.callers["owner"]).body

        assert body == JobView.model_validate_json(body).model_dump_json().encode()

    @pytest.mark.parametrize("query", LISTS)
    def test_every_list_is_that_of_the_route(self, world: World, query: str) -> None:
        assert_same(world, "GET", "/v1/jobs" + query, world.callers["owner"])

    def test_every_caller_gets_the_list_of_the_route(self, world: World) -> None:
        for headers in world.callers.values():
            for method in ("GET", "HEAD"):
                assert_same(world, method, "/v1/jobs?limit=3", headers)

    def test_plain_lists_do_not_reach_the_route(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        owner = world.callers["owner"]

        with counted(monkeypatch, routes, "read_page") as calls:
            quick = [
                world.ask("GET", f"/v1/jobs{query}", owner).status
                for query in ("", "?limit=2", "?state=queued&tag=a:b")
            ]
            world.ask("GET", "/v1/jobs", {**owner, **TO_THE_ROUTE})

        assert quick == [200, 200, 200]
        assert len(calls) == 1

    def test_the_plainest_requests_do_not_reach_the_route(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        owner = world.callers["owner"]
        tag = {"if-none-match": world.tag_of("running")}

        with counted(monkeypatch, routes, "_status") as calls:
            statuses = [
                world.ask("GET", world.paths[job], {**owner, **more}).status
                for job in ("running", "waiting", "failed")
                for more in ({}, tag)
            ]

        assert statuses == [200, 304, 200, 200, 200, 200]
        assert calls == []

    def test_a_question_that_is_not_plain_reaches_the_route(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        headers = {**world.callers["owner"], **TO_THE_ROUTE}

        with counted(monkeypatch, routes, "_status") as calls:
            world.ask("GET", world.paths["running"], headers)

        assert len(calls) == 1

    @pytest.mark.parametrize("path", ["/v1/jobs", f"/v1/jobs/{NO_JOB}"])
    def test_a_request_waits_for_a_connection_once(
        self, world: World, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        waits: list[str] = []

        def never_free() -> None:
            waits.append(path)
            raise PoolTimeout

        monkeypatch.setattr(world.api.context.database, "read", never_free)

        refused = world.ask("GET", path, world.callers["owner"])

        assert (refused.status, refused.headers["retry-after"]) == (503, "5")
        assert waits == [path]


@pytest.fixture
def other_server(api: Api) -> Iterator[Api]:
    """A second server on the same database."""
    app = create_app(api.context.settings)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield Api(app, client, api.rows, api.key)


class TestFreshness:
    def test_a_key_revoked_on_one_server_is_refused_by_another(
        self, api: Api, other_server: Api
    ) -> None:
        path = f"/v1/jobs/{api.submit()['id']}"
        person = a_person(api.database, {api.rows.project_id: MemberRole.VIEWER})
        before = call(other_server, "GET", path, person.headers)

        api.client.delete(f"/v1/keys/{person.key_id}").raise_for_status()
        after = call(other_server, "GET", path, person.headers)

        assert (before.status, after.status) == (200, 401)

    def test_a_change_by_one_server_is_in_the_next_answer_of_another(
        self, api: Api, other_server: Api
    ) -> None:
        path = f"/v1/jobs/{api.submit()['id']}"
        headers = {"authorization": f"Bearer {api.key}"}
        seen = []

        for number in range(3):
            api.client.patch(path, json={"tags": {"try": str(number)}}).raise_for_status()
            seen.append(json.loads(call(other_server, "GET", path, headers).body)["tags"])

        assert seen == [{"try": "0"}, {"try": "1"}, {"try": "2"}]

    def test_specs_of_equal_text_are_shown_with_the_threads_of_each_job(self, api: Api) -> None:
        first, second = (f"/v1/jobs/{api.submit()['id']}" for _ in range(2))
        headers = {"authorization": f"Bearer {api.key}"}
        call(api, "GET", first, headers)
        with api.database.write() as unit:
            job = update(Job).where(Job.id == second.rpartition("/")[2])
            unit.session.execute(job.values(threads=7))

        bodies = [call(api, "GET", path, headers).body for path in (first, second)]

        assert [b'"threads":7' in body for body in bodies] == [False, True]
