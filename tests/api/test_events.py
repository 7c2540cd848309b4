"""The event log by polling: `GET /v1/events`."""

from typing import Any

import httpx2 as httpx
import pytest

from app.accounts.tables import MemberRole
from app.datasets.tables import VersionState
from app.events.repository import append_event, append_version_event
from app.events.views import DatasetState
from tests.api.refusals import assert_refused
from tests.counting import statements_to
from tests.worlds.accounts import a_person
from tests.worlds.rows import a_job, some_rows
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

PATH = "/v1/events"


def poll(api: Api, **query: Any) -> dict[str, Any]:  # noqa: ANN401 -- a query's values
    answer = api.client.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def newest(api: Api) -> str:
    """Return the position from which a new client begins."""
    position: str = poll(api)["next"]
    return position


def append_a_state(api: Api) -> None:
    """Append a state of the ready version; a new version would be verified meanwhile."""
    with api.database.write() as unit:
        append_version_event(unit.session, api.rows.version_id, VersionState.VALIDATING)


class TestPollEvents:
    def test_a_client_begins_at_the_newest_position(self, shared_api: Api) -> None:
        shared_api.submit()

        page = poll(shared_api)

        assert (page["data"], page["has_more"], page["gap"]) == ([], False, False)

    def test_an_event_of_a_job_has_its_job_and_project(self, shared_api: Api) -> None:
        start = newest(shared_api)
        job = shared_api.submit()

        (item,) = poll(shared_api, after=start)["data"]

        view = item["data"]
        assert item["kind"] == "event"
        assert (view["job"], view["project"], view["seq"]) == (job["id"], "default", 1)
        assert (view["type"], view["level"]) == ("job.submitted", "info")
        (listed,) = shared_api.client.get(f"/v1/jobs/{job['id']}/events").json()["data"]
        assert listed.items() <= view.items()

    def test_a_state_of_a_dataset_is_a_row(self, shared_api: Api) -> None:
        start = newest(shared_api)
        append_a_state(shared_api)

        (item,) = poll(shared_api, after=start)["data"]

        created_at = item["data"].pop("created_at")
        assert created_at.endswith("Z")
        assert (item["kind"], item["data"]) == (
            "dataset",
            {
                "id": shared_api.rows.dataset_id,
                "version": shared_api.rows.version_id,
                "project": "default",
                "state": "validating",
                "attempt": None,
            },
        )

    def test_a_client_continues_from_any_row_or_page(self, shared_api: Api) -> None:
        start = newest(shared_api)
        jobs = [shared_api.submit()["id"] for _ in range(3)]

        first = poll(shared_api, after=start, limit=2)
        rest = poll(shared_api, after=first["next"])
        from_row = poll(shared_api, after=first["data"][0]["id"])

        assert [item["data"]["job"] for item in first["data"]] == jobs[:2]
        assert (first["has_more"], rest["has_more"]) == (True, False)
        assert [item["data"]["job"] for item in rest["data"]] == jobs[2:]
        assert [item["data"]["job"] for item in from_row["data"]] == jobs[1:]

    def test_events_of_other_projects_are_not_shown(self, shared_api: Api) -> None:
        start = newest(shared_api)
        hidden = a_job(shared_api.database, some_rows(shared_api.database, name="hidden"))
        with shared_api.database.write() as unit:
            append_event(unit.session, hidden, 99, "job.changed")

        page = poll(shared_api, after=start)

        assert (page["data"], page["has_more"]) == ([], False)
        assert page["next"] != start

    def test_rows_of_datasets_need_a_scope_of_their_own(self, shared_api: Api) -> None:
        roles = {shared_api.rows.project_id: MemberRole.VIEWER}
        reader = a_person(shared_api.database, roles, scopes=["jobs:read"])
        start = newest(shared_api)
        append_a_state(shared_api)
        shared_api.submit()

        answer = shared_api.client.get(PATH, params={"after": start}, headers=reader.headers)

        assert [item["kind"] for item in answer.json()["data"]] == ["event"]

    def test_an_unknown_position_has_a_gap(self, shared_api: Api) -> None:
        page = poll(shared_api, after="of-another-server")

        assert (page["gap"], page["data"], page["next"]) == (True, [], newest(shared_api))

    def test_a_page_without_news_is_not_sent_again(self, shared_api: Api) -> None:
        start = newest(shared_api)
        tag = shared_api.client.get(PATH, params={"after": start}).headers["ETag"]

        def again() -> httpx.Response:
            headers = {"If-None-Match": tag}
            return shared_api.client.get(PATH, params={"after": start}, headers=headers)

        unchanged = again()
        shared_api.submit()
        changed = again()

        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert changed.status_code == 200
        assert changed.headers["ETag"] != tag

    @pytest.mark.parametrize(
        ("query", "pointer"),
        [
            ({"cursor": "x"}, "query/cursor"),
            ({"limit": 0}, "query/limit"),
            ({"limit": 201}, "query/limit"),
            ({"after": "x" * 2001}, "query/after"),
        ],
    )
    def test_a_wrong_query_is_refused(
        self, shared_api: Api, query: dict[str, Any], pointer: str
    ) -> None:
        answer = shared_api.client.get(PATH, params=query)

        assert_refused(answer, status=422, slug="validation-error", pointer=pointer)

    def test_a_poll_takes_three_statements_besides_that_of_the_key(self, shared_api: Api) -> None:
        start = newest(shared_api)
        for _ in range(3):
            shared_api.submit()

        with statements_to(shared_api.database) as statements:
            poll(shared_api, after=start)

        assert statements[0] == "SELECT api_keys"
        assert len(statements) == 1 + 3

    def test_every_state_of_a_version_can_be_shown(self) -> None:
        assert {*VersionState} < {str(state) for state in DatasetState}
