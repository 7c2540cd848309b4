"""`GET /v1/jobs`: filters, search, orders, counts and short rows, as clients see them."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import update

from app.core.database import database_now
from app.jobs.listing import filters, readers
from app.jobs.states import JobState
from app.jobs.tables import Job, JobProgress
from tests.api.asked import sql_on
from tests.api.refusals import CANARY, assert_refused
from tests.worlds.accounts import a_person
from tests.worlds.rows import NO_JOB, a_job, some_rows
from tests.worlds.server import Api, on, serving

pytestmark = pytest.mark.mostly_sqlite

BEST: dict[str, tuple[str, float | None, float | None]] = {
    "day": ("fitness", 0.5, 0.5),
    "day 2": ("val/box_loss", 0.25, -0.25),
    "night": ("fitness", 0.75, 0.75),
    "night shift": ("val/box_loss", 2.0, -2.0),
    "Größe": ("fitness", None, None),
}


@pytest.fixture(scope="module")
def listed(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server with five waiting jobs, two of them ended, one of these in the trash."""
    for api in serving(on(module_database_url, tmp_path_factory.mktemp("lists") / "home")):
        ids = {name: api.submit(name=name, tags={"line": name[:1]})["id"] for name in BEST}
        a_job(api.database, some_rows(api.database, name="foreign"), name="night of others")
        api.client.post(f"/v1/jobs/{ids['day']}/cancel")
        api.client.post(f"/v1/jobs/{ids['day 2']}/cancel")
        api.client.delete(f"/v1/jobs/{ids['day 2']}")
        for name, (metric, value, rank) in BEST.items():
            best = {"best_metric": metric, "best_value": value, "best_rank": rank}
            with api.database.write() as unit:
                unit.session.execute(
                    update(Job).where(Job.id == ids[name]).values(best_epoch=1, **best)
                )
        yield api


def names(api: Api, **query: Any) -> list[str]:  # noqa: ANN401
    answer = api.client.get("/v1/jobs", params=query)
    assert answer.status_code == 200, answer.text
    return [job["name"] for job in answer.json()["data"]]


def id_of(api: Api, name: str) -> str:
    (found,) = api.client.get("/v1/jobs", params={"name": name, "sort": "name", "limit": 1}).json()[
        "data"
    ]
    job_id: str = found["id"]
    return job_id


class TestSearch:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("NIGHT", {"night", "night shift"}),
            ("shi night", {"night shift"}),
            ("GRÖSSE", {"Größe"}),
            ("line=n", {"night", "night shift"}),
            ("line=n shift", {"night shift"}),
            ("ight", set()),
            ("others", set()),
            ("job_0", {"day", "night", "night shift", "Größe"}),
            ("job_7ZZZ", set()),
        ],
    )
    def test_a_search_matches_words_tags_and_ids(
        self, listed: Api, text: str, expected: set[str]
    ) -> None:
        assert set(names(listed, q=text)) == expected

    def test_a_job_is_found_by_its_id(self, listed: Api) -> None:
        job_id = id_of(listed, "night")

        assert names(listed, q=job_id) == ["night"]
        assert names(listed, q=job_id.lower()) == ["night"]

    def test_a_renamed_job_is_found_by_its_new_name_only(self, api: Api) -> None:
        job_id = api.submit(name="night")["id"]

        api.client.patch(f"/v1/jobs/{job_id}", json={"name": "early shift"})

        assert (names(api, q="night"), names(api, q="earl")) == ([], ["early shift"])

    @pytest.mark.parametrize("text", ["-", "", " ".join("abcdefghijk")])
    def test_a_search_without_words_or_with_too_many_is_refused(
        self, listed: Api, text: str
    ) -> None:
        answer = listed.client.get("/v1/jobs", params={"q": text})

        assert_refused(answer, status=422, slug="validation-error", pointer="query/q")


