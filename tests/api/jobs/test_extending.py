"""Extending jobs over HTTP: what the new job inherits, and refusals without a training state."""

import pytest
from sqlalchemy import event, select, update

from app.accounts.issue_key import issue_key
from app.accounts.tables import ApiKey
from app.artifacts.tables import Artifact
from app.jobs.life.transitions import apply_event
from app.jobs.locks import lock_job
from app.jobs.states import JobEvent, JobState
from app.jobs.tables import Epoch, Job, Joint
from tests.api.jobs.extending import (
    checkpoints,
    delete_for_good,
    extend,
    extended,
    metrics,
    trained,
)
from tests.api.refusals import assert_refused, rows_by_table
from tests.jobs.trained import FAILED, RATE, digest, train
from tests.worlds.rows import NO_JOB, a_job, job_row, some_rows
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

BEST_OF_PARENT = {
    "epoch": 2,
    "metric": "fitness",
    "value": 0.3,
    "direction": "higher",
    "at": {"metrics/mAP50-95(B)": 0.3},
}


@pytest.fixture
def api(shared_api: Api) -> Api:
    """One server for all tests of this module: each test uses its own jobs."""
    return shared_api


class TestTheNewJob:
    def test_an_extension_is_queued_with_the_spec_of_its_parent_and_more_epochs(
        self, api: Api
    ) -> None:
        parent = trained(api, name="first", tags={"line": "4"})

        answer = extend(api, parent, 6)

        job, of_parent = answer.json(), api.client.get(f"/v1/jobs/{parent}").json()
        assert answer.status_code == 201
        assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
        assert (job["parent"], job["state"], job["name"]) == (parent, "queued", "first")
        assert job["spec"] == of_parent["spec"] | {"train": {"epochs": 6, "imgsz": 64}}
        assert job["dataset_version"] == of_parent["dataset_version"]

    def test_a_name_may_be_given_or_taken_away(self, api: Api) -> None:
        parent = trained(api, name="first")

        names = [extend(api, parent, name=name).json()["name"] for name in ("second", None)]

        assert names == ["second", None]

    def test_the_first_event_of_an_extension_names_the_epoch_it_continues_from(
        self, api: Api
    ) -> None:
        parent = trained(api)

        child = extended(api, parent)

        events = api.client.get(f"/v1/jobs/{child}/events").json()["data"]
        assert [(row["seq"], row["type"], row["data"]) for row in events] == [
            (
                1,
                "job.submitted",
                {"extends": parent, "epoch": 4, "actor": {"key": "first key"}},
            )
        ]

    def test_an_extension_has_the_files_of_the_newest_state_and_the_parent_keeps_them(
        self, api: Api
    ) -> None:
        parent = trained(api, (0.1, 0.3, 0.2, 0.4), states=(2, 3))
        before = checkpoints(api, parent)

        child = extended(api, parent)

        assert checkpoints(api, child) == [
            (name, epoch, digest(parent, name, epoch))
            for name, epoch in (("best.pt", 2), ("last.pt", 3), ("results.csv", 3), ("state.pt", 3))
        ]
        assert checkpoints(api, parent) == before

    def test_an_extension_begins_with_the_best_the_curve_and_the_threads_of_its_parent(
        self, api: Api
    ) -> None:
        parent = trained(api, (0.1, 0.3, 0.2, 0.4), states=(2, 3))

        job = extend(api, parent).json()

        assert job["best"] == BEST_OF_PARENT
        assert job["curve"] == [0.1, 0.3, 0.2]
        assert job_row(api.database, job["id"]).threads == 3

    def test_the_curve_of_an_extension_has_the_points_of_a_longer_training(self, api: Api) -> None:
        parent = trained(api)

        assert extend(api, parent, 80).json()["curve"] == [0.2, 0.4], "every second epoch of 80"

    @pytest.mark.slow
    def test_an_extension_is_made_without_reading_all_epochs_of_its_parent(self, api: Api) -> None:
        values = [number / 300 for number in range(1, 301)]
        parent = trained(api, values, states=(300,), train={"epochs": 300})
        read: list[int] = []

        def note(row: Epoch, _: object) -> None:
            read.append(row.epoch)

        event.listen(Epoch, "load", note)
        job = extend(api, parent, 400).json()
        event.remove(Epoch, "load", note)

        assert job["curve"] == [value for number, value in enumerate(values, 1) if not number % 10]
        assert read == [*range(10, 301, 10)]

    def test_an_extension_keeps_the_optimizer_that_auto_chose_whatever_the_epochs(
        self, api: Api
    ) -> None:
        parent = trained(api)

        resolved = extend(api, parent, 100_000).json()["resolved"]["train"]

        assert (resolved["optimizer"], resolved["lr0"]) == ("AdamW", 0.001667)
        assert resolved["warmup_bias_lr"] == 0.0

    def test_an_extension_keeps_the_batch_that_its_parent_was_halved_to(self, api: Api) -> None:
        parent = trained(api)
        resolved = job_row(api.database, parent).resolved_spec
        halved = resolved | {"train": resolved["train"] | {"batch": 8}}
        with api.database.write() as unit:
            unit.session.execute(update(Job).where(Job.id == parent).values(resolved_spec=halved))

        assert extend(api, parent).json()["resolved"]["train"]["batch"] == 8

    @pytest.mark.parametrize("ended", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])
    def test_a_job_that_ended_in_any_way_can_be_extended(self, api: Api, ended: JobState) -> None:
        parent: str = api.submit(train={"epochs": 4})["id"]
        train(api.database, parent, (0.1, 0.2), states=(2,), end=FAILED)
        with api.database.write() as unit:
            unit.session.execute(update(Job).where(Job.id == parent).values(state=ended))

        assert job_row(api.database, extended(api, parent, 3)).state is JobState.QUEUED

    def test_an_extension_can_be_extended_before_it_trained_anything(self, api: Api) -> None:
        first = trained(api, (0.1, 0.3, 0.2, 0.4), states=(3,))
        second = extended(api, first, 6)
        api.client.post(f"/v1/jobs/{second}/cancel")

        third = extend(api, second, 8).json()

        assert third["best"] == BEST_OF_PARENT
        assert checkpoints(api, third["id"]) == checkpoints(api, second)

    def test_an_extension_needs_nothing_of_a_parent_that_is_deleted_for_good(
        self, api: Api
    ) -> None:
        parent = trained(api)
        child = extended(api, parent)
        before = checkpoints(api, child)

        delete_for_good(api, parent)

        assert api.client.get(f"/v1/jobs/{child}").json()["parent"] is None
        assert checkpoints(api, child) == before
        with api.database.read() as unit:
            made = select(Artifact.id).where(Artifact.job_id == parent)
            assert unit.session.scalars(made).all() == []


