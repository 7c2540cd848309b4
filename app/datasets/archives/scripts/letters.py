"""Judge texts in the encodings of Western Europe and of Russia, word by word."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

WORD: Final = re.compile(r"[^\W\d_]+")
NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")
WordJudge = Callable[[str], list[float]]
"""Returns a plausibility for each letter of a word that is not ASCII."""

LATIN_WEIGHTS: Final[Mapping[str, float]] = (
    dict.fromkeys("àáãäåçèéêíñóößüæø", 1.0)
    | dict.fromkeys("âëìîïòôõùúûœ", 0.85)
    | dict.fromkeys("ÀÁÄÅÇÉÍÑÓÖØÜ", 0.8)
    | dict.fromkeys("ÂÃÈÊËÌÎÏÒÔÕÙÚÛÆŒ", 0.6)
)
NORDIC: Final = frozenset("åæøÅÆØ")
NOT_NORDIC: Final = frozenset("ìèùêçñãõîûÌÈÙÊÇÑÃÕÎÛ")
WORDS_OF_ONE_LETTER: Final = frozenset("àèéóöåÀÉÈ")
NUMBER_SIGNS: Final = frozenset("ºª")
PORTUGUESE: Final[Mapping[str, frozenset[str]]] = {
    "ã": frozenset({"", "o", "e", "s", "n", "m"}),
    "õ": frozenset({"e"}),
}
"""What follows a letter with a tilde."""

BEFORE_SHARP_S: Final = frozenset("aeiouäöüy")

RUSSIAN_WEIGHTS: Final[Mapping[str, float]] = (
    dict.fromkeys("оеаинтсрвлкмдпу", 1.0)
    | dict.fromkeys("яыьгзбчйхё", 0.85)
    | dict.fromkeys("жшюцщэфъ", 0.6)
    | dict.fromkeys("іїєґ", 0.5)
)
RUSSIAN_VOWELS: Final = frozenset("аеёиоуыэюяіїє")
VOWELS: Final = (0.22, 0.7)
"""The least and the greatest share of vowels in a Russian text."""

NOT_RUSSIAN: Final = re.compile(r"ъ(?![еёюя])|(?:^|[аеёиоуыэюяйъь])[ъыь]|[бвгджзклмнпрстфхцчшщъ]й")
"""Sequences of letters that no Russian word has."""

WORDS_OF_ONE_RUSSIAN_LETTER: Final = frozenset("авикосуя")

UNUSUAL: Final = 0.3
AFTER_A_VOWEL: Final = 0.6
WELL_PLACED: Final = 0.8
BADLY_PLACED: Final = 0.1
OPENING: Final = frozenset("«“‘„¿¡")  # noqa: RUF001 -- typographic quotes are meant
CLOSING: Final = frozenset("»”’…")  # noqa: RUF001 -- typographic quotes are meant
DASHES: Final = frozenset("–—")  # noqa: RUF001 -- dashes are meant
BETWEEN_WORDS: Final = frozenset("•·×±")  # noqa: RUF001 -- the sign of multiplication is meant
DEGREE: Final = "°"
AFTER_A_NUMBER: Final = frozenset("²³€£§")
POWERS: Final = frozenset("²³")
BEFORE_A_NUMBER: Final = frozenset("№±£§")
APOSTROPHE: Final = "’"  # noqa: RUF001 -- the typographic one is meant


def judge_latin(text: str) -> Iterator[float]:
    """Judge French, German, Spanish and the other languages of Western Europe."""
    found = set(NOT_ASCII.findall(text))
    is_mixed = bool(found & NORDIC) and bool(found & NOT_NORDIC)
    for weight in _by_words(text, _latin_word):
        yield weight / 2 if is_mixed else weight


def judge_cyrillic(text: str) -> Iterator[float]:
    """Judge Russian and Ukrainian."""
    letters = [letter for letter in text.lower() if letter in RUSSIAN_WEIGHTS]
    vowels = sum(letter in RUSSIAN_VOWELS for letter in letters)
    least, most = VOWELS
    share = 1 if least * len(letters) <= vowels <= most * len(letters) else UNUSUAL
    return (share * weight for weight in _by_words(text, _cyrillic_word))


def _by_words(text: str, judge_word: WordJudge) -> Iterator[float]:
    """Judge the words by their letters and what is between them by its place."""
    end = 0
    for word in WORD.finditer(text):
        yield from _symbols(text, end, word.start())
        if not word[0].isascii():
            yield from judge_word(word[0])
        end = word.end()
    yield from _symbols(text, end, len(text))


def _latin_word(word: str) -> list[float]:
    accented = [at for at, letter in enumerate(word) if not letter.isascii()]
    if len(word) == 1:
        return [LATIN_WEIGHTS[word] if word in WORDS_OF_ONE_LETTER else UNUSUAL]
    if 2 * len(accented) > len(word) + 1:
        return [0.0] * len(accented)
    return [_latin_letter(word, at) for at in accented]


def _latin_letter(word: str, at: int) -> float:
    letter, before, after = word[at], word[:at][-1:].lower(), word[at + 1 : at + 2]
    if letter in NUMBER_SIGNS:
        return UNUSUAL if after else WELL_PLACED
    breaks_case = letter.isupper() and before and not word.isupper()
    if breaks_case or (letter.islower() and after.isupper()):
        return 0
    if letter == "ß" and before not in BEFORE_SHARP_S:
        return 0
    if letter in PORTUGUESE and after not in PORTUGUESE[letter]:
        return UNUSUAL
    share = AFTER_A_VOWEL if letter in "áä" and before and before in "aeiou" else 1
    return share * LATIN_WEIGHTS.get(letter, 0)


def _cyrillic_word(word: str) -> list[float]:
    weights = [RUSSIAN_WEIGHTS.get(letter.lower(), 0) for letter in word if not letter.isascii()]
    if len(word) == 1:
        is_word = word.lower() in WORDS_OF_ONE_RUSSIAN_LETTER
    else:
        is_word = (
            len(weights) == len(word)
            and (word.islower() or word.isupper() or word.istitle())
            and NOT_RUSSIAN.search(word.lower()) is None
            and (word.isupper() or not RUSSIAN_VOWELS.isdisjoint(word.lower()))
        )
    return weights if is_word else [UNUSUAL * weight for weight in weights]


def _symbols(text: str, start: int, end: int) -> Iterator[float]:
    for at in range(start, end):
        if not text[at].isascii():
            before, after = text[max(0, at - 1) : at] or " ", text[at + 1 : at + 2] or " "
            yield WELL_PLACED if _is_well_placed(text[at], before, after) else BADLY_PLACED


def _is_well_placed(symbol: str, before: str, after: str) -> bool:
    if symbol == APOSTROPHE and before.isalpha() and after.isalpha():
        return True
    if symbol in OPENING:
        return not before.isalnum() and not after.isspace()
    if symbol in CLOSING:
        return not before.isspace() and not after.isalnum()
    if symbol in DASHES | BETWEEN_WORDS and before.isspace() == after.isspace():
        return symbol in DASHES or not (before.isalpha() or after.isalpha())
    if symbol == DEGREE:
        return before.isdigit() or before.isspace()
    if symbol in BEFORE_A_NUMBER and after.isdigit():
        return True
    is_power = symbol in POWERS and before.isalpha()
    return symbol in AFTER_A_NUMBER and (before.isdigit() or is_power) and not after.isalpha()
