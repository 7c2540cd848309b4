"""Every problem type belongs to one error class and has a description."""

import re
from collections import Counter

import pytest

from app.core.errors import TrainyardError
from tests.architecture.sources import ROOT
from tests.docs.problem_blocks import meaning_of, problem_types, status_in_answers

pytestmark = pytest.mark.unit

KINDS = problem_types()


class TestProblemTypes:
    def test_no_two_problem_types_share_a_slug(self) -> None:
        counts = Counter(kind.slug for kind in KINDS)

        assert [slug for slug, count in counts.items() if count > 1] == []

    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.slug)
    def test_each_problem_type_has_a_slug_a_title_a_meaning_and_a_status(
        self, kind: type[TrainyardError]
    ) -> None:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", kind.slug)
        assert "title" in vars(kind)
        assert meaning_of(kind).endswith(".")
        assert 400 <= status_in_answers(kind) <= 599

    def test_each_stands_in_the_documentation(self) -> None:
        text = (ROOT / "docs" / "problems.md").read_text()

        assert [kind.slug for kind in KINDS if f"| `{kind.slug}` |" not in text] == []

    def test_only_damaged_bytes_and_the_last_resort_answer_500(self) -> None:
        slugs = {kind.slug for kind in KINDS if status_in_answers(kind) == 500}

        assert slugs == {"internal", "artifact-corrupt"}
