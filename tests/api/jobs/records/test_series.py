"""Series of the system and of classes over HTTP."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert

from app.jobs.class_metrics import packed
from app.jobs.http.records import metric_routes
from app.jobs.tables import Epoch, EpochClasses
from tests.api.asked import sql_on
from tests.api.refusals import assert_refused
from tests.worlds.rows import a_job
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]


@pytest.fixture
def api(shared_api: Api) -> Api:
    """One server for all tests of this module: each test uses its own jobs."""
    return shared_api


def add_epochs(api: Api, job_id: str, systems: Sequence[Mapping[str, float | None]]) -> None:
    """Add epochs that used this."""
    rows = [
        {
            "job_id": job_id,
            "epoch": epoch,
            "attempt": 1,
            "metrics": {},
            "lr": {},
            "system": dict(system),
            "duration_seconds": 1.0,
            "created_at": datetime(2026, 1, epoch, tzinfo=UTC),
        }
        for epoch, system in enumerate(systems, 1)
    ]
    with api.database.write() as unit:
        unit.session.execute(insert(Epoch), rows)


class TestSystem:
    def test_what_each_epoch_used_comes_as_columns(self, api: Api) -> None:
        job = a_job(api.database, api.rows)
        add_epochs(api, job, [{"cpu": 1.5, "memory_bytes": 2**31}, {}, {"cpu": 2.0, "new": 1.0}])

        view = api.client.get(f"/v1/jobs/{job}/metrics/system").json()

        assert view == {
            "epochs": [1, 2, 3],
            "series": {"cpu": [1.5, None, 2.0], "memory_bytes": [2**31, None, None]},
        }

    def test_since_and_until_select_epochs_with_two_statements(self, api: Api) -> None:
        job = a_job(api.database, api.rows)
        add_epochs(api, job, [{"cpu": 1.0}, {"cpu": 2.0}, {"cpu": 3.0}])

        with sql_on(api.database) as asked:
            answer = api.client.get(f"/v1/jobs/{job}/metrics/system?since=1&until=2")

        assert answer.json() == {"epochs": [2], "series": {"cpu": [2.0]}}
        assert asked.reads == 2


class TestClassesOfManyEpochs:
    @pytest.fixture
    def job(self, api: Api) -> str:
        job_id = a_job(api.database, api.rows)
        columns: list[dict[str, list[float | None]]] = [
            {"f1(B)": [0.1, None]},
            {"f1(B)": [0.2, 0.5], "f1(M)": [0.3, 0.4]},
            {"f1(M)": [0.5, 0.6]},
        ]
        with api.database.write() as unit:
            for epoch, each in enumerate(columns, 1):
                row = {"job_id": job_id, "epoch": epoch, "columns": packed(each)}
                unit.session.execute(insert(EpochClasses).values(**row))
        return job_id

    def test_each_class_has_a_value_for_each_epoch(self, api: Api, job: str) -> None:
        view = api.client.get(f"/v1/jobs/{job}/metrics/classes?epochs=all").json()

        assert view == {
            "epochs": [1, 2, 3],
            "classes": ["circle", "square"],
            "series": {
                "f1": [[0.1, 0.2, None], [None, 0.5, None]],
                "mask.f1": [[None, 0.3, 0.5], [None, 0.4, 0.6]],
            },
        }

    @pytest.mark.parametrize(("epochs", "found"), [("2", [2]), ("2-3", [2, 3]), ("3-99", [3])])
    def test_a_range_selects_epochs(
        self, api: Api, job: str, epochs: str, found: list[int]
    ) -> None:
        answer = api.client.get(f"/v1/jobs/{job}/metrics/classes", params={"epochs": epochs})

        assert answer.json()["epochs"] == found

    @pytest.mark.parametrize(
        ("query", "pointer"),
        [
            ("epochs=3-2", "query/epochs"),
            ("epochs=0-2", "query/epochs"),
            ("epochs=some", "query/epochs"),
            ("epochs=all&epoch=1", "query/epoch"),
            ("epoch=1&class=circle", "query/class"),
        ],
    )
    def test_what_is_wrong_is_named(self, api: Api, job: str, query: str, pointer: str) -> None:
        answer = api.client.get(f"/v1/jobs/{job}/metrics/classes?{query}")

        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == pointer

    def test_epochs_without_any_are_not_found(self, api: Api, job: str) -> None:
        answer = api.client.get(f"/v1/jobs/{job}/metrics/classes?epochs=7-9")

        assert_refused(answer, status=404, slug="class-metrics-not-found")

    def test_a_response_that_is_too_long_names_a_range_that_fits(
        self, api: Api, job: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(metric_routes, "MOST_SERIES_BYTES", 100)

        refused = api.client.get(f"/v1/jobs/{job}/metrics/classes?epochs=all")
        in_parts = api.client.get(f"/v1/jobs/{job}/metrics/classes?epochs=1-1")

        assert_refused(refused, status=422, slug="series-too-long")
        assert "epochs=1-" in refused.json()["detail"]
        assert in_parts.status_code == 200

    def test_any_number_of_epochs_costs_three_statements(self, api: Api, job: str) -> None:
        with sql_on(api.database) as asked:
            api.client.get(f"/v1/jobs/{job}/metrics/classes?epochs=all")

        assert (asked.reads, asked.writes) == (3, 0)