class TestOrders:
    def test_the_best_is_first_in_the_direction_of_its_metric(self, listed: Api) -> None:
        dataset = listed.rows.dataset_id

        assert names(listed, sort="-best", best_metric="val/box_loss") == ["night shift"]
        assert names(listed, sort="-best", best_metric="fitness") == ["night", "day", "Größe"]
        assert names(listed, sort="best", best_metric="fitness") == ["day", "night", "Größe"]
        assert names(listed, sort="-best", dataset=dataset) == [
            "night",
            "day",
            "night shift",
            "Größe",
        ]

    @pytest.mark.parametrize("sort", ["best", "-best"])
    def test_values_of_different_metrics_are_not_compared(self, listed: Api, sort: str) -> None:
        answer = listed.client.get("/v1/jobs", params={"sort": sort})

        assert_refused(answer, status=422, slug="validation-error", pointer="query/sort")
        assert "best_metric" in answer.json()["detail"]

    def test_pages_by_best_go_on_behind_jobs_without_a_value(self, listed: Api) -> None:
        query: dict[str, Any] = {"sort": "-best", "best_metric": "fitness", "limit": 1}
        found: list[str] = []
        cursor = None
        while cursor is not None or not found:
            page = listed.client.get(
                "/v1/jobs", params=query | ({"cursor": cursor} if cursor else {})
            ).json()
            found += [job["name"] for job in page["data"]]
            cursor = page["next"]

        assert found == ["night", "day", "Größe"]

    def test_a_cursor_of_an_earlier_release_is_refused(self, listed: Api) -> None:
        cursor = listed.context.cursors.seal("jobs:-created", [NO_JOB])

        answer = listed.client.get("/v1/jobs", params={"cursor": cursor})

        assert_refused(answer, status=400, slug="bad-cursor")


class TestFilters:
    def test_jobs_are_narrowed_by_time(self, listed: Api) -> None:
        created = listed.client.get("/v1/jobs", params={"name": "night", "sort": "created"})
        night = created.json()["data"][0]["created_at"]

        assert names(listed, created_after=night) == ["Größe", "night shift"]
        assert names(listed, created_after="2999-01-01T00:00:00+01:00") == []
        assert names(listed, ended_after="0001-01-01T00:00:00-14:00") == ["day"]
        assert names(listed, ended_after="2999-01-01T00:00Z") == []

    def test_jobs_are_narrowed_by_queue_parent_and_metric(self, listed: Api) -> None:
        night = id_of(listed, "night")

        assert names(listed, queue="default", name="night") == ["night shift", "night"]
        assert names(listed, queue="elsewhere") == []
        assert names(listed, parent=night) == []
        assert names(listed, best_metric="val/box_loss") == ["night shift"]

    def test_a_clone_is_found_by_its_parent(self, api: Api) -> None:
        job_id = api.submit(name="first")["id"]
        clone = api.client.post(f"/v1/jobs/{job_id}/clone", json={"name": "second"})

        assert clone.status_code == 201
        assert names(api, parent=job_id) == ["second"]

    def test_listed_ids_are_in_the_order_of_the_list(self, listed: Api) -> None:
        ids = [id_of(listed, "night"), NO_JOB, id_of(listed, "Gr")]

        assert names(listed, ids=",".join(ids)) == ["Größe", "night"]
        assert names(listed, ids=",".join(ids), sort="created") == ["night", "Größe"]
        assert names(listed, ids=",".join(ids), q="night") == ["night"]

    def test_two_hundred_ids_fit(self, listed: Api) -> None:
        ids = [id_of(listed, "night"), *[f"job_{number:026}" for number in range(199)]]

        assert names(listed, ids=",".join(ids)) == ["night"]

    @pytest.mark.parametrize("filters", ["q=night", "name=night", "model=yolo26n.yaml&counts=true"])
    def test_a_caller_without_projects_finds_no_job(self, listed: Api, filters: str) -> None:
        person = a_person(listed.database)

        answer = listed.client.get(f"/v1/jobs?{filters}&state=queued", headers=person.headers)

        assert answer.status_code == 200
        assert answer.json()["data"] == []

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("ids", CANARY),
            ("ids", ""),
            ("ids", ",".join([NO_JOB] * 201)),
            ("created_after", CANARY),
            ("created_after", "2026-11-30"),
            ("created_after", "2026-11-30T08:00:00"),
            ("created_after", "1764489600"),
            ("ended_after", "9999-12-31T23:59:59-23:59"),
            ("fields", CANARY),
            ("sort", CANARY),
            ("counts", CANARY),
            ("state", CANARY),
            ("order", "created"),
        ],
    )
    def test_a_bad_value_is_refused_by_the_name_of_its_field(
        self, listed: Api, name: str, value: str
    ) -> None:
        answer = listed.client.get("/v1/jobs", params={name: value})

        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"].startswith(f"query/{name}")
        assert CANARY not in answer.text


