"""Tests of the wait that every other test relies on."""

from itertools import count

import pytest

from tests.waiting import eventually


class TestEventually:
    def test_eventually_returns_the_first_truthy_answer(self) -> None:
        answers = iter([0, "", "third"])

        answer = eventually(lambda: next(answers), within=5)

        assert answer == "third"

    def test_eventually_asks_at_least_once_with_a_deadline_of_zero(self) -> None:
        assert eventually(lambda: True, within=0)

    def test_eventually_fails_after_the_deadline_and_shows_the_last_answer(self) -> None:
        with pytest.raises(AssertionError, match=r"no job \(waited 0.05 s, last answer: \[\]\)"):
            eventually(list[int], within=0.05, message="no job")

    def test_eventually_calls_a_message_function_only_when_it_fails(self) -> None:
        calls = count()

        eventually(lambda: True, within=1, message=lambda: str(next(calls)))

        assert next(calls) == 0

    def test_eventually_passes_an_exception_of_the_condition_on(self) -> None:
        with pytest.raises(ZeroDivisionError):
            eventually(lambda: 1 // 0, within=5)
