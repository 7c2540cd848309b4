"""The documents name only existing paths, modules, symbols, words of the code, and links.

Decision records describe the code when they were made; only their links and what enforces them are
checked against the current tree.
"""

import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.sources import ROOT, python_files
from tests.docs.blocks import BLOCK, documents
from tests.docs.real_names import CODE, FOLDERS, resolves

pytestmark = pytest.mark.unit

RECORDS: Final = sorted((ROOT / "docs/decisions").glob("*.md"))
LINK: Final = re.compile(r"(?<!!)\[[^]]*\]\((?P<target>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")
PATH: Final = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w./*-]*|\.ci/\w+|[\w-]+\.(?:md|toml)")
DOTTED: Final = re.compile(r"(?:app|worker|tests)(?:\.\w+)+")
WORD: Final = re.compile(r"[A-Za-z]+(?:_[A-Za-z]+)+|(?:[A-Z][a-z]+){2,}")
ELSEWHERE: Final = frozenset({"app/_alembic", "config.toml", "docs/images/all", "trainyard.toml"})
"""The migrations in an installed wheel, files of the client's users, and pictures of a command."""


def ids(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(path: Path) -> str:
    """Return the text of a document without its fenced blocks."""
    return BLOCK.sub("", path.read_text())


def named(path: Path, what: re.Pattern[str]) -> set[str]:
    """Return the texts in backticks that match the pattern as a whole."""
    return {text for text in CODE.findall(prose(path)) if what.fullmatch(text)}


def exists(path: str) -> bool:
    return path in ELSEWHERE or any(ROOT.glob(path.rstrip("/")))


@cache
def words_of_the_code() -> frozenset[str]:
    files = [
        *python_files("app", "sdk", "worker", "examples"),
        ROOT / "pyproject.toml",
        ROOT / "Makefile",
    ]
    return frozenset(word for path in files for word in re.findall(r"\w+", path.read_text()))


def anchors_of(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("path", documents(), ids=ids)
class TestDocuments:
    def test_documents_name_paths_that_exist(self, path: Path) -> None:
        assert [name for name in sorted(named(path, PATH)) if not exists(name)] == []

    def test_documents_name_modules_and_symbols_that_exist(self, path: Path) -> None:
        assert [name for name in sorted(named(path, DOTTED)) if not resolves(name)] == []

    def test_documents_name_words_that_the_code_has(self, path: Path) -> None:
        words = {name for name in named(path, WORD) if not name.isupper()}

        assert sorted(words - words_of_the_code()) == []


class TestDecisions:
    @pytest.mark.parametrize("path", RECORDS, ids=ids)
    def test_decisions_are_enforced_by_tests_that_exist(self, path: Path) -> None:
        enforcement = prose(path).partition("**Enforced by.**")[2]

        paths = [name for name in CODE.findall(enforcement) if PATH.fullmatch(name)]

        assert [name for name in paths if not exists(name)] == []


class TestLinks:
    @pytest.mark.parametrize("path", [*documents(), *RECORDS], ids=ids)
    def test_links_lead_to_files_and_headings_that_exist(self, path: Path) -> None:
        broken = [
            found[0]
            for found in LINK.finditer(prose(path))
            if "://" not in found[0] and not _leads_somewhere(path, found)
        ]

        assert broken == []


def _leads_somewhere(path: Path, link: re.Match[str]) -> bool:
    target = (path.parent / link["target"]).resolve() if link["target"] else path
    if link["anchor"] is None:
        return target.exists()
    return target.is_file() and link["anchor"] in anchors_of(target)


class TestTheChecks:
    @pytest.mark.parametrize("name", ["app/no_such_file.py", "docs/nowhere/", "gone.md"])
    def test_the_check_of_documents_finds_a_missing_path(self, name: str) -> None:
        assert PATH.fullmatch(name)
        assert not exists(name)

    def test_the_check_of_documents_finds_a_missing_symbol(self) -> None:
        assert resolves("app.jobs.guards.TRANSITIONS")
        assert not resolves("app.jobs.guards.NO_SUCH_TABLE")

    def test_the_check_of_documents_finds_a_missing_word(self) -> None:
        word = "claim" + "_nothing"

        assert WORD.fullmatch(word)
        assert word not in words_of_the_code()
