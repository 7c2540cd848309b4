"""Who did what is recorded: every request in the access log, refusals and downloads beside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs
from structlog.typing import EventDict

from app.accounts.tables import ApiKey, User
from app.audit.chain import seal_records
from app.audit.record import COMMAND, record_change
from tests.datasets.builders import a_detect_zip
from tests.worlds.server import Api

pytestmark = pytest.mark.mostly_sqlite


@pytest.fixture
def logged() -> Iterator[list[EventDict]]:
    with capture_logs() as lines:
        yield lines


def lines_of(logged: list[EventDict], event: str) -> list[EventDict]:
    return [line for line in logged if line["event"] == event]


class TestAccessLog:
    def test_a_request_has_one_line_with_who_what_and_how_it_ended(
        self, api: Api, logged: list[EventDict]
    ) -> None:
        answer = api.client.get("/v1/jobs?name=secret")

        (line,) = lines_of(logged, "http.request")
        assert (line["method"], line["path"], line["status"]) == ("GET", "/v1/jobs", 200)
        assert line["credential"] == api.key.split("_")[2]
        assert line["request_id"] == answer.headers["X-Request-Id"]
        assert line["bytes"] == len(answer.content)
        assert "secret" not in str(line)

    @pytest.mark.parametrize("path", ["/setup/{}", "/v1/jobs/{}", "/v1/jobs?token={}"])
    def test_a_secret_in_a_url_is_not_logged(
        self, api: Api, logged: list[EventDict], path: str
    ) -> None:
        api.client.get(path.format(api.key))

        assert len(lines_of(logged, "http.request")) == 1
        assert api.key.split("_")[3] not in str(logged)

    def test_probes_of_load_balancers_have_none(self, api: Api, logged: list[EventDict]) -> None:
        api.client.get("/livez")

        assert lines_of(logged, "http.request") == []


class TestSecurityLog:
    def test_a_refused_key_is_logged_without_its_text(
        self, api: Api, logged: list[EventDict]
    ) -> None:
        forged = api.key[:-8] + "x" * 8

        api.client.get("/v1/jobs", headers={"Authorization": f"Bearer {forged}"})

        (line,) = lines_of(logged, "security")
        assert (line["outcome"], line["problem"]) == ("refused", "unauthenticated")
        assert line["status"] == 401
        assert line["address"] == "testclient"
        assert forged.split("_")[3] not in str(logged)

    def test_a_missing_scope_is_logged_with_the_key(
        self, api: Api, logged: list[EventDict]
    ) -> None:
        with api.database.write() as unit:
            unit.session.execute(update(ApiKey).values(scopes=["jobs:read"]))

        api.client.post("/v1/jobs", json={})

        (line,) = lines_of(logged, "security")
        assert (line["problem"], line["credential"]) == (
            "insufficient-scope",
            api.key.split("_")[2],
        )

    def test_a_foreign_host_is_logged(self, api: Api, logged: list[EventDict]) -> None:
        api.client.get("/v1/jobs", headers={"Host": "attacker.test"})

        (line,) = lines_of(logged, "security")
        assert line["problem"] == "bad-host"

    def test_a_request_that_is_answered_is_none_of_its_lines(
        self, api: Api, logged: list[EventDict]
    ) -> None:
        api.client.get("/v1/jobs")

        assert lines_of(logged, "security") == []


class TestAuditRoute:
    def test_an_administrator_reads_the_records_newest_first_in_pages(self, api: Api) -> None:
        with api.database.write() as unit:
            for name in ("a", "b", "c"):
                record_change(unit.session, COMMAND, "user.created", target=name)
        seal_records(api.database)

        first = api.client.get("/v1/audit", params={"limit": 2}).json()
        rest = api.client.get("/v1/audit", params={"cursor": first["next"]}).json()

        assert [each["target"] for each in first["data"]] == ["c", "b"]
        assert rest["data"][0]["target"] == "a"
        assert rest["data"][0]["credential"] == "command"

    def test_records_of_one_project_can_be_read_alone(self, api: Api) -> None:
        with api.database.write() as unit:
            for project in ("prj_1", "prj_2"):
                record_change(
                    unit.session, COMMAND, "project.created", target=project, project_id=project
                )

        page = api.client.get("/v1/audit", params={"project_id": "prj_2"}).json()

        assert [each["target"] for each in page["data"]] == ["prj_2"]

    def test_text_that_is_no_project_id_is_refused(self, api: Api) -> None:
        answer = api.client.get("/v1/audit", params={"project_id": "prj_\0"})

        assert answer.status_code == 422

    def test_others_may_not_read_them(self, api: Api) -> None:
        with api.database.write() as unit:
            unit.session.execute(update(User).values(is_admin=False))

        answer = api.client.get("/v1/audit")

        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:trainyard:problem:insufficient-role"


class TestChanges:
    def actions(self, api: Api) -> list[tuple[str, str]]:
        page = api.client.get("/v1/audit").json()["data"]
        return [(each["action"], each["target"]) for each in reversed(page)]

    def test_what_is_done_to_a_job_is_recorded_with_who_did_it(self, api: Api) -> None:
        job = api.submit()["id"]
        api.client.patch(f"/v1/jobs/{job}", json={"name": "night run"})
        api.client.post(f"/v1/jobs/{job}/cancel")
        api.client.delete(f"/v1/jobs/{job}")
        api.client.post(f"/v1/jobs/{job}/restore")

        actions = self.actions(api)

        assert actions == [
            (f"job.{past}", job)
            for past in ("submitted", "changed", "cancelled", "trashed", "restored")
        ]
        record = api.client.get("/v1/audit").json()["data"][0]
        assert (record["user_name"], record["credential"]) == ("owner", api.key.split("_")[2])
        assert record["address"] == "testclient"

    def test_a_refused_change_is_not_recorded(self, api: Api) -> None:
        job = api.submit()["id"]

        answer = api.client.post(f"/v1/jobs/{job}/restore")

        assert answer.status_code == 409
        assert self.actions(api) == [("job.submitted", job)]

    def test_a_new_version_of_a_dataset_is_recorded(self, api: Api, tmp_path: Path) -> None:
        answer = api.client.post(
            "/v1/datasets?name=discs",
            content=a_detect_zip(tmp_path / "discs.zip").read_bytes(),
            headers={"Content-Type": "application/zip"},
        )

        assert answer.status_code == 202
        record = api.client.get("/v1/audit").json()["data"][0]
        assert record["action"] == "dataset_version.created"
        assert record["details"] == {"dataset": "discs", "number": 1}
        assert record["user_name"] == "owner"
