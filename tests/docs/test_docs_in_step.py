"""The generated parts of docs/ match the code."""

from pathlib import Path

import pytest

from app.jobs.guards import TRANSITIONS
from tests.docs.generate import BLOCKS, documents, generated, parts_of
from tests.docs.transition_phrases import PHRASES

pytestmark = pytest.mark.unit


class TestGeneratedParts:
    @pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
    def test_generated_parts_of_documents_are_in_step_with_the_code(self, path: Path) -> None:
        text = path.read_text()

        assert generated(text) == text, "run `python -m tests.docs.generate`"

    def test_each_generated_part_is_in_one_document(self) -> None:
        standing = [part for path in documents() for part in parts_of(path.read_text())]

        assert sorted(standing) == sorted(BLOCKS)

    def test_a_part_that_is_out_of_step_is_seen(self) -> None:
        text = "<!-- generated: yaml-keys -->\nnothing\n<!-- end: yaml-keys -->"

        assert "`kpt_shape`" in generated(text)


class TestTransitions:
    def test_every_row_has_its_phrase_and_no_phrase_lacks_a_row(self) -> None:
        rows = {(row.event, row.source, row.guard) for row in TRANSITIONS}

        assert rows == PHRASES.keys()
