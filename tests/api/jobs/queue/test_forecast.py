"""Where a validated job would wait: the same answers as those of the job once it is submitted."""

from typing import Any

import pytest
from sqlalchemy import update

from app.quotas.tables import Usage
from tests.api.jobs.queue.waiting_jobs import a_stranger, emptied
from tests.jobs.slots import a_slot, change_slot
from tests.worlds.accounts import a_key
from tests.worlds.rows import Rows, a_job
from tests.worlds.server import Api

pytestmark = pytest.mark.mostly_sqlite


@pytest.fixture
def api(shared_api: Api) -> Api:
    return emptied(shared_api)


@pytest.fixture
def me(api: Api) -> Rows:
    return api.rows


def forecast(api: Api, **changes: object) -> dict[str, Any]:
    """Validate a job, and return where it would wait."""
    answer = api.client.post("/v1/jobs/validate", json=api.spec(**changes))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["queue"]
    return found


def afterwards(api: Api, **changes: object) -> dict[str, Any]:
    """Submit the same job, and return where it waits."""
    job = api.submit(**changes)
    waiting = api.client.get(f"/v1/jobs/{job['id']}/waiting").json()
    return {name: waiting[name] for name in ("place", "waits_for", "starts_in_seconds")}


class TestForecast:
    def test_a_free_slot_takes_the_job_now(self, api: Api) -> None:
        a_slot(api.database)

        assert forecast(api) == {
            "place": 1,
            "waits_for": "slot",
            "slot": "here/cpu",
            "starts_in_seconds": 0.0,
        }

    def test_without_a_slot_that_suits_no_start_is_known(self, api: Api) -> None:
        a_slot(api.database)

        found = forecast(api, resources={"gpus": 1})

        assert (found["waits_for"], found["slot"]) == ("no_matching_worker", None)
        assert found["starts_in_seconds"] is None

    def test_a_cordoned_slot_is_named_as_the_reason(self, api: Api) -> None:
        change_slot(api.database, a_slot(api.database), cordon="cordoned")

        assert forecast(api)["waits_for"] == "cordoned"

    def test_a_job_starts_after_those_before_it(self, api: Api, me: Rows) -> None:
        a_slot(api.database)
        a_job(api.database, me, estimated_seconds=100.0)

        found = forecast(api)

        assert (found["place"], found["starts_in_seconds"]) == (2, 100.0)

    def test_a_higher_priority_passes_those_that_wait(self, api: Api, me: Rows) -> None:
        a_slot(api.database)
        a_job(api.database, me, estimated_seconds=100.0)

        found = forecast(api, priority=1)

        assert (found["place"], found["starts_in_seconds"]) == (1, 0.0)

    def test_a_limit_that_holds_the_project_is_the_reason(self, api: Api, me: Rows) -> None:
        a_slot(api.database)
        with api.database.write() as unit:
            statement = update(Usage).where(Usage.subject_id == me.project_id)
            unit.session.execute(statement.values(max_running_jobs=0))

        found = forecast(api)

        assert (found["place"], found["waits_for"]) == (None, "project_running_limit")

    @pytest.mark.parametrize("own", [0, 2])
    @pytest.mark.parametrize("priority", [-1, 0, 1])
    def test_the_submitted_job_waits_as_it_was_foretold(
        self, api: Api, me: Rows, own: int, priority: int
    ) -> None:
        a_slot(api.database)
        stranger = a_stranger(api)
        for rows, count in ((stranger, 3), (me, own)):
            for _ in range(count):
                a_job(api.database, rows, estimated_seconds=60.0)

        found = forecast(api, priority=priority)

        found.pop("slot")
        assert found == afterwards(api, priority=priority)

    def test_a_key_that_may_not_read_workers_sees_no_slot(self, api: Api, me: Rows) -> None:
        a_slot(api.database)
        _, key = a_key(api.database, me.user_id, scopes=["jobs:write"])
        headers = {"authorization": f"Bearer {key}"}

        answer = api.client.post("/v1/jobs/validate", json=api.spec(), headers=headers)

        assert answer.json()["queue"]["slot"] is None


class TestSpec:
    def test_the_spec_is_the_one_that_a_submit_stores(self, api: Api) -> None:
        sent = api.spec(customize={"freeze": {"layers": "backbone", "epochs": 1}})

        checked = api.client.post("/v1/jobs/validate", json=sent).json()["spec"]

        assert checked == api.client.post("/v1/jobs", json=sent).json()["spec"]