class TestRefusals:
    @pytest.mark.parametrize("state", [JobState.QUEUED, JobState.PAUSED])
    def test_a_job_that_has_not_ended_may_still_train_on(self, api: Api, state: JobState) -> None:
        parent = trained(api)
        with api.database.write() as unit:
            values: dict[str, object] = {"state": state, "ended_at": None, "end_reason": None}
            unit.session.execute(update(Job).where(Job.id == parent).values(**values))

        answer = extend(api, parent)

        assert_refused(answer, status=409, slug="job-not-ended")
        assert answer.json()["state"] == state

    def test_a_job_without_a_state_is_refused_with_a_model_for_a_warm_start(self, api: Api) -> None:
        parent = trained(api, states=())
        with api.database.write() as unit:
            unit.session.execute(
                update(Artifact)
                .where(Artifact.epoch == 4, Artifact.name == "best.pt")
                .values(kind="weights")
            )

        answer = extend(api, parent)

        assert_refused(answer, status=409, slug="no-training-state")
        assert answer.json()["model"] == parent
        warm = api.client.post("/v1/jobs", json=api.spec(model=answer.json()["model"]))
        assert warm.status_code == 201

    def test_a_job_without_a_state_or_weights_is_refused_without_a_model(self, api: Api) -> None:
        parent = trained(api, states=())

        answer = extend(api, parent)

        assert_refused(answer, status=409, slug="no-training-state")
        assert answer.json()["model"] is None

    @pytest.mark.parametrize("epochs", [1, 3, 4])
    def test_epochs_must_be_above_those_that_were_finished(self, api: Api, epochs: int) -> None:
        parent = trained(api, states=(2,))
        before = rows_by_table(api.database)

        answer = extend(api, parent, epochs)

        assert_refused(answer, status=422, slug="validation-error", pointer="/epochs")
        assert rows_by_table(api.database) == before

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({}, "/epochs"),
            ({"epochs": 0}, "/epochs"),
            ({"epochs": "6"}, "/epochs"),
            ({"epochs": 6, "name": ""}, "/name"),
            ({"epochs": 6, "train": {}}, "/train"),
        ],
    )
    def test_nothing_else_can_be_asked_for(
        self, api: Api, body: dict[str, object], pointer: str
    ) -> None:
        answer = api.client.post(f"/v1/jobs/{trained(api)}/extend", json=body)

        assert_refused(answer, status=422, slug="validation-error", pointer=pointer)

    def test_a_job_in_the_trash_is_restored_first(self, api: Api) -> None:
        parent = trained(api)
        api.client.delete(f"/v1/jobs/{parent}")

        assert_refused(extend(api, parent), status=409, slug="job-in-trash")

    def test_the_jobs_of_others_are_not_found(self, api: Api) -> None:
        foreign = a_job(api.database, some_rows(api.database, name="foreign"))

        for job_id in (foreign, NO_JOB):
            assert_refused(extend(api, job_id), status=404, slug="job-not-found")

    def test_a_key_that_only_reads_does_not_extend(self, api: Api) -> None:
        parent, key = trained(api), issue_key(api.database, label="reads alone")
        with api.database.write() as unit:
            reads = update(ApiKey).where(ApiKey.label == "reads alone")
            unit.session.execute(reads.values(scopes=["jobs:read"]))

        answer = api.client.post(
            f"/v1/jobs/{parent}/extend",
            json={"epochs": 6},
            headers={"Authorization": f"Bearer {key}"},
        )

        assert_refused(answer, status=403, slug="insufficient-scope")


