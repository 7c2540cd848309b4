"""Logs by lines, and searched, over HTTP: while the attempt runs, and after its end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.jobs.log_reading import MOST_PIECE_BYTES
from tests.api.jobs.running_job import Running, claimed
from tests.api.refusals import assert_refused
from tests.worlds.server import Api
from worker.attempt.logs.log_shipping import CUT_NOTICE, PIECE_BYTES
from worker.attempt.logs.plain_text import LONGEST_LINE_BYTES

pytestmark = pytest.mark.mostly_sqlite

LINES = [f"line {number}" for number in range(1, 1001)]
LINES[411] = "KeyError: <b>'boxes'</b>"
TEXT = "\n".join(LINES).encode() + b"\n"

Ask = Callable[..., Any]


@pytest.fixture(scope="module", params=["running", "ended"])
def ask(
    request: pytest.FixtureRequest, shared_api: Api, tmp_path_factory: pytest.TempPathFactory
) -> Ask:
    """Return a function that reads the log of a job with 1000 lines."""
    shared_api.submit()
    running = claimed(shared_api)
    for at in range(0, len(TEXT), 3000):
        running.log(at, TEXT[at : at + 3000])
    if request.param == "ended":
        running.store_log(tmp_path_factory.mktemp("log") / "log", TEXT)
    path = f"{running.path}/logs"
    return lambda **query: shared_api.client.get(path, params=query)


class TestLines:
    @pytest.mark.parametrize(
        ("query", "first", "last"),
        [
            ({"tail": 1}, 1000, 1000),
            ({"tail": 5000}, 1, 1000),
            ({"lines": "401-404"}, 401, 404),
            ({"lines": "998-"}, 998, 1000),
            ({"lines": "1-999999"}, 1, 1000),
        ],
    )
    def test_lines_come_with_the_number_of_the_first_and_of_all(
        self, ask: Ask, query: dict[str, object], first: int, last: int
    ) -> None:
        answer = ask(**query)

        assert answer.text.splitlines() == LINES[first - 1 : last]
        assert (answer.headers["X-First-Line"], answer.headers["X-Lines"]) == (str(first), "1000")
        assert answer.headers["Content-Type"].startswith("text/plain")

    def test_lines_that_the_log_does_not_have_are_empty(self, ask: Ask) -> None:
        answer = ask(lines="1001-1002")

        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["X-Lines"] == "1000"

    def test_the_defaults_of_a_search_change_nothing_without_one(self, ask: Ask) -> None:
        answer = ask(lines="1-2", context=0, limit=100)

        assert answer.text.splitlines() == LINES[:2]

    @pytest.mark.parametrize("query", [{}, {"q": "line"}])
    def test_lines_that_end_before_they_begin_are_refused(
        self, ask: Ask, query: dict[str, str]
    ) -> None:
        answer = ask(lines="10-9", **query)

        assert_refused(answer, status=422, slug="validation-error", pointer="query/lines")
        assert "The first line must not be greater than the last" in answer.json()["detail"]

    def test_a_growing_log_is_numbered_further(self, api: Api) -> None:
        api.submit()
        running = claimed(api)
        numbers = []
        for at, piece in ((0, b"one\ntwo"), (7, b" words\nthree\n"), (20, b"four\n")):
            running.log(at, piece)
            answer = api.client.get(f"{running.path}/logs", params={"tail": 1})
            numbers.append((answer.headers["X-First-Line"], answer.text))

        assert numbers == [("2", "two"), ("3", "three\n"), ("4", "four\n")]

    def test_a_job_that_never_ran_has_no_lines(self, shared_api: Api) -> None:
        path = f"/v1/jobs/{shared_api.submit()['id']}/logs"

        tail = shared_api.client.get(path, params={"tail": 5})
        found = shared_api.client.get(path, params={"q": "error"})

        assert (tail.content, tail.headers["X-Lines"]) == (b"", "0")
        assert found.json() == {"lines": [], "more": False, "searched_to": 0}

    def test_no_piece_is_longer_than_readers_expect(self) -> None:
        assert PIECE_BYTES + LONGEST_LINE_BYTES + len(CUT_NOTICE) < MOST_PIECE_BYTES


class TestSearch:
    def test_a_match_comes_with_its_number_and_its_neighbours(self, ask: Ask) -> None:
        answer = ask(q="keyerror", context=1)

        assert answer.headers["Content-Type"] == "application/json"
        assert answer.json() == {
            "lines": [
                {"n": 411, "text": "line 411", "match": False},
                {"n": 412, "text": "KeyError: <b>'boxes'</b>", "match": True},
                {"n": 413, "text": "line 413", "match": False},
            ],
            "more": False,
            "searched_to": 1000,
        }

    def test_a_search_goes_on_behind_the_last_line_that_it_searched(self, ask: Ask) -> None:
        seen, lines = [], "1-"
        for _ in range(4):
            found = ask(q="line 99", limit=4, lines=lines).json()
            seen += [each["n"] for each in found["lines"]]
            if not found["more"]:
                break
            lines = f"{found['searched_to'] + 1}-"

        assert seen == [99, *range(990, 1000)]

    def test_a_search_stays_within_the_given_lines(self, ask: Ask) -> None:
        found = ask(q="line", lines="5-7").json()

        assert [each["n"] for each in found["lines"]] == [5, 6, 7]
        assert (found["more"], found["searched_to"]) == (False, 7)

    @pytest.mark.parametrize(
        ("query", "pointer"),
        [
            ({"lines": "0-3"}, "query/lines"),
            ({"lines": "3"}, "query/lines"),
            ({"lines": "-3"}, "query/lines"),
            ({"lines": "1-9999999999"}, "query/lines"),
            ({"tail": 0}, "query/tail"),
            ({"q": ""}, "query/q"),
            ({"q": "x" * 201}, "query/q"),
            ({"q": "a", "context": 11}, "query/context"),
            ({"q": "a", "limit": 201}, "query/limit"),
            ({"tail": 1, "lines": "1-2"}, None),
            ({"tail": 1, "q": "a"}, None),
            ({"context": 1}, None),
            ({"line": 1}, "query/line"),
        ],
    )
    def test_a_query_that_makes_no_sense_is_refused(
        self, shared_api: Api, query: dict[str, Any], pointer: str | None
    ) -> None:
        path = f"/v1/jobs/{shared_api.submit()['id']}/logs"

        answer = shared_api.client.get(path, params=query)

        assert_refused(answer, status=422, slug="validation-error", pointer=pointer)


class TestPieces:
    def test_a_log_that_becomes_a_file_is_numbered_as_before(
        self, api: Api, tmp_path: Path
    ) -> None:
        api.submit()
        running: Running = claimed(api)
        running.log(0, TEXT[:3000])
        path = f"{running.path}/logs"
        first = api.client.get(path, params={"lines": "5-6"})

        running.store_log(tmp_path / "log", TEXT)

        second = api.client.get(path, params={"lines": "5-6"})
        assert (second.text, second.headers["X-Lines"]) == (first.text, "1000")
