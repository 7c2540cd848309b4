"""Requests that make a job while others change what it is made from."""

import pytest
from httpx2 import Response
from sqlalchemy import delete, func, select

from app.jobs.tables import IdempotencyKey, Job
from tests.api.conftest import Api
from tests.api.interleaving import KEY_LOOKUP, PLANNING, interleaved
from tests.api.jobs.extending import trained
from tests.api.refusals import assert_refused

pytestmark = pytest.mark.integration

KEY = {"Idempotency-Key": "a"}


def a_request(api: Api, what: str) -> tuple[str, dict[str, object]]:
    """Return path and body of a request that makes a job."""
    if what == "submit":
        return "/v1/jobs", api.spec()
    parent = trained(api)
    body: dict[str, object] = {"epochs": 6} if what == "extend" else {"priority": 1}
    return f"/v1/jobs/{parent}/{what}", body


def count_jobs(api: Api) -> int:
    with api.database.read() as unit:
        return unit.session.scalar(select(func.count()).select_from(Job)) or 0


class TestTheSameKeyTwiceAtOnce:
    @pytest.mark.parametrize("what", ["submit", "clone"])
    def test_both_requests_get_the_job_of_the_one_that_commits_first(
        self, api: Api, what: str
    ) -> None:
        path, body = a_request(api, what)
        before, first = count_jobs(api), list[Response]()

        def win() -> None:
            first.append(api.client.post(path, json=body, headers=KEY))

        with interleaved(api.database, {PLANNING: win}, times=1):
            second = api.client.post(path, json=body, headers=KEY)

        assert [answer.status_code for answer in (*first, second)] == [201, 200]
        assert second.headers["Idempotency-Replayed"] == "true"
        assert second.json()["id"] == first[0].json()["id"]
        assert count_jobs(api) == before + 1

    def test_lost_every_time_the_request_may_be_sent_again(self, api: Api) -> None:
        """The key of each faster request is deleted before this one looks it up."""
        body, before = api.spec(), count_jobs(api)
        faster: list[str] = []

        def win() -> None:
            faster.append(api.client.post("/v1/jobs", json=body, headers=KEY).json()["id"])

        def forget_the_key() -> None:
            with api.database.write() as unit:
                unit.session.execute(delete(IdempotencyKey))

        with interleaved(api.database, {KEY_LOOKUP: forget_the_key, PLANNING: win}):
            answer = api.client.post("/v1/jobs", json=body, headers=KEY)

        assert_refused(answer, status=503, slug="concurrent-requests")
        assert int(answer.headers["Retry-After"]) > 0
        assert count_jobs(api) == before + len(faster)
        again = api.client.post("/v1/jobs", json=body, headers=KEY)
        assert (again.status_code, again.json()["id"]) == (200, faster[-1])