class TestTheSameKey:
    def test_the_same_key_answers_with_the_same_job_even_after_its_parent_is_gone(
        self, api: Api
    ) -> None:
        parent, headers = trained(api), {"Idempotency-Key": "extended-once"}
        path = f"/v1/jobs/{parent}/extend"
        first = api.client.post(path, json={"epochs": 6}, headers=headers)
        delete_for_good(api, parent)

        second = api.client.post(path, json={"epochs": 6}, headers=headers)

        assert (first.status_code, second.status_code) == (201, 200)
        assert second.json()["id"] == first.json()["id"]

    @pytest.mark.parametrize("body", [{"epochs": 7}, {"epochs": 6, "name": "other"}])
    def test_an_extension_with_the_same_key_and_another_body_is_refused(
        self, api: Api, body: dict[str, object]
    ) -> None:
        parent = trained(api)
        path, headers = f"/v1/jobs/{parent}/extend", {"Idempotency-Key": parent}
        api.client.post(path, json={"epochs": 6}, headers=headers)

        answer = api.client.post(path, json=body, headers=headers)

        assert_refused(answer, status=422, slug="idempotency-key-reuse")


class TestThePlan:
    def test_a_plan_of_an_extension_has_the_repeated_epochs_and_the_rates_on_both_sides(
        self, api: Api
    ) -> None:
        settings = {"epochs": 4, "optimizer": "SGD", "lr0": 0.5, "warmup_epochs": 0, "patience": 2}
        parent = trained(api, states=(3,), train=settings)

        child = extended(api, parent, 10)

        plan = api.client.get(f"/v1/jobs/{child}/plan").json()
        joint = plan["joint"]
        rates = {each["name"]: (each["before"], each["after"]) for each in joint["rates"]}
        share = 1 - 3 / 10 * 0.99
        assert (joint["job"], joint["epoch"]) == (parent, 3)
        assert (joint["epochs_trained"], joint["epochs_redone"]) == (7, 1)
        assert (joint["mosaic_closes"], joint["earliest_stop"]) == (4, 5)
        assert rates[RATE] == (1 / 3, pytest.approx(0.5 * share))
        assert (plan["extent"]["first_epoch"], plan["extent"]["epochs"]) == (4, 10)

    def test_validating_an_extension_answers_its_plan_and_stores_nothing(self, api: Api) -> None:
        parent = trained(api)
        before = rows_by_table(api.database)

        answer = api.client.post(f"/v1/jobs/{parent}/extend/validate", json={"epochs": 9})

        assert answer.status_code == 200
        assert rows_by_table(api.database) == before
        child = extended(api, parent, 9)
        kept = api.client.get(f"/v1/jobs/{child}/plan").json()
        assert kept == answer.json()

    def test_validating_an_extension_is_refused_as_extending_is(self, api: Api) -> None:
        parent = trained(api)

        answer = api.client.post(f"/v1/jobs/{parent}/extend/validate", json={"epochs": 4})

        assert_refused(answer, status=422, slug="validation-error", pointer="/epochs")

    def test_a_job_that_goes_on_from_no_other_has_no_joint(self, api: Api) -> None:
        plan = api.client.get(api.submit()["links"]["plan"]).json()

        assert (plan["joint"], plan["extent"]["first_epoch"]) == (None, 1)


class TestAfterALateRetry:
    def test_a_parent_that_trains_again_takes_nothing_from_its_extension(self, api: Api) -> None:
        parent: str = api.submit(train={"epochs": 4})["id"]
        train(api.database, parent, (0.1, 0.2), states=(2,), end=FAILED)
        child = extended(api, parent, 6)
        before = checkpoints(api, child)

        with api.database.write() as unit:
            job = lock_job(unit.session, Job.id == parent)
            assert job is not None
            apply_event(unit.session, job, JobEvent.RETRY)
        train(api.database, parent, (0.9, 0.9), states=(4,), first=3)

        assert checkpoints(api, child) == before
        with api.database.read() as unit:
            joint = select(Joint.epoch).where(Joint.job_id == child)
            assert unit.session.scalars(joint).all() == [2]
            rows = unit.session.scalars(select(Epoch.epoch).where(Epoch.job_id == child)).all()
        assert list(rows) == []
        assert metrics(api, child)["epochs"] == [1, 2]
