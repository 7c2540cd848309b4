"""Judge texts in Chinese, Japanese and Korean encodings, character by character.

The old standards divide their characters into a frequent level and a rare one, by the first byte.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from app.datasets.archives.scripts.characters import (
    FREQUENT_HANGUL,
    FREQUENT_KANJI,
    FREQUENT_SIMPLIFIED,
    FREQUENT_TRADITIONAL,
)

FREQUENT: Final = 1.0
FIRST_LEVEL: Final = 0.7
KOREAN_LEVEL: Final = 0.6
SECOND_LEVEL: Final = 0.3
PUNCTUATION_WEIGHT: Final = 0.5
HALF_WIDTH_WEIGHT: Final = 0.2
RARE: Final = 0.1
BESIDE_A_LETTER: Final = 0.7

PUNCTUATION: Final = frozenset(
    "\u3000\u3001\u3002\u300a\u300b\u300c\u300d\u3010\u3011\u30fb\u00b7\u2014\u2026\u201c\u201d"
    "\uff08\uff09\uff0c\uff0d\uff0e\uff1a\uff3f\uff5e\u301c"
)
FULL_WIDTH: Final = ("\uff10", "\uff5a")
HALF_WIDTH: Final = ("\uff61", "\uff9f")
KANA: Final = (("\u3041", "\u3096"), ("\u30a1", "\u30fa"), ("\u30fc", "\u30fe"))
HANGUL: Final = ("\uac00", "\ud7a3")

NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")
KOREAN_LEADS: Final = range(0xB0, 0xC9)
MANY: Final = 8
ONLY_KOREAN_LEADS_SHARE: Final = 0.7
"""Of eight different Chinese characters, at least one has a lead byte that Korean does not use."""

LESS_OFTEN_SHARE: Final = 0.95
"""Archives with traditional Chinese or Korean are rarer than those with simplified Chinese."""

ONE_CHARACTER_SHARE: Final = 0.8
"""Two bytes alone can be a character by chance."""


def judge_gbk(text: str) -> Iterator[float]:
    """Judge simplified Chinese."""
    characters = set("".join(NOT_ASCII.findall(text)))
    leads = {_lead(character, "gb2312") for character in characters}
    is_korean = len(characters) >= MANY and all(lead in KOREAN_LEADS for lead in leads)
    share = ONLY_KOREAN_LEADS_SHARE if is_korean else 1
    return (share * weight for weight in _judged(text, _simplified))


def judge_big5(text: str) -> Iterator[float]:
    """Judge traditional Chinese."""
    return (LESS_OFTEN_SHARE * weight for weight in _judged(text, _traditional))


def judge_japanese(text: str) -> Iterator[float]:
    """Judge Japanese."""
    return _judged(text, _japanese)


def judge_korean(text: str) -> Iterator[float]:
    """Judge Korean."""
    return (LESS_OFTEN_SHARE * weight for weight in _judged(text, _korean))


def _judged(text: str, weight: Callable[[str], float]) -> Iterator[float]:
    """Yield the weight of each character; one alone between Latin letters counts less."""
    share = ONE_CHARACTER_SHARE if len(set("".join(NOT_ASCII.findall(text)))) == 1 else 1
    for found in NOT_ASCII.finditer(text):
        run = found[0]
        if len(run) > 1:
            yield from map(weight, run)
            continue
        before = text[max(0, found.start() - 1) : found.start()]
        after = text[found.end() : found.end() + 1]
        letters = before.isalpha() + after.isalpha()
        yield share * weight(run) * (1, BESIDE_A_LETTER, 0)[letters]


@lru_cache(maxsize=65_536)
def _simplified(character: str) -> float:
    levels = (range(0xB0, 0xD8), range(0xD8, 0xF8))
    return _chinese(character, "gb2312", FREQUENT_SIMPLIFIED, levels)


@lru_cache(maxsize=65_536)
def _traditional(character: str) -> float:
    levels = (range(0xA4, 0xC7), range(0xC9, 0xFA))
    return _chinese(character, "big5", FREQUENT_TRADITIONAL, levels)


def _chinese(
    character: str, encoding: str, frequent: frozenset[str], levels: tuple[range, range]
) -> float:
    if character in frequent:
        return FREQUENT
    if _is_punctuation(character):
        return PUNCTUATION_WEIGHT
    return _by_level(_lead(character, encoding), levels)


@lru_cache(maxsize=65_536)
def _japanese(character: str) -> float:
    if character in FREQUENT_KANJI or any(_is_in(character, kana) for kana in KANA):
        return FREQUENT
    if _is_punctuation(character):
        return PUNCTUATION_WEIGHT
    if _is_in(character, HALF_WIDTH):
        return HALF_WIDTH_WEIGHT
    return _by_level(_lead(character, "shift_jis"), (range(0x88, 0x99), range(0x99, 0xEB)))


@lru_cache(maxsize=65_536)
def _korean(character: str) -> float:
    if character in FREQUENT_HANGUL:
        return FREQUENT
    if _is_punctuation(character):
        return PUNCTUATION_WEIGHT
    if not _is_in(character, HANGUL):
        return RARE
    return KOREAN_LEVEL if _lead(character, "euc_kr") in KOREAN_LEADS else RARE


def _is_punctuation(character: str) -> bool:
    return character in PUNCTUATION or _is_in(character, FULL_WIDTH)


def _is_in(character: str, ends: tuple[str, str]) -> bool:
    return ends[0] <= character <= ends[1]


def _lead(character: str, encoding: str) -> int:
    """Return the first byte of a character that takes two, else 0."""
    try:
        encoded = character.encode(encoding)
    except UnicodeEncodeError:
        return 0
    return encoded[0] if len(encoded) > 1 else 0


def _by_level(lead: int, levels: tuple[range, range]) -> float:
    if lead in levels[0]:
        return FIRST_LEVEL
    return SECOND_LEVEL if lead in levels[1] else 0
