"""Requests that create a job while other requests change its sources."""

from datetime import timedelta

import pytest
from httpx2 import Response
from sqlalchemy import delete, func, select

from app.jobs.states import JobEvent
from app.jobs.tables import IdempotencyKey, Job
from app.ops.retention import drop_outdated_state
from tests.api.interleaving import KEY_LOOKUP, PLANNING, interleaved
from tests.api.jobs.extending import checkpoints, delete_for_good, extend, trained
from tests.api.refusals import assert_refused
from tests.jobs.trained import FAILED, FINISHED, digest, train
from tests.worlds.rows import job_row
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

KEY = {"Idempotency-Key": "a"}


def a_request(api: Api, what: str) -> tuple[str, dict[str, object]]:
    """Return path and body of a request that creates a job."""
    if what == "submit":
        return "/v1/jobs", api.spec()
    parent = trained(api)
    body: dict[str, object] = {"epochs": 6} if what == "extend" else {"priority": 1}
    return f"/v1/jobs/{parent}/{what}", body


def count_jobs(api: Api) -> int:
    with api.database.read() as unit:
        return unit.session.scalar(select(func.count()).select_from(Job)) or 0


class TestTheSameKeyTwiceAtOnce:
    @pytest.mark.parametrize("what", ["submit", "clone", "extend"])
    def test_both_requests_get_the_job_of_the_one_that_commits_first(
        self, api: Api, what: str
    ) -> None:
        path, body = a_request(api, what)
        before, first = count_jobs(api), list[Response]()

        def win() -> None:
            first.append(api.client.post(path, json=body, headers=KEY))

        with interleaved(api.database, {PLANNING: win}, times=1):
            second = api.client.post(path, json=body, headers=KEY)

        assert [reply.status_code for reply in (*first, second)] == [201, 200]
        assert second.headers["Idempotency-Replayed"] == "true"
        assert second.json()["id"] == first[0].json()["id"]
        assert count_jobs(api) == before + 1

    def test_a_request_that_loses_every_race_can_be_retried(self, api: Api) -> None:
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


class TestAParentThatChangesWhileItsExtensionIsPlanned:
    def test_a_parent_can_be_written_to_while_its_extension_is_planned(self, api: Api) -> None:
        """No write transaction is open: SQLite has one writer, PostgreSQL locks the row."""
        parent, written = trained(api), list[Response]()

        def write() -> None:
            path = f"/v1/jobs/{parent}"
            written.append(api.client.patch(path, json={"notes": "while it is planned"}))

        with interleaved(api.database, {PLANNING: write}, times=1):
            answer = extend(api, parent)

        assert [reply.status_code for reply in (*written, answer)] == [200, 201]
        assert job_row(api.database, parent).notes == "while it is planned"

    def test_a_parent_that_trains_again_meanwhile_is_not_extended(self, api: Api) -> None:
        parent, before = a_failed_job(api), count_jobs(api)

        with interleaved(api.database, {PLANNING: lambda: retry(api, parent)}, times=1):
            answer = extend(api, parent)

        assert_refused(answer, status=409, slug="job-not-ended")
        assert count_jobs(api) == before

    def test_a_parent_that_trained_again_meanwhile_is_extended_from_its_new_state(
        self, api: Api
    ) -> None:
        parent = a_failed_job(api)

        def train_on() -> None:
            retry(api, parent)
            train(api.database, parent, (0.3, 0.4), states=(4,), first=3, end=FINISHED)

        with interleaved(api.database, {PLANNING: train_on}, times=1):
            answer = extend(api, parent)

        child = answer.json()
        assert answer.status_code == 201
        assert (child["best"]["epoch"], child["best"]["value"]) == (4, 0.4)
        assert ("state.pt", 4, digest(parent, "state.pt", 4)) in checkpoints(api, child["id"])

    def test_an_extension_needs_more_epochs_than_its_parent_finished_meanwhile(
        self, api: Api
    ) -> None:
        parent, before = a_failed_job(api), count_jobs(api)

        def train_on() -> None:
            retry(api, parent)
            train(api.database, parent, (0.3, 0.4), states=(), first=3, end=FAILED)

        with interleaved(api.database, {PLANNING: train_on}, times=1):
            answer = extend(api, parent, 4)

        assert_refused(answer, status=422, slug="validation-error", pointer="/epochs")
        assert count_jobs(api) == before

    def test_a_parent_that_loses_its_state_meanwhile_is_not_extended(self, api: Api) -> None:
        parent = trained(api)
        before = count_jobs(api)

        def lose_the_state() -> None:
            ages, none = timedelta(days=-1), timedelta()
            assert drop_outdated_state(api.database, parent, after=ages, grace=none)

        with interleaved(api.database, {PLANNING: lose_the_state}, times=1):
            answer = extend(api, parent)

        assert_refused(answer, status=409, slug="no-training-state")
        assert count_jobs(api) == before

    def test_a_parent_that_is_deleted_meanwhile_is_not_found(self, api: Api) -> None:
        parent = trained(api)

        with interleaved(api.database, {PLANNING: lambda: delete_for_good(api, parent)}, times=1):
            answer = extend(api, parent)

        assert_refused(answer, status=404, slug="job-not-found")
        assert count_jobs(api) == 0

    def test_a_parent_that_trains_again_each_time_can_be_extended_later(self, api: Api) -> None:
        parent, before = a_failed_job(api), count_jobs(api)
        epochs = iter(range(3, 100))

        def train_one_epoch() -> None:
            epoch = next(epochs)
            retry(api, parent)
            train(api.database, parent, (0.3,), states=(epoch,), first=epoch, end=FAILED)

        with interleaved(api.database, {PLANNING: train_one_epoch}):
            answer = extend(api, parent, 50)

        assert_refused(answer, status=503, slug="concurrent-requests")
        assert count_jobs(api) == before
        assert extend(api, parent, 50).status_code == 201


def a_failed_job(api: Api) -> str:
    job_id: str = api.submit(train={"epochs": 4, "imgsz": 64})["id"]
    train(api.database, job_id, (0.1, 0.2), states=(2,), end=FAILED)
    return job_id


def retry(api: Api, job_id: str) -> None:
    assert api.client.post(f"/v1/jobs/{job_id}/{JobEvent.RETRY}").status_code == 202
