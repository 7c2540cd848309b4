"""The glossary names real things, and a class with a new word needs an entry."""

from collections import Counter
from typing import Final

import pytest

from tests.docs.glossary import (
    GLOSSARY,
    Entry,
    entries,
    head_noun,
    json_names,
    named_things,
)
from tests.docs.real_names import resolves

pytestmark = pytest.mark.unit

TEXT: Final = GLOSSARY.read_text()
ENTRIES: Final = entries(TEXT)

TRAINING: Final = """
    accuracy annotation architecture batch best callback class collate confusion count data dataset
    divergence entropy epoch freeze freezing histogram image label layer lr mask match model
    optimization optimizer pass patience plot rate run schedule score statistic target weight
"""
PROGRAMMING: Final = """
    acceptor answer api argument authenticator background base body box broker budget byte
    categorie category cell chain checksum chunk client code command connection container content
    context conversion counter credential database deadline destination digest directory download
    error exchange failure field filter finder form format head id index item key kind level limit
    list listener log login memory message module name option order page path pipe poll process
    protocol query question range reader record resolver response result route row scope secret
    sender serie server session setting shape signal span split statu store stream survey table
    text theme time total transaction translation type unit upload user value worker writer yaml
"""
EVERYDAY: Final = """
    access action actor admission announcement bar bound capacity change chart check checker
    choice copie difference divided drop effect end example fact fault group heading histogram
    holder input link me membership mistake origin period picture place progress project purpose
    readable readiness reporting reservation resource resuming role rule severity share shipper
    side size start submission summary tag timing use warning width
"""
HAPPENINGS: Final = """
    again alive applied collected compared damaged emit expired failed in now on overdue planned
    ready refused sent submitted unread unwatched watched
"""
PLAIN: Final = frozenset(f"{TRAINING} {PROGRAMMING} {EVERYDAY} {HAPPENINGS}".split())
"""Last words of class names that are used as in English, Python, HTTP or machine learning.

Add a word here only if it has its usual meaning; a coined word needs a row of the glossary.
"""


def unexplained(names: frozenset[str]) -> list[str]:
    """Return the class names whose head noun is neither plain English nor in the glossary."""
    nouns = {entry.noun for entry in ENTRIES} | PLAIN
    owners = {entry.symbol for entry in ENTRIES}
    return sorted(name for name in names if head_noun(name) not in nouns and name not in owners)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.word.replace(" ", "-"))
class TestEntries:
    def test_a_word_has_a_home_that_exists(self, entry: Entry) -> None:
        assert resolves(entry.home)

    def test_a_word_has_names_that_the_json_or_a_table_has(self, entry: Entry) -> None:
        assert set(entry.names) <= json_names()

    def test_a_word_is_explained_in_one_sentence(self, entry: Entry) -> None:
        assert entry.meaning.endswith(".")
        assert ". " not in entry.meaning


class TestGlossary:
    def test_every_row_of_the_glossary_is_read(self) -> None:
        rows = [line for line in TEXT.splitlines() if line.startswith("| ")]
        headers = [row for row in rows if row.startswith("| word |")]

        assert len(ENTRIES) == len(rows) - len(headers)

    def test_every_word_has_one_row(self) -> None:
        counts = Counter(entry.word for entry in ENTRIES)

        assert [word for word, count in counts.items() if count > 1] == []


class TestClassNames:
    def test_a_class_with_a_coined_noun_has_an_entry(self) -> None:
        assert unexplained(named_things("app", "worker")) == []

    def test_every_plain_noun_is_used(self) -> None:
        used = {head_noun(name) for name in named_things("app", "worker")}

        assert PLAIN - used == set()

    def test_no_plain_noun_is_in_the_glossary_too(self) -> None:
        assert PLAIN & {entry.noun for entry in ENTRIES} == set()


class TestTheChecks:
    def test_the_check_of_class_names_finds_a_coined_noun(self) -> None:
        assert unexplained(frozenset({"TrainingGizmo", "ListedJob"})) == ["TrainingGizmo"]

    def test_the_check_of_class_names_knows_an_error_by_its_bases(self) -> None:
        assert not named_things("app", "worker") & {"JobNotFound", "Fenced"}

    @pytest.mark.parametrize(
        ("name", "noun"),
        [("JobsView", "view"), ("WaitingCheckpoints", "checkpoint"), ("EpochClasses", "class")],
    )
    def test_the_check_of_class_names_knows_the_head_noun(self, name: str, noun: str) -> None:
        assert head_noun(name) == noun
