"""Curves over HTTP: of one job and of several, with running time, marks and what was used."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from sqlalchemy import update

from app.jobs import curves
from app.jobs.end_reasons import EndReason
from app.jobs.states import JobEvent
from app.jobs.tables import Attempt, Epoch
from tests.api.asked import sql_on
from tests.api.jobs.extending import delete_for_good, extended, trained
from tests.api.refusals import assert_refused
from tests.jobs.trained import MAP, RATE, train
from tests.worlds.rows import NO_JOB
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)
LOST: Final = (JobEvent.INTERRUPT, EndReason.WORKER_LOST)
JOBS: Final = 20


@pytest.fixture
def api(shared_api: Api) -> Api:
    """One server for all tests of this module: each test uses its own jobs."""
    return shared_api


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def ran(
    api: Api,
    job_id: str,
    attempts: Mapping[int, tuple[float, float]],
    epochs: Mapping[int, float],
) -> None:
    """Set when the attempts of a job began and ended, and when its epochs were recorded."""
    with api.database.write() as unit:
        for number, (began, ended) in attempts.items():
            unit.session.execute(
                update(Attempt)
                .where(Attempt.job_id == job_id, Attempt.number == number)
                .values(started_at=at(began), ended_at=at(ended))
            )
        for epoch, seconds in epochs.items():
            unit.session.execute(
                update(Epoch)
                .where(Epoch.job_id == job_id, Epoch.epoch == epoch)
                .values(created_at=at(seconds))
            )


def curve(api: Api, job_id: str, **query: str | int) -> dict[str, Any]:
    answer = api.client.get(f"/v1/jobs/{job_id}/metrics", params=query)
    assert answer.status_code == 200, answer.text
    view: dict[str, Any] = answer.json()
    return view


def curves_of(api: Api, *jobs: str, **query: str | int) -> dict[str, Any]:
    answer = api.client.get("/v1/metrics", params={"jobs": ",".join(jobs), **query})
    assert answer.status_code == 200, answer.text
    view: dict[str, Any] = answer.json()
    return view


def marks(view: Mapping[str, Any]) -> list[tuple[int, str]]:
    return [(mark["epoch"], mark["kind"]) for mark in view["marks"]]


def interrupted(api: Api, **spec: object) -> str:
    """Train a job of four epochs in two attempts: two epochs each."""
    job_id: str = api.submit(**{"train": {"epochs": 4, "imgsz": 64}} | spec)["id"]
    train(api.database, job_id, (0.1, 0.4), states=(2,), end=LOST)
    train(api.database, job_id, (0.2, 0.3), states=(4,), first=3)
    return job_id


class TestTime:
    def test_seconds_are_those_of_all_attempts_without_the_time_between_them(
        self, api: Api
    ) -> None:
        job = interrupted(api)
        ran(api, job, {1: (0, 25), 2: (1000, 1100)}, {1: 10, 2: 20, 3: 1010.5, 4: 1020})

        view = curve(api, job)

        assert view["seconds"] == [10, 20, 35.5, 45]
        assert [datetime.fromisoformat(each) for each in view["ended_at"]] == [
            at(10),
            at(20),
            at(1010.5),
            at(1020),
        ]

    def test_seconds_of_later_epochs_include_those_before(self, api: Api) -> None:
        job = interrupted(api)
        ran(api, job, {1: (0, 25), 2: (1000, 1100)}, {1: 10, 2: 20, 3: 1010, 4: 1020})

        view = curve(api, job, since=2, until=3)

        assert (view["epochs"], view["seconds"]) == ([3], [35])

    @pytest.mark.parametrize("since", [0, 3])
    def test_seconds_of_a_lineage_go_on_from_the_epoch_where_it_was_extended(
        self, api: Api, since: int
    ) -> None:
        parent = trained(api, states=(3,))
        child = extended(api, parent, 5)
        train(api.database, child, (0.5, 0.6), states=(5,), first=4)
        ran(api, parent, {1: (0, 100)}, {1: 10, 2: 20, 3: 30, 4: 40})
        ran(api, child, {1: (500, 600)}, {4: 507, 5: 514})

        view = curve(api, child, lineage="true", since=since)

        assert view["seconds"] == [10, 20, 30, 37, 44][since:]

    def test_the_best_epoch_is_named(self, api: Api) -> None:
        assert curve(api, interrupted(api))["best"] == 2


class TestMarks:
    def test_a_resume_unfrozen_layers_and_closed_mosaic_are_marked_once(self, api: Api) -> None:
        job = interrupted(
            api,
            train={"epochs": 4, "imgsz": 64, "close_mosaic": 1},
            customize={"freeze": {"layers": "backbone", "epochs": 1}},
        )

        assert marks(curve(api, job)) == [
            (2, "layers_unfrozen"),
            (3, "resumed"),
            (4, "mosaic_closed"),
        ]

    def test_only_epochs_that_are_returned_have_marks(self, api: Api) -> None:
        job = interrupted(api, train={"epochs": 4, "imgsz": 64, "close_mosaic": 1})

        assert marks(curve(api, job, since=2, until=3)) == [(3, "resumed")]
        assert marks(curve(api, job, since=3)) == [(4, "mosaic_closed")]

    @pytest.mark.parametrize("train_arguments", [{"close_mosaic": 0}, {"mosaic": 0.0}])
    def test_a_mosaic_that_never_closes_has_no_mark(
        self, api: Api, train_arguments: dict[str, float]
    ) -> None:
        job = trained(api, train={"epochs": 4, "imgsz": 64, **train_arguments})

        assert marks(curve(api, job)) == []

    def test_an_extension_is_marked_where_it_begins(self, api: Api) -> None:
        parent = trained(api, states=(3,), train={"epochs": 4, "imgsz": 64, "close_mosaic": 1})
        child = extended(api, parent, 5)
        train(api.database, child, (0.5, 0.6), states=(5,), first=4)

        own, whole = curve(api, child), curve(api, child, lineage="true")

        assert marks(own) == marks(whole) == [(4, "extended"), (5, "mosaic_closed")]

    def test_a_mosaic_that_was_closed_before_the_job_began_closes_where_it_begins(
        self, api: Api
    ) -> None:
        parent = trained(api, states=(3,), train={"epochs": 4, "imgsz": 64, "close_mosaic": 4})
        child = extended(api, parent, 5)
        train(api.database, child, (0.5, 0.6), states=(5,), first=4)

        assert marks(curve(api, child)) == [(4, "extended"), (4, "mosaic_closed")]


class TestManyJobs:
    def test_each_job_has_what_its_own_route_returns(self, api: Api) -> None:
        first, second = trained(api), interrupted(api)

        view = curves_of(api, first, second)

        assert list(view["jobs"]) == [first, second]
        assert view == {
            "jobs": {job: curve(api, job) for job in (first, second)},
            "missing": [],
        }

    def test_each_job_can_come_with_its_lineage(self, api: Api) -> None:
        parent = trained(api, states=(3,))
        child = extended(api, parent, 5)
        train(api.database, child, (0.5, 0.6), states=(5,), first=4)

        view = curves_of(api, child, parent, lineage="true")

        assert view["jobs"] == {job: curve(api, job, lineage="true") for job in (child, parent)}
        assert view["jobs"][child]["epochs"] == [1, 2, 3, 4, 5]

    def test_ids_without_a_job_are_named_as_missing(self, api: Api) -> None:
        job, deleted = trained(api), trained(api)
        delete_for_good(api, deleted)

        view = curves_of(api, NO_JOB, job, deleted, "no id")

        assert list(view["jobs"]) == [job]
        assert view["missing"] == [NO_JOB, deleted, "no id"]

    def test_a_job_that_has_trained_nothing_has_empty_columns(self, api: Api) -> None:
        job = api.submit()["id"]

        view = curves_of(api, job)["jobs"][job]

        assert view == {
            "lineage": None,
            "epochs": [],
            "series": {},
            "seconds": [],
            "ended_at": [],
            "best": None,
            "marks": [],
        }

    @pytest.mark.parametrize("keys", [f"{MAP},{RATE}", [MAP, RATE]], ids=["commas", "repeated"])
    def test_keys_are_separated_by_commas_or_repeated(
        self, api: Api, keys: str | list[str]
    ) -> None:
        job = trained(api)

        answer = api.client.get("/v1/metrics", params={"jobs": job, "keys": keys})

        assert set(answer.json()["jobs"][job]["series"]) == {MAP, RATE}

    @pytest.mark.parametrize(
        ("query", "pointer"),
        [
            ({}, "query/jobs"),
            ({"jobs": ""}, "query/jobs"),
            ({"jobs": ",".join(f"job_{n}" for n in range(JOBS + 1))}, "query/jobs"),
            ({"jobs": NO_JOB, "since": -1}, "query/since"),
            ({"jobs": NO_JOB, "points": 9}, "query/points"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, api: Api, query: dict[str, str | int], pointer: str
    ) -> None:
        answer = api.client.get("/v1/metrics", params=query)

        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"].startswith(pointer)

    @pytest.mark.parametrize(("lineage", "statements"), [("false", 3), ("true", 4)])
    def test_any_number_of_jobs_costs_the_same_statements(
        self, api: Api, lineage: str, statements: int
    ) -> None:
        jobs = [trained(api) for _ in range(3)]

        for asked_for in (jobs[:1], jobs):
            with sql_on(api.database) as asked:
                curves_of(api, *asked_for, lineage=lineage)
            assert (asked.reads, asked.writes) == (statements, 0)


class TestUnchanged:
    def test_a_caller_that_has_the_newest_epochs_reads_one_statement(self, api: Api) -> None:
        jobs = [trained(api), trained(api)]
        params = {"jobs": ",".join(jobs)}
        tag = api.client.get("/v1/metrics", params=params).headers["ETag"]

        with sql_on(api.database) as asked:
            answer = api.client.get("/v1/metrics", params=params, headers={"If-None-Match": tag})

        assert (answer.status_code, answer.content) == (304, b"")
        assert asked.reads == 1

    def test_a_new_epoch_changes_the_tag_and_so_does_another_question(self, api: Api) -> None:
        job_id: str = api.submit(train={"epochs": 4, "imgsz": 64})["id"]
        train(api.database, job_id, (0.1,), states=(1,), end=LOST)
        path = f"/v1/jobs/{job_id}/metrics"
        tags = {api.client.get(path).headers["ETag"]}
        tags.add(api.client.get(path, params={"since": 1}).headers["ETag"])
        tags.add(api.client.get(path, headers={"Accept": "text/csv"}).headers["ETag"])

        train(api.database, job_id, (0.2,), states=(2,), first=2, end=LOST)

        tags.add(api.client.get(path).headers["ETag"])
        assert len(tags) == 4


class TestLongSeries:
    def test_more_numbers_than_fit_are_refused_with_what_to_ask_for(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(curves, "MOST_VALUES", 5)
        job = trained(api)

        refused = api.client.get(f"/v1/jobs/{job}/metrics")
        in_parts = [curve(api, job, since=0, until=2), curve(api, job, keys=MAP)]

        assert_refused(refused, status=422, slug="series-too-long")
        assert "since and until" in refused.json()["detail"]
        assert [view["epochs"] for view in in_parts] == [[1, 2], [1, 2, 3, 4]]
