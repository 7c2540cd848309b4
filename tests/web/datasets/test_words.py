"""Each step, change, reason and severity that the API names has words on the pages."""

from typing import get_args

import pytest

from app.datasets.http.overview_views import Reason
from app.datasets.packs.progress import VerificationStep
from app.datasets.reports.finding_codes import Severity
from app.datasets.reports.report import Change, IgnoreReason
from app.web.datasets import dataset_words as say


class TestEveryMember:
    def test_each_member_has_words(self) -> None:
        assert say.STEPS.keys() == set(get_args(VerificationStep))
        assert say.CHANGES.keys() == {*Change}
        assert say.IGNORED.keys() == set(get_args(IgnoreReason))
        assert say.NOT_AVAILABLE.keys() == set(get_args(Reason))
        assert say.SEVERITIES.keys() == say.ONE_FINDING.keys() == {*Severity}


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"task": "detect"}, []),
            ({"splits": "80.0000:20.0000:0.0000"}, ["splits = 80:20"]),
            ({"splits": "70.0000:20.0000:10.0000"}, ["splits = 70:20:10"]),
            ({"class_map": {"van": "car", "cat": None}}, ["class_map = van → car, cat dropped"]),
            ({"names": ["a", "b", "c", "d", "e"]}, ["names = a, b, c and 2 more"]),
            ({"colours": {"road": [1, 2, 3]}}, ["colours = road"]),
            ({"max_bad_ratio": 0.5}, ["max_bad_ratio = 0.5"]),
            (None, ["more than can be shown"]),
        ],
    )
    def test_options_are_words(self, options: dict[str, object] | None, words: list[str]) -> None:
        assert say.options_of(options) == words


class TestChanges:
    @pytest.mark.parametrize(
        ("changes", "state", "words"),
        [
            ({"added": 61, "removed": 0, "relabelled": 4}, "ready", "61 added, 4 relabelled"),
            ({"added": 0}, "ready", "the same images"),
            (None, "ready", "the first that is ready"),
            (None, "invalid", ""),
        ],
    )
    def test_changes_are_words(
        self, changes: dict[str, int] | None, state: str, words: str
    ) -> None:
        assert say.changes_of({"changes": changes, "state": state}) == words
