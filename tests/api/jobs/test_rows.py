"""What a job's row and status say: in lists, while it waits, runs, and after it has failed."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app.core.database import database_now
from app.jobs.end_reasons import EndReason
from app.jobs.http.job_views import LINKED
from app.jobs.life.claim import SlotOffer, claim_job
from app.jobs.life.recorded import recorded_of
from app.jobs.life.recording import (
    EpochReport,
    ProgressReport,
    note_started,
    record_epoch,
    record_progress,
)
from app.jobs.life.transitions import AttemptEnd, apply_event
from app.jobs.locks import Hold, lock_held
from app.jobs.states import JobEvent
from app.jobs.tables import Job
from app.quotas.tables import Usage
from tests.api.asked import sql_on
from tests.api.refusals import assert_refused
from tests.jobs.slots import a_slot
from tests.worlds.rows import a_job, an_owner, principal_of
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

LEASE = timedelta(hours=1)
METRICS = {"metrics/mAP50(B)": 0.5, "val/box_loss": 1.25, "metrics/mAP50-95(B)": None}


def claimed(api: Api, job_id: str) -> Hold:
    with api.database.write() as unit:
        offer = SlotOffer("wrk_1", ("default",), gpus=0)
        job = claim_job(unit.session, offer, lease=LEASE, rung_for=job_id)
    assert job is not None
    assert job.id == job_id
    return Hold(job.id, job.attempt)


def failed(api: Api, end: AttemptEnd) -> str:
    """Submit a job and let it fail; return its id."""
    hold = claimed(api, api.submit()["id"])
    with api.database.write() as unit:
        apply_event(unit.session, lock_held(unit.session, hold), JobEvent.FAIL, end)
    return hold.job_id


def row_of(api: Api, job_id: str) -> dict[str, Any]:
    rows = api.client.get("/v1/jobs", params={"limit": 200}).json()["data"]
    return next(row for row in rows if row["id"] == job_id)


class TestRow:
    def test_a_row_has_the_fields_of_the_status_but_for_the_long_ones(
        self, shared_api: Api
    ) -> None:
        job_id = shared_api.submit(name="first")["id"]

        row, status = row_of(shared_api, job_id), shared_api.client.get(f"/v1/jobs/{job_id}").json()

        long = {"notes", "resume_epoch", "spec", "resolved", "class_weight_count"}
        assert set(status) - set(row) == long
        assert {name: status[name] for name in row} == row
        assert (row["created_by"], row["dataset_name"]) == ("owner", "shapes")
        assert (row["slot"], row["duration_seconds"]) == (None, 0)
        assert row["waiting_reason"] == "no_matching_worker"

    def test_a_running_job_has_a_slot_and_a_growing_duration(self, shared_api: Api) -> None:
        job_id = shared_api.submit()["id"]
        claimed(shared_api, job_id)

        first, second = row_of(shared_api, job_id), row_of(shared_api, job_id)

        assert first["slot"] == {"worker": "wrk_1", "name": None}
        assert (first["queue_position"], first["waiting_reason"]) == (None, None)
        assert 0 <= first["duration_seconds"] <= second["duration_seconds"] < 600

    def test_progress_has_the_first_epoch_of_its_attempt(self, shared_api: Api) -> None:
        hold = claimed(shared_api, shared_api.submit()["id"])
        with shared_api.database.write() as unit:
            note_started(unit.session, hold, device_name="cpu", first_epoch=14, data={})
            report = ProgressReport(15, 20, 1, 9, {}, 60.0)
            record_progress(unit.session, hold, report, lease=LEASE)

        progress = row_of(shared_api, hold.job_id)["progress"]

        assert (progress["started_epoch"], progress["eta_seconds"]) == (14, 60.0)

    def test_the_best_epoch_has_its_direction_and_all_its_metrics(self, shared_api: Api) -> None:
        hold = claimed(shared_api, shared_api.submit()["id"])
        loss = {"deciding_metric": "val/box_loss", "direction": "lower", "value": 1.25}
        with shared_api.database.write() as unit:
            report = EpochReport(2, 3, METRICS, 1.0, is_best=True, **loss)  # type: ignore[arg-type] # of several types
            record_epoch(unit.session, hold, report, recorded_of(unit.session, hold))

        assert row_of(shared_api, hold.job_id)["best"] == {
            "epoch": 2,
            "metric": "val/box_loss",
            "value": 1.25,
            "direction": "lower",
            "at": METRICS,
        }

    def test_a_best_epoch_that_an_earlier_release_wrote_has_no_metrics(
        self, shared_api: Api
    ) -> None:
        job_id = shared_api.submit()["id"]
        stale = {"epoch": 1, "direction": "lower", "metrics": {}}
        written = {"best_epoch": 2, "best_metric": "metrics/mAP50(B)", "best_value": 0.5}
        with shared_api.database.write() as unit:
            statement = update(Job).where(Job.id == job_id)
            unit.session.execute(statement.values(**written, best_at=stale))

        best = row_of(shared_api, job_id)["best"]

        assert (best["epoch"], best["direction"], best["at"]) == (2, "higher", None)

    def test_a_page_takes_the_same_statements_for_any_number_of_jobs(self, shared_api: Api) -> None:
        for _ in range(4):
            shared_api.submit()

        counts = []
        for limit in (1, 4):
            with sql_on(shared_api.database) as asked:
                shared_api.client.get("/v1/jobs", params={"limit": limit}).raise_for_status()
            counts.append(asked.reads)

        # The page; its records; tags; live slots; places in lanes, lanes, limits.
        assert counts == [7, 7]


class TestLinks:
    def test_every_link_leads_to_a_route(self, shared_api: Api) -> None:
        row = row_of(shared_api, shared_api.submit()["id"])

        paths = shared_api.app.openapi()["paths"]
        linked = [link.replace(row["id"], "{job_id}") for link in row["links"].values()]
        assert all("get" in paths.get(path, {}) for path in linked)
        assert len(linked) == len(LINKED) + 1


class TestWaiting:
    def test_waiting_jobs_have_the_same_place_and_reason_in_a_list(self, api: Api) -> None:
        ids = [api.submit(priority=priority)["id"] for priority in (0, 5, 0)]
        with api.database.write() as unit:
            backing_off = update(Job).where(Job.id == ids[2])
            unit.session.execute(backing_off.values(not_before_at=database_now(LEASE)))

        rows = [row_of(api, job_id) for job_id in ids]

        shown = [(row["queue_position"], row["waiting_reason"]) for row in rows]
        statuses = [api.client.get(f"/v1/jobs/{job_id}").json() for job_id in ids]
        assert shown == [(it["queue_position"], it["waiting_reason"]) for it in statuses]
        assert [position for position, _ in shown] == [2, 1, 3]

    def test_a_list_and_a_status_have_the_estimated_starts_of_the_queue(self, api: Api) -> None:
        a_slot(api.database)
        for seconds, queue in ((600.0, "default"), (60.0, "default"), (5.0, "night")):
            a_job(api.database, api.rows, estimated_seconds=seconds, queue=queue)

        rows = api.client.get("/v1/jobs").json()["data"]

        starts = {row["id"]: row["starts_in_seconds"] for row in rows}
        waiting = api.client.get("/v1/queue").json()["data"]
        in_queue = {it["job"]["id"]: it["starts_in_seconds"] for it in waiting}
        assert list(in_queue.values()) == [0.0, 600.0]
        assert starts == in_queue | {rows[0]["id"]: None}, "no slot serves the queue night"
        statuses = [api.client.get(f"/v1/jobs/{job_id}").json() for job_id in starts]
        assert {it["id"]: it["starts_in_seconds"] for it in statuses} == starts

    def test_estimates_take_two_statements_more_and_none_while_a_limit_holds_all(
        self, api: Api
    ) -> None:
        a_slot(api.database)
        for _ in range(4):
            api.submit()

        counts = []
        for limit in (None, 0):
            with api.database.write() as unit:
                limited = update(Usage).where(Usage.subject_id == api.rows.project_id)
                unit.session.execute(limited.values(max_running_jobs=limit))
            with sql_on(api.database) as asked:
                api.client.get("/v1/jobs").raise_for_status()
            counts.append(asked.reads)

        # Seven as above; then the running jobs, and the first places of the queue.
        assert counts == [9, 7]


class TestError:
    def test_an_error_has_a_title_a_line_and_an_attempt(self, shared_api: Api) -> None:
        end = AttemptEnd(EndReason.DISK_FULL, message="Full.", log_line=412)

        row = row_of(shared_api, failed(shared_api, end))

        assert row["error"] == {
            "code": "disk_full",
            "title": "A disk is full",
            "message": "Full.",
            "hint": EndReason.DISK_FULL.hint,
            "amended": {},
            "log_line": 412,
            "attempt": 1,
        }


class TestAmendedClone:
    NO_MEMORY = AttemptEnd(EndReason.OUT_OF_MEMORY, amended={"train": {"batch": 8}})

    def test_an_amended_clone_avoids_the_failure(self, shared_api: Api) -> None:
        parent = failed(shared_api, self.NO_MEMORY)

        answer = clone(shared_api, parent, amended=True)

        train = {"epochs": 2, "imgsz": 64, "batch": 8}
        assert answer.status_code == 201
        assert answer.json()["spec"] == shared_api.spec(train=train)

    def test_other_changes_are_applied_on_top(self, shared_api: Api) -> None:
        parent = failed(shared_api, self.NO_MEMORY)

        changes = {"train": {"epochs": 9, "imgsz": None}, "name": "smaller"}
        job = clone(shared_api, parent, amended=True, **changes).json()

        assert job["spec"] == shared_api.spec(train={"epochs": 9, "batch": 8}, name="smaller")

    def test_a_failure_of_the_machine_is_cloned_unchanged(self, shared_api: Api) -> None:
        parent = failed(shared_api, AttemptEnd(EndReason.DISK_FULL))

        assert clone(shared_api, parent, amended=True).json()["spec"] == shared_api.spec()

    def test_a_clone_that_is_not_amended_leaves_the_spec(self, shared_api: Api) -> None:
        parent = failed(shared_api, self.NO_MEMORY)

        assert clone(shared_api, parent, amended=False).json()["spec"] == shared_api.spec()

    def test_without_a_known_change_the_answer_names_what_is_allowed(self, shared_api: Api) -> None:
        answer = clone(shared_api, failed(shared_api, AttemptEnd(EndReason.BAD_DATA)), amended=True)

        assert_refused(answer, status=409, slug="nothing-to-amend")
        assert answer.json()["allowed"] == ["retry", "delete", "clone"]

    def test_a_job_that_did_not_fail_has_nothing_to_amend(self, shared_api: Api) -> None:
        answer = clone(shared_api, shared_api.submit()["id"], amended=True)

        assert_refused(answer, status=409, slug="nothing-to-amend")
        assert answer.json()["allowed"] == ["cancel", "pause", "resume", "clone"]

    @pytest.mark.parametrize("amended", [True, 1])
    def test_an_unknown_field_is_refused_before_a_wrong_amended(
        self, shared_api: Api, amended: object
    ) -> None:
        answer = clone(shared_api, shared_api.submit()["id"], amended=amended, bogus=1)

        assert_refused(answer, status=422, slug="validation-error", pointer="/bogus")

    @pytest.mark.parametrize("amended", ["true", 1, {}, []])
    def test_anything_but_true_and_false_is_refused(self, shared_api: Api, amended: object) -> None:
        parent = failed(shared_api, self.NO_MEMORY)

        answer = clone(shared_api, parent, amended=amended)

        assert_refused(answer, status=422, slug="validation-error", pointer="/amended")


class TestActor:
    def test_a_key_is_named_by_its_label_in_every_event_that_it_makes(self, api: Api) -> None:
        job_id = api.submit()["id"]
        path = f"/v1/jobs/{job_id}"
        api.client.patch(path, json={"name": "new"})
        for action in ("pause", "resume", "cancel", "retry", "cancel"):
            api.client.post(f"{path}/{action}").raise_for_status()
        api.client.delete(path)
        api.client.post(f"{path}/restore")

        events = api.client.get(f"{path}/events").json()["data"]

        assert len(events) == 9
        actors = [event["data"]["actor"] for event in events]
        assert actors == [{"key": "first key"}] * 9

    def test_a_user_with_a_session_is_named_by_their_name(self, api: Api) -> None:
        user = principal_of(an_owner(api.database, "second"))

        assert user.event_actor == {"user": "user of default"}


def clone(api: Api, job_id: str, **changes: object) -> Any:  # noqa: ANN401 -- the client's response
    return api.client.post(f"/v1/jobs/{job_id}/clone", json=changes)
