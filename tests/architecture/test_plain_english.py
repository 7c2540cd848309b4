"""Documents, docstrings, comments and OpenAPI texts use no banned idiom."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from app.main import create_app
from app.settings import Settings
from tests.architecture.banned_idioms import BANNED_IDIOMS, BannedIdiom
from tests.architecture.prose import (
    HASH_COMMENT_FILES,
    Passage,
    document_passages,
    documents,
    generated_passages,
    hash_comment_passages,
    openapi_passages,
    python_passages,
)
from tests.architecture.sources import ROOT, python_files, relative

PYTHON_FOLDERS: Final = ("app", "sdk", "worker", "tests", "alembic", "benchmarks", "examples")
Reader = Callable[[str, str], Iterator[Passage]]


def read(reader: Reader, find: Callable[[], Iterable[Path]]) -> Iterator[Passage]:
    """Yield the passages of every file that `find` returns."""
    for path in find():
        yield from reader(relative(path), path.read_text())


def live_openapi() -> Iterator[Passage]:
    """Yield the texts of the OpenAPI document as the server serves it."""
    return openapi_passages(create_app(Settings(home=Path("/nowhere"))).openapi())


SOURCES: Final[Mapping[str, Callable[[], Iterator[Passage]]]] = {
    "documents": partial(read, document_passages, documents),
    "generated": partial(read, generated_passages, documents),
    "configuration": partial(
        read, hash_comment_passages, lambda: [ROOT / name for name in HASH_COMMENT_FILES]
    ),
    "openapi": live_openapi,
    **{
        folder: partial(read, python_passages, partial(python_files, folder))
        for folder in PYTHON_FOLDERS
    },
}


def faults_of(passages: Iterable[Passage]) -> list[str]:
    """Return where a banned idiom is used, and what to write instead."""
    return [
        f"{passage.where}: {found[0]!r}; write {idiom.instead}"
        for passage in passages
        for idiom in BANNED_IDIOMS
        for found in idiom.pattern.finditer(passage.text)
    ]


@pytest.mark.parametrize("idiom", BANNED_IDIOMS, ids=lambda idiom: idiom.name)
class TestBannedIdioms:
    def test_a_banned_idiom_finds_its_bad_example(self, idiom: BannedIdiom) -> None:
        assert idiom.pattern.search(idiom.bad)

    def test_a_banned_idiom_passes_its_good_example(self, idiom: BannedIdiom) -> None:
        assert faults_of([Passage("good", idiom.good)]) == []


class TestPlainEnglish:
    @pytest.mark.parametrize("name", sorted(SOURCES))
    def test_a_source_uses_no_banned_idiom(self, name: str) -> None:
        assert faults_of(SOURCES[name]()) == []

    @pytest.mark.parametrize("name", sorted(SOURCES))
    def test_a_source_has_passages(self, name: str) -> None:
        assert next(SOURCES[name]()).text


class TestPassages:
    def test_a_module_has_docstrings_and_comments_in_one_line_each(self) -> None:
        text = '"""A docstring\nthat wraps."""\nX = "data"  # One.\n"""Below."""\n# Two\n# lines.\n'

        found = [(passage.where, passage.text) for passage in python_passages("m.py", text)]

        assert found == [
            ("m.py:1", "A docstring that wraps."),
            ("m.py:4", "Below."),
            ("m.py:3", "One."),
            ("m.py:5", "Two lines."),
        ]

    def test_a_document_has_paragraphs_items_and_rows_without_code(self) -> None:
        text = "One\nparagraph.\n- `an` item\n```sh\nmake\n```\n| a | row |\n"

        found = [(passage.where, passage.text) for passage in document_passages("d.md", text)]

        assert found == [
            ("d.md:1", "One paragraph."),
            ("d.md:3", "- `…` item"),
            ("d.md:7", "| a | row |"),
        ]

    def test_generated_parts_are_passages_of_their_own(self) -> None:
        part = "<!-- generated: table -->\n| a | row |\n<!-- end: table -->\n"
        text = f"By hand.\n\n{part}"

        by_hand = [passage.text for passage in document_passages("d.md", text)]
        rows = [
            passage.where for passage in generated_passages("d.md", text) if "row" in passage.text
        ]

        assert by_hand == ["By hand."]
        assert rows == ["d.md:4"]

    def test_configuration_has_comments(self) -> None:
        text = "name: trainyard  # One.\n# Two\n# lines.\n"

        assert [passage.text for passage in hash_comment_passages("c.yml", text)] == [
            "One. Two lines."
        ]

    def test_openapi_has_summaries_and_descriptions(self) -> None:
        document = {"paths": {"/x": {"get": {"summary": "Read.", "tags": ["Not\nprose"]}}}}

        found = list(openapi_passages(document))

        assert found == [Passage("openapi/paths//x/get/summary", "Read.")]
