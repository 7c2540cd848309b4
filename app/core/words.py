"""The words of a name, and the beginnings of words that a search asks for.

Python folds both, so that a search finds the same names on every database.
"""

import re
import unicodedata
from typing import Final

MAX_WORD: Final = 64
"""Characters of a word that are stored and compared; the rest is ignored."""
MAX_WORDS: Final = 100
LAST_CHARACTER: Final = "\U0010ffff"
"""Sorts behind every character of a name: the end of the range that a beginning selects."""

_WORD_CATEGORIES: Final = frozenset("LNM")
_INNER_CAPITAL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def words_of(name: str) -> frozenset[str]:
    """Return the folded words of a name, at most `MAX_WORDS`.

    Letters, digits and their marks form words, everything else separates them. The parts of a word
    in camel case are words too: `BloodCells` has the words `bloodcells` and `cells`.
    """
    found: dict[str, None] = {}
    for word in split_words(name):
        parts = [match.start() for match in _INNER_CAPITAL.finditer(word)]
        for start in (0, *parts):
            for folded in split_words(folded_text(word[start:])):
                found[folded[:MAX_WORD]] = None
    return frozenset(list(found)[:MAX_WORDS])


def beginnings_of(text: str) -> tuple[str, ...]:
    """Return the folded words of a search text; each must begin a word of the name."""
    return tuple(dict.fromkeys(word[:MAX_WORD] for word in split_words(folded_text(text))))


def folded_text(text: str) -> str:
    """Fold case and compatible forms (Unicode's NFKC_Casefold, except for ignorable characters)."""
    compatible = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", compatible)


def split_words(text: str) -> list[str]:
    """Return the runs of letters, digits and marks in a text."""
    spaced = (each if unicodedata.category(each)[0] in _WORD_CATEGORIES else " " for each in text)
    return "".join(spaced).split()