class TestCounts:
    def test_states_are_counted_without_their_filter(self, listed: Api) -> None:
        page = listed.client.get("/v1/jobs", params={"counts": True, "state": "queued"}).json()

        assert page["counts"] == dict.fromkeys(JobState, 0) | {"queued": 3, "cancelled": 1}
        assert page["counts_capped"] == []
        assert len(page["data"]) == 3

    def test_the_trash_is_counted_apart(self, listed: Api) -> None:
        page = listed.client.get("/v1/jobs", params={"counts": True, "trashed": True}).json()

        assert page["counts"] == dict.fromkeys(JobState, 0) | {"cancelled": 1}

    def test_counting_with_filters_stops_at_a_number(
        self, listed: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.jobs.listing.state_counts.MAX_COUNT", 2)

        page = listed.client.get("/v1/jobs", params={"counts": True, "queue": "default"}).json()

        assert page["counts"] == dict.fromkeys(JobState, 0) | {"queued": 2, "cancelled": 1}
        assert page["counts_capped"] == ["queued"]

    def test_a_list_without_the_question_has_no_counts(self, listed: Api) -> None:
        page = listed.client.get("/v1/jobs").json()

        assert page.keys() == {"data", "next", "has_more"}


class TestShortRows:
    def test_a_short_row_has_progress_only(self, api: Api) -> None:
        job_id = api.submit()["id"]
        progress = {"epoch": 2, "epochs": 3, "batch": 1, "batches": 4, "losses": {}}
        with api.database.write() as unit:
            unit.session.add(JobProgress(job_id=job_id, **progress, updated_at=database_now()))

        page = api.client.get("/v1/jobs", params={"fields": "progress"}).json()

        (row,) = page["data"]
        assert row.keys() == {"id", "state", "phase", "progress"}
        assert row["progress"] == progress | {"eta_seconds": None, "started_epoch": None}

    def test_short_rows_are_paged_in_every_order(self, listed: Api) -> None:
        for sort in ("created", "-ended", "name", "best"):
            query = {"sort": sort, "limit": 1, "best_metric": "fitness"}
            page = listed.client.get("/v1/jobs", params={**query, "fields": "progress"}).json()
            whole = listed.client.get("/v1/jobs", params=query).json()

            assert (page["data"][0]["id"], page["next"]) == (whole["data"][0]["id"], whole["next"])


WAITS = 4
"""Statements that tell of all waiting jobs of a page their places and why they wait."""


class TestStatements:
    @pytest.mark.parametrize(
        ("query", "reads"),
        [
            ({}, 3 + WAITS),  # jobs, what other rows tell of them, tags
            ({"fields": "progress"}, 2),
            ({"counts": True}, 4 + WAITS),
            ({"state": "queued", "model": "yolo26n.yaml"}, 5 + WAITS),  # numbers of both, ids
            ({"q": "night"}, 5 + WAITS),
            ({"q": "night", "state": "queued", "counts": True}, 6 + WAITS),
            ({"dataset": "", "sort": "-best"}, 4 + WAITS),  # jobs without a value apart
            ({"sort": "name"}, 4 + WAITS),  # ids in each state
            ({"ids": NO_JOB}, 1),
        ],
    )
    def test_a_list_costs_a_fixed_number_of_queries(
        self, listed: Api, query: dict[str, Any], reads: int
    ) -> None:
        if "dataset" in query:
            query = query | {"dataset": listed.rows.dataset_id}

        with sql_on(listed.database) as asked:
            listed.client.get("/v1/jobs", params=query)

        assert (asked.reads, asked.writes) == (reads, 0)

    def test_filters_that_many_jobs_match_cost_one_more(
        self, listed: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (readers, filters):
            monkeypatch.setattr(module, "FEW", 0)

        with sql_on(listed.database) as asked:
            listed.client.get("/v1/jobs", params={"state": "queued", "model": "yolo26n.yaml"})

        assert asked.reads == 5 + WAITS
