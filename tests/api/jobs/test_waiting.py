"""A status request that waits until its job has ended, started or changed."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import pytest
from starlette.requests import Request
from starlette.types import Message

from app.accounts.tables import MemberRole
from app.core.database import Database
from app.core.wake_ups import Listener
from app.jobs.changes import JobMark, marks_of
from app.jobs.http import waits as waits_module
from app.jobs.http.waits import JobWaits, WaitTarget
from app.jobs.states import JobState, Phase
from tests.api.jobs.running_job import Running, claimed
from tests.api.refusals import assert_refused
from tests.counting import statements_to
from tests.waiting import eventually
from tests.worlds.accounts import a_person
from tests.worlds.rows import Owner, Rows, a_job, principal_of
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

Ask = Callable[..., Future[httpx.Response]]
NEVER = JobMark(JobState.QUEUED, 0, 0, None, None)


@pytest.fixture
def ask(shared_api: Api) -> Iterator[Ask]:
    """Yield a function that sends a status request, and returns once it waits."""
    with ThreadPoolExecutor(4) as pool:

        def send(path: str, **more: Any) -> Future[httpx.Response]:  # noqa: ANN401
            answer = pool.submit(shared_api.client.get, path, **more)
            eventually(lambda: len(shared_api.app.state.job_waits) == 1, within=20)
            return answer

        yield send


def path_of(job: dict[str, Any]) -> str:
    return f"/v1/jobs/{job['id']}"


def running(api: Api) -> Running:
    """Return the job that a worker has just claimed."""
    cancel_what_waits(api)
    api.submit()
    return claimed(api)


def cancel_what_waits(api: Api) -> None:
    """Let the next claim take the next job."""
    for waiting in api.client.get("/v1/jobs", params={"state": "queued"}).json()["data"]:
        api.client.post(f"{path_of(waiting)}/cancel")


class TestWait:
    def test_a_request_waits_until_its_job_has_ended(self, shared_api: Api, ask: Ask) -> None:
        job = shared_api.submit()
        answer = ask(path_of(job), params={"wait": 60, "until": "ended"})

        shared_api.client.post(f"{path_of(job)}/cancel")

        assert answer.result(20).json()["state"] == "cancelled"

    def test_a_request_waits_until_its_job_has_started(self, shared_api: Api, ask: Ask) -> None:
        cancel_what_waits(shared_api)
        job = shared_api.submit()
        answer = ask(path_of(job), params={"wait": 60, "until": "started"})

        claimed(shared_api)

        assert answer.result(20).json()["state"] == "running"

    def test_a_request_waits_until_the_status_has_another_tag(
        self, shared_api: Api, ask: Ask
    ) -> None:
        job = running(shared_api)
        tag = shared_api.client.get(job.path).headers["ETag"]
        query, headers = {"wait": 60, "until": "changed"}, {"If-None-Match": tag}
        answer = ask(job.path, params=query, headers=headers)

        job.show_progress(Phase.TRAINING, eta_seconds=60.0)

        changed = answer.result(20)
        assert (changed.status_code, changed.json()["progress"]["eta_seconds"]) == (200, 60.0)

    @pytest.mark.parametrize(
        ("query", "tag"), [({"until": "changed"}, 'W/"older"'), ({"until": "started"}, "")]
    )
    def test_a_job_that_is_there_already_is_answered_at_once(
        self, shared_api: Api, query: dict[str, str], tag: str
    ) -> None:
        job = running(shared_api)

        with statements_to(shared_api.database) as statements:
            answer = shared_api.client.get(
                job.path, params={"wait": 60, **query}, headers={"If-None-Match": tag}
            )

        assert answer.json()["state"] == "running"
        assert statements.count("SELECT api_keys") == 1

    def test_the_end_of_the_time_answers_the_status_as_it_is(self, shared_api: Api) -> None:
        job = running(shared_api)
        tag = shared_api.client.get(job.path).headers["ETag"]

        ended = shared_api.client.get(job.path, params={"wait": 1})
        unchanged = shared_api.client.get(
            job.path, params={"wait": 1, "until": "changed"}, headers={"If-None-Match": tag}
        )

        assert (ended.status_code, ended.json()["state"]) == (200, "running")
        assert (unchanged.status_code, unchanged.content) == (304, b"")

    def test_a_request_that_does_not_wait_is_answered_as_before(self, shared_api: Api) -> None:
        job = path_of(shared_api.submit())

        plain, waited = (
            shared_api.client.get(job),
            shared_api.client.get(job, params={"wait": 0, "until": "ended"}),
        )

        assert plain.content == waited.content
        assert plain.headers["ETag"] == waited.headers["ETag"]

    def test_a_key_that_was_revoked_meanwhile_reads_nothing(
        self, shared_api: Api, ask: Ask
    ) -> None:
        roles = {shared_api.rows.project_id: MemberRole.MEMBER}
        reader = a_person(shared_api.database, roles)
        job = shared_api.submit()
        answer = ask(path_of(job), params={"wait": 60}, headers=reader.headers)

        shared_api.client.delete(f"/v1/keys/{reader.key_id}", headers=reader.headers)
        shared_api.client.post(f"{path_of(job)}/cancel")

        assert answer.result(20).status_code == 401

    def test_too_many_requests_that_wait_are_refused(
        self, shared_api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(waits_module, "MAX_WAITS_OF_CALLER", 0)

        answer = shared_api.client.get(path_of(shared_api.submit()), params={"wait": 60})

        assert_refused(answer, status=429, slug="too-many-waits")
        assert answer.headers["Retry-After"] == "1"

    @pytest.mark.parametrize(
        ("query", "pointer"),
        [
            ({"wait": 61}, "query/wait"),
            ({"wait": -1}, "query/wait"),
            ({"until": "paused"}, "query/until"),
            ({"timeout": 5}, "query/timeout"),
        ],
    )
    def test_a_wrong_query_is_refused(
        self, shared_api: Api, query: dict[str, Any], pointer: str
    ) -> None:
        answer = shared_api.client.get(path_of(shared_api.submit()), params=query)

        assert_refused(answer, status=422, slug="validation-error", pointer=pointer)


class TestJobWaits:
    """Requests that wait, without a server; the thread that looks for them does not run."""

    @pytest.fixture
    def draining(self) -> threading.Event:
        return threading.Event()

    @pytest.fixture
    def waits(self, database: Database, draining: threading.Event) -> JobWaits:
        return JobWaits(database, Listener(), draining)

    def test_all_requests_that_wait_are_looked_for_with_one_statement(
        self, database: Database, rows: Rows, waits: JobWaits
    ) -> None:
        jobs = [a_job(database, rows) for _ in range(3)]
        with database.read() as unit:
            marks = marks_of(unit.session, jobs)

        with statements_to(database) as statements:
            over = _waiting(
                waits,
                [
                    waits.wait(_request(), job, WaitTarget.CHANGED, seen=marks[job], seconds=60)
                    for job in jobs
                ],
            )

        assert (statements, over) == (["SELECT jobs"], 0)

    def test_a_job_that_is_gone_is_waited_for_no_longer(self, waits: JobWaits) -> None:
        wait = waits.wait(_request(), "job_gone", WaitTarget.ENDED, seen=NEVER, seconds=60)

        assert _waiting(waits, [wait]) == 1

    def test_a_server_that_stops_lets_no_request_wait(
        self, database: Database, rows: Rows, waits: JobWaits, draining: threading.Event
    ) -> None:
        job = a_job(database, rows)

        async def stop() -> None:
            wait = waits.wait(_request(), job, WaitTarget.ENDED, seen=NEVER, seconds=60)
            running = asyncio.create_task(wait)
            await asyncio.sleep(0)
            draining.set()
            await asyncio.to_thread(waits._look)
            await running
            await waits.wait(_request(), job, WaitTarget.ENDED, seen=NEVER, seconds=60)

        asyncio.run(stop())

        assert len(waits) == 0

    def test_a_client_that_leaves_frees_its_place(self, waits: JobWaits) -> None:
        request = _request(has_left=True)

        asyncio.run(waits.wait(request, "job_1", WaitTarget.ENDED, seen=NEVER, seconds=60))

        assert len(waits) == 0


def _request(*, has_left: bool = False) -> Request:
    """Return a request of a client that is there, or that leaves at once."""

    async def receive() -> Message:
        if not has_left:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    request = Request({"type": "http", "headers": []}, receive)
    request.state.principal = principal_of(Owner("usr_1", "prj_1"))
    return request


def _waiting(waits: JobWaits, requests: list[Coroutine[Any, Any, None]]) -> int:
    """Look once for requests that wait; return how many of them are over."""

    async def look() -> int:
        tasks = [asyncio.create_task(request) for request in requests]
        await asyncio.sleep(0)  # each task has begun to wait
        await asyncio.to_thread(waits._look)
        done, waiting = await asyncio.wait(tasks, timeout=0.1)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return len(done)

    return asyncio.run(look())
