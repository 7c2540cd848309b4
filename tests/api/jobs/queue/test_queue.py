"""The queue in order, the slots and what they run, and slots that take no more jobs."""

import pytest

from app.core.database import database_now
from app.jobs.end_reasons import EndReason
from app.jobs.life.transitions import AttemptEnd, apply_event
from app.jobs.locks import lock_job
from app.jobs.states import JobEvent
from app.jobs.tables import Job
from tests.api.jobs.queue.waiting_jobs import a_stranger, emptied, takes
from tests.counting import statements_to
from tests.jobs.slots import a_slot, change_slot
from tests.worlds.rows import Rows, a_job
from tests.worlds.server import Api

pytestmark = pytest.mark.mostly_sqlite


@pytest.fixture
def api(shared_api: Api) -> Api:
    return emptied(shared_api)


@pytest.fixture
def me(api: Api) -> Rows:
    return api.rows


class TestQueue:
    def test_the_queue_has_rows_in_order(self, api: Api) -> None:
        a_slot(api.database)
        first = api.submit(resources={"gpus": 0})["id"]
        urgent = api.submit(priority=5)["id"]

        page = api.client.get("/v1/queue").json()

        assert [(each["place"], each["job"]["id"], each["needs"]) for each in page["data"]] == [
            (1, urgent, "any"),
            (2, first, "cpu"),
        ]
        assert [each["waits_for"] for each in page["data"]] == ["slot", "slot"]
        assert [each["starts_in_seconds"] for each in page["data"]] == [0.0, None]
        assert (page["not_shown"], page["has_more"]) == (0, False)

    def test_the_queue_has_pages(self, api: Api, me: Rows) -> None:
        jobs = [a_job(api.database, me) for _ in range(3)]
        first = api.client.get("/v1/queue", params={"limit": 2}).json()

        second = api.client.get("/v1/queue", params={"limit": 2, "cursor": first["next"]}).json()

        assert [each["job"]["id"] for each in (*first["data"], *second["data"])] == jobs

    def test_an_unknown_parameter_is_refused(self, api: Api) -> None:
        assert api.client.get("/v1/queue", params={"lane": "1"}).status_code == 422


class TestWorkers:
    def test_a_busy_slot_names_a_job_that_the_caller_may_see(self, api: Api, me: Rows) -> None:
        worker_id = a_slot(api.database)
        job_id = a_job(api.database, me, name="birds")
        takes(api, worker_id)

        (row,) = api.client.get("/v1/workers").json()["data"]

        assert (row["name"], row["busy"]) == ("here/cpu", True)
        assert row["job"] == {
            "id": job_id,
            "name": "birds",
            "epoch": None,
            "epochs": None,
            "done": None,
        }

    def test_a_job_of_another_project_only_makes_a_slot_busy(self, api: Api) -> None:
        worker_id = a_slot(api.database)
        a_job(api.database, a_stranger(api))
        takes(api, worker_id)

        (row,) = api.client.get("/v1/workers").json()["data"]

        assert (row["busy"], row["job"]) == (True, None)

    def test_a_live_slot_shows_its_use(self, api: Api) -> None:
        worker_id = a_slot(api.database)
        use = {"utilization": 0.94, "memory_bytes": 61, "memory_total_bytes": 80, "celsius": 67.0}
        change_slot(api.database, worker_id, use=use, use_means=[0.9, None])

        (row,) = api.client.get("/v1/workers").json()["data"]

        assert row["use"] == {**use, "watts": None, "cores_busy": None}
        assert row["use_15_min"] == [0.9, None]

    def test_a_slot_that_has_stopped_shows_no_use(self, api: Api) -> None:
        worker_id = a_slot(api.database)
        change_slot(api.database, worker_id, use={"utilization": 0.5}, stopped_at=database_now())

        (row,) = api.client.get("/v1/workers").json()["data"]

        assert (row["state"], row["use"]) == ("stopped", None)

    def test_the_statements_do_not_depend_on_the_number_of_slots(self, api: Api) -> None:
        for slot in ("0", "1", "2"):
            a_slot(api.database, slot)

        with statements_to(api.database) as statements:
            api.client.get("/v1/workers")

        assert [each for each in statements if "workers" in each or "jobs" in each] == [
            "SELECT workers",
            "SELECT workers",
            "SELECT jobs",
        ]


class TestCordons:
    def test_a_busy_slot_drains_until_its_job_has_left(self, api: Api, me: Rows) -> None:
        worker_id = a_slot(api.database)
        job_id = a_job(api.database, me)
        takes(api, worker_id)

        answer = api.client.post(f"/v1/workers/{worker_id}/drain")
        with api.database.write() as unit:
            job = lock_job(unit.session, Job.id == job_id)
            assert job is not None
            apply_event(unit.session, job, JobEvent.DRAIN, AttemptEnd(EndReason.WORKER_DRAINED))
        (row,) = api.client.get("/v1/workers").json()["data"]

        assert answer.status_code == 202
        assert (answer.json()["cordoned"], answer.json()["draining"]) == (True, True)
        assert (row["cordoned"], row["draining"], row["busy"]) == (True, False, False)

    def test_cordon_and_uncordon_answer_with_the_slot(self, api: Api) -> None:
        worker_id = a_slot(api.database)

        cordoned = api.client.post(f"/v1/workers/{worker_id}/cordon")
        again = api.client.post(f"/v1/workers/{worker_id}/cordon")
        back = api.client.post(f"/v1/workers/{worker_id}/uncordon")

        assert [answer.status_code for answer in (cordoned, again, back)] == [200, 200, 200]
        assert [answer.json()["cordoned"] for answer in (cordoned, again, back)] == [
            True,
            True,
            False,
        ]

    def test_an_unknown_slot_is_not_found(self, api: Api) -> None:
        answer = api.client.post("/v1/workers/wrk_none/drain")

        assert answer.status_code == 404
        assert answer.json()["type"].endswith("worker-not-found")
