"""Each page of docs/how-to ends with a change that applies to this tree and passes its own test.

The other commands of a page (generated documents, tests that guard the change, all linters) are
slow, and so is the proof that the new test fails without the rest of the change.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.sources import ROOT
from tests.docs.worked_changes import MAKE_TEST, MODULE, PAGES, Tree, change_of, compatible

pytestmark = pytest.mark.integration

MAX_LINES: Final = 135
SECTIONS: Final = ("**What guards it.**", "\n## Checklist\n", "\n## A worked change\n")
LINT: Final = "make lint"
MINUTES: Final = 30
"""mypy begins without a cache, and every page runs the tests that guard its change."""
ENDED: Final = re.compile(r"^(?P<ended>[A-Z]+) (?P<test>tests/\S+)", re.MULTILINE)
FOLLOWS: Final = re.compile(r'^\+down_revision = "(\w+)"$', re.MULTILINE)
SQLITE_ALONE: Final = ("-k", "not postgresql")
EVERY_PAGE: Final = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A copy of this checkout."""
    return Tree.copied_to(tmp_path / "tree")


@pytest.fixture(scope="module")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of mypy for all pages, because most modules are the same."""
    return tmp_path_factory.mktemp("mypy")


@EVERY_PAGE
class TestPages:
    def test_a_page_has_every_section_and_not_too_many_lines(self, page: Path) -> None:
        text = page.read_text()

        assert [section for section in SECTIONS if section not in text] == []
        assert len(text.splitlines()) <= MAX_LINES

    def test_a_page_is_linked_from_contributing(self, page: Path) -> None:
        assert f"`docs/how-to/{page.name}`" in (ROOT / "CONTRIBUTING.md").read_text()

    def test_a_page_shows_a_change_with_its_test_and_the_commands_to_run(self, page: Path) -> None:
        change = change_of(page)
        others = [it for it in change.commands if not MODULE.fullmatch(it) and it != LINT]

        assert change.tests
        assert (change.added | change.edited) - set(change.tests)
        assert [name for name in change.added if (ROOT / name).exists()] == []
        assert [name for name in change.edited if not (ROOT / name).exists()] == []
        assert [it for it in others if not MAKE_TEST.fullmatch(it)] == []

    def test_a_worked_change_applies_to_this_tree(self, page: Path, tmp_path: Path) -> None:
        change = change_of(page)

        assert Tree.of_files(change.edited, tmp_path / "tree").apply(change) == ""

    def test_a_migration_of_a_page_follows_the_newest(self, page: Path) -> None:
        newest = max((ROOT / "alembic/versions").glob("[0-9]*.py")).stem

        assert set(FOLLOWS.findall(change_of(page).diff)) <= {newest}


@dataclass(frozen=True)
class Outcome:
    """The result of one page's change: "" or why it does not apply, and the results of tests."""

    refusal: str
    ended: Mapping[str, str]
    output: str


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Outcome]:
    """Apply each page's change and run its own test; several share a tree, which is faster."""
    found: dict[str, Outcome] = {}
    for group in compatible(map(change_of, PAGES)):
        tree = Tree.copied_to(tmp_path_factory.mktemp("how-to") / "tree")
        refusals = {change.page: tree.apply(change) for change in group}
        tests = [name for it in group if not refusals[it.page] for name in it.tests]
        # Without a name, pytest would run every test of the copy, and this one in it again.
        output = tree.pytest("-rA", *tests, *SQLITE_ALONE).stdout if tests else ""
        ended = {line["test"]: line["ended"] for line in ENDED.finditer(output)}
        found |= {page: Outcome(refusal, ended, output) for page, refusal in refusals.items()}
    return found


@pytest.mark.slow
class TestWorkedChanges:
    @EVERY_PAGE
    def test_a_worked_change_applies_and_passes_its_own_test(
        self, page: Path, outcomes: Mapping[str, Outcome]
    ) -> None:
        outcome = outcomes[page.stem]
        ended = {
            test: how
            for test, how in outcome.ended.items()
            if test.partition("::")[0] in change_of(page).tests
        }

        assert outcome.refusal == ""
        assert set(ended.values()) == {"PASSED"}, outcome.output


@pytest.mark.slow
@pytest.mark.timeout(MINUTES * 60)
@EVERY_PAGE
class TestOneWorkedChange:
    def test_a_worked_change_is_needed_by_its_test(self, page: Path, tree: Tree) -> None:
        change = change_of(page)
        assert tree.apply(change) == ""
        without = Tree.copied_to(tree.folder.with_name("without"))
        for name in change.tests:
            (without.folder / name).write_text((tree.folder / name).read_text())

        assert without.pytest(*change.tests, *SQLITE_ALONE).returncode != 0

    def test_a_worked_change_passes_everything_that_its_page_runs(
        self, page: Path, tree: Tree, mypy_cache: Path
    ) -> None:
        change = change_of(page)
        assert tree.apply(change) == ""

        for command in change.commands:
            if MODULE.fullmatch(command):
                tree.run_module(command)

        done = tree.pytest(*change.named_tests(), *SQLITE_ALONE)
        assert done.returncode == 0, done.stdout
        linted = tree.lint(cache=mypy_cache)
        assert [it.stdout for it in linted if it.returncode] == []
