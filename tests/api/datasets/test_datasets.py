"""The datasets API for its users: reads, deletion, and jobs on datasets."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from app.core.database import database_now
from app.datasets.tables import DatasetVersion, VersionState
from app.main import create_app
from app.settings import Settings
from tests.api.asked import sql_on
from tests.api.datasets.uploading import names, shapes_zip, upload, verified
from tests.waiting import eventually
from tests.worlds.rows import a_dataset
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]


@pytest.fixture
def shapes() -> bytes:
    return shapes_zip(0)


@pytest.fixture
def other_shapes() -> bytes:
    return shapes_zip(1)


def a_version_with_progress(api: Api, state: VersionState) -> str:
    """Add a version that another server verifies, or has verified; return its dataset's id."""
    lease = database_now(timedelta(hours=1)) if state is VersionState.VALIDATING else None
    values = {"progress": {"step": "images", "done": 0.4}, "lease_expires_at": lease}
    with api.database.write() as unit:
        rows = (api.rows.project_id, api.rows.user_id)
        dataset_id, version_id = a_dataset(unit.session, *rows, name="watched", state=state)
        of_version = DatasetVersion.id == version_id
        unit.session.execute(update(DatasetVersion).where(of_version).values(values))
    return dataset_id


class TestRead:
    def test_a_version_is_read_by_its_own_id_and_by_its_datasets(
        self, api: Api, shapes: bytes, other_shapes: bytes
    ) -> None:
        first, second = upload(api, shapes), upload(api, other_shapes)

        by_version = api.client.get(f"/v1/datasets/{first['version']}").json()
        by_set = api.client.get(f"/v1/datasets/{first['id']}").json()

        assert by_version["version"] == first["version"]
        assert by_set["version"] == second["version"]

    @pytest.mark.parametrize(
        ("state", "shown"),
        [
            (VersionState.VALIDATING, {"step": "images", "done": 0.4}),
            (VersionState.READY, None),
        ],
    )
    def test_a_version_shows_its_progress_while_it_is_verified(
        self, api: Api, state: VersionState, shown: dict[str, Any] | None
    ) -> None:
        dataset_id = a_version_with_progress(api, state)

        view = api.client.get(f"/v1/datasets/{dataset_id}").json()

        assert (view["state"], view["progress"]) == (state, shown)

    def test_the_report_of_any_version_can_be_asked_for(self, api: Api, shapes: bytes) -> None:
        first = upload(api, b"no zip at all")
        upload(api, shapes)
        verified(api, first["version"])

        path = f"/v1/datasets/{first['id']}/report"
        report = api.client.get(path, params={"version": first["version"]}).json()

        assert (report["version"], report["state"]) == (first["version"], "invalid")

    def test_a_version_of_another_dataset_is_not_its_own(self, api: Api, shapes: bytes) -> None:
        first, other = upload(api, shapes), upload(api, shapes, name="other")

        path = f"/v1/datasets/{first['id']}/report"
        answer = api.client.get(path, params={"version": other["version"]})

        assert answer.status_code == 404

    @pytest.mark.parametrize(
        "path",
        ["ds_nope", "dsv_nope", "ds_nope/report", "%00", "%00/report", "x/report?version=%00"],
    )
    def test_a_dataset_that_does_not_exist_is_not_found(self, api: Api, path: str) -> None:
        assert api.client.get(f"/v1/datasets/{path}").status_code == 404

    def test_a_list_is_paged_without_loss(self, api: Api, shapes: bytes) -> None:
        made = [upload(api, shapes, name=f"set {number}")["id"] for number in range(4)]

        seen: list[str] = []
        query: dict[str, Any] = {"limit": 2}
        while True:
            page = api.client.get("/v1/datasets", params=query).json()
            seen += [each["id"] for each in page["data"]]
            if not page["has_more"]:
                break
            query["cursor"] = page["next"]

        assert seen == sorted([*made, api.rows.dataset_id], reverse=True)

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ("limit=0", 422),
            ("limit=1000000000", 422),
            ("cursor=forged", 400),
            ("sort=x", 422),
            ("name=%00", 422),
        ],
    )
    def test_a_bad_list_query_is_refused(self, api: Api, query: str, status: int) -> None:
        assert api.client.get(f"/v1/datasets?{query}").status_code == status

    def test_a_list_costs_two_queries(self, api: Api) -> None:
        with sql_on(api.database) as asked:
            api.client.get("/v1/datasets")

        assert (asked.reads, asked.writes) == (2, 0)

    def test_a_list_with_counts_costs_three_queries(self, api: Api) -> None:
        with sql_on(api.database) as asked:
            page = api.client.get("/v1/datasets", params={"counts": "true"}).json()

        assert (asked.reads, asked.writes) == (3, 0)
        assert page["counts"] == {"validating": 0, "ready": 1, "invalid": 0}
        assert page["counts_capped"] == []

    def test_a_row_counts_jobs_versions_and_findings(
        self, api: Api, shapes: bytes, other_shapes: bytes
    ) -> None:
        first, second = (
            verified(api, upload(api, archive, name="Drawn shapes")["version"])
            for archive in (shapes, other_shapes)
        )
        api.submit(dataset=first["version"])

        query = {"q": "SHA dra", "task": "detect", "sort": "name"}
        page = api.client.get("/v1/datasets", params=query).json()
        versions = api.client.get(f"/v1/datasets/{first['id']}/versions").json()["data"]

        (row,) = page["data"]
        assert (row["version"], row["jobs"], row["versions"]) == (second["version"], 1, 2)
        assert row["findings"]["error"] == 0
        assert "counts" not in page
        assert [(each["number"], each["jobs"]) for each in versions] == [(2, 0), (1, 1)]


class TestDelete:
    def test_an_unused_dataset_goes(self, api: Api, shapes: bytes) -> None:
        view = upload(api, shapes)

        answer = api.client.delete(f"/v1/datasets/{view['id']}")

        assert (answer.status_code, answer.content) == (204, b"")
        assert api.client.get(f"/v1/datasets/{view['id']}").status_code == 404

    def test_a_dataset_that_is_used_stays(self, api: Api) -> None:
        api.submit()

        answer = api.client.delete(f"/v1/datasets/{api.rows.dataset_id}")

        assert answer.status_code == 409
        assert answer.json()["type"] == "urn:trainyard:problem:dataset-in-use"
        assert names(api) == ["shapes"]

    @pytest.mark.parametrize("path", ["ds_nope", "dsv_nope", "%00"])
    def test_deleting_a_dataset_that_does_not_exist_is_not_found(self, api: Api, path: str) -> None:
        assert api.client.delete(f"/v1/datasets/{path}").status_code == 404


class TestJobOnADataSet:
    def test_a_job_on_a_dataset_that_is_not_ready_is_refused(self, api: Api) -> None:
        view = upload(api, b"no zip at all")

        answer = api.client.post("/v1/jobs", json=api.spec(dataset=view["id"]))

        assert answer.status_code == 409
        assert answer.json()["type"] == "urn:trainyard:problem:dataset-not-ready"


class TestRestart:
    def test_an_upload_that_a_stopped_server_left_is_verified_by_the_next(
        self, settings: Settings, shapes: bytes
    ) -> None:
        with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
            key = (settings.home / "api-key").read_text().strip()
            client.headers["Authorization"] = f"Bearer {key}"
            client.post("/v1/datasets?name=mine", content=shapes)

        with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
            client.headers["Authorization"] = f"Bearer {key}"

            eventually(
                lambda: client.get("/v1/datasets").json()["data"][0]["state"] == "ready", within=60
            )
