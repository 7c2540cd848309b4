"""Events by order, type and level, and attempts, over HTTP."""

from typing import Any

import pytest

from tests.api.asked import sql_on
from tests.api.jobs.running_job import Running, claimed
from tests.api.refusals import assert_refused
from tests.worlds.server import Api

pytestmark = pytest.mark.mostly_sqlite


@pytest.fixture(scope="module")
def running(shared_api: Api) -> Running:
    """Return a job with nine events: submitted, started, five epochs, interrupted, started."""
    shared_api.submit()
    running = claimed(shared_api)
    for epoch in range(1, 6):
        running.finish_epoch(epoch)
    return running.interrupt_and_claim_again()


def ask(running: Running, **query: object) -> Any:  # noqa: ANN401 -- the client's response
    return running.api.client.get(f"{running.path}/events", params=query)  # type: ignore[arg-type] # plain values


class TestEvents:
    @pytest.mark.parametrize(
        ("query", "seqs"),
        [
            ({}, list(range(1, 10))),
            ({"order": "newest"}, list(range(9, 0, -1))),
            ({"type": "job.*"}, [1, 2, 8, 9]),
            ({"type": "job.submitted,epoch.finished", "order": "newest"}, [7, 6, 5, 4, 3, 1]),
            ({"level": "warning"}, []),
        ],
    )
    def test_pages_of_any_order_hold_each_chosen_event_once(
        self, running: Running, query: dict[str, str], seqs: list[int]
    ) -> None:
        seen: list[int] = []
        cursor: dict[str, str] = {}
        while True:
            page = ask(running, limit=2, **query, **cursor).json()
            seen += [each["seq"] for each in page["data"]]
            if not page["has_more"]:
                break
            cursor = {"cursor": page["next"]}

        assert seen == seqs

    def test_a_cursor_of_the_other_order_is_refused(self, running: Running) -> None:
        cursor = ask(running, limit=1, order="newest").json()["next"]

        assert_refused(ask(running, cursor=cursor), status=400, slug="bad-cursor")

    @pytest.mark.parametrize(
        ("query", "pointer"),
        [
            ({"order": "random"}, "query/order"),
            ({"level": "fatal"}, "query/level"),
            ({"type": "Job.*"}, "query/type"),
            ({"type": "job.*,"}, "query/type"),
            ({"type": "*"}, "query/type"),
            ({"type": "job.*x"}, "query/type"),
            ({"type": "a'; DROP"}, "query/type"),
            ({"type": ",".join(["a"] * 21)}, "query/type"),
            ({"types": "a"}, "query/types"),
        ],
    )
    def test_a_filter_that_is_not_known_is_refused_by_name(
        self, running: Running, query: dict[str, str], pointer: str
    ) -> None:
        answer = ask(running, **query)

        assert_refused(answer, status=422, slug="validation-error", pointer=pointer)

    def test_a_page_of_events_takes_two_statements(self, running: Running) -> None:
        with sql_on(running.api.database) as asked:
            ask(running, type="job.*", order="newest").raise_for_status()

        assert asked.reads == 2

    def test_the_event_of_an_epoch_has_its_columns(self, running: Running) -> None:
        event = ask(running, type="epoch.finished").json()["data"][1]

        assert event["data"] == {
            "epoch": 2,
            "optimizer_steps": 0,
            "best": False,
            "metrics": {"train/box_loss": 1.5, "metrics/mAP50(B)": None},
            "lr": {"lr/all/weight": 0.5},
            "system": {},
        }


class TestAttempts:
    def test_an_attempt_that_no_person_ended_names_nobody(self, running: Running) -> None:
        attempts = running.api.client.get(f"{running.path}/attempts").json()["data"]

        names = ("worker_name", "first_epoch", "last_epoch", "resumed_from", "actor")
        assert [[each[name] for name in names] for each in attempts] == [[None] * 5] * 2
