"""Everything that the API names has words on the pages, and each state a shape."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pytest

from app.jobs.http.waiting import WaitingReason
from app.jobs.states import JobState, Phase, Request
from app.web import words
from app.web.pages import TEMPLATES

QUEUED = {
    "state": "queued",
    "waiting_reason": "waiting_for_worker",
    "queue": "night",
    "queue_position": 2,
    "phase": None,
    "request": None,
    "error": None,
}


class TestEnums:
    @pytest.mark.parametrize(
        ("enum", "table"),
        [
            (JobState, words.STATES),
            (Phase, words.PHASES),
            (Request, words.REQUESTS),
            (WaitingReason, words.WAITING),
            (WaitingReason, words.WAITING_IN_SHORT),
        ],
    )
    def test_every_member_has_words(self, enum: type[StrEnum], table: Mapping[str, str]) -> None:
        assert set(table) == set(enum)

    @pytest.mark.parametrize("state", JobState)
    def test_every_state_has_a_shape_and_its_word(self, state: JobState) -> None:
        drawn = TEMPLATES.get_template("macros.html").module.st(state)  # type: ignore[attr-defined]

        assert "<svg" in drawn
        assert words.STATES[state] in drawn


class TestShortWords:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({}, "2nd in line"),
            ({"queue_position": 11}, "11th in line"),
            ({"queue_position": 23}, "23rd in line"),
            ({"queue_position": None}, "waits for a slot"),
            ({"waiting_reason": "no_matching_worker"}, "no slot serves night"),
            ({"state": "failed", "error": {"code": "out_of_memory"}}, "out of memory"),
            ({"state": "running", "phase": "training", "request": "stop"}, "training, stops after"),
            ({"state": "succeeded"}, ""),
        ],
    )
    def test_a_row_says_in_short_why_it_is_as_it_is(
        self, change: dict[str, Any], said: str
    ) -> None:
        gone = {"waiting_reason": None, "queue_position": None} if "state" in change else {}

        assert words.short_state_of({**QUEUED, **gone, **change}).startswith(said)
