"""Tell in which encoding a text is that is not UTF-8, from all of the text, or refuse to say.

Every candidate decodes the bytes, and its letters are judged: whether they are frequent, and
whether they form words as people write them. A text that no candidate explains, or that two
explain about equally well, has no answer: a wrong one would turn names into other characters.
"""

import codecs
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.datasets.archives.scripts.asian import (
    judge_big5,
    judge_gbk,
    judge_japanese,
    judge_korean,
)
from app.datasets.archives.scripts.letters import judge_cyrillic, judge_latin

Judge = Callable[[str], Iterator[float]]
"""Yields a plausibility from 0 to 1 for each character that is not ASCII."""

CANDIDATES: Final[Mapping[str, Judge]] = {
    "gbk": judge_gbk,
    "gb18030": judge_gbk,
    "cp932": judge_japanese,
    "big5": judge_big5,
    "cp949": judge_korean,
    "cp1252": judge_latin,
    "cp1251": judge_cyrillic,
    "cp866": judge_cyrillic,
    "cp437": judge_latin,
    "cp850": judge_latin,
}
"""The encodings of Windows and DOS by their judges; of equal texts, the first is the answer."""

DOS: Final = frozenset({"cp437", "cp850", "cp866"})
DOS_SHARE_IN_FILES: Final = 0.75
"""Names in archives are often in the encoding of DOS, but the content of files hardly ever is."""

LEAST_PLAUSIBLE: Final = 0.65
LEAST_LEAD: Final = 0.1
MISFIT: Final = 0.1
MAX_JUDGED_BYTES: Final = 32 * 1024
WIDE_BEGINNING: Final = 8
"""The number of bytes at the beginning of a text without a mark that tell whether it is UTF-16."""

MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Marks at the beginning of a text; UTF-32 precedes UTF-16, whose mark its own begins with."""


@dataclass(frozen=True)
class _Verdict:
    encoding: str
    text: str
    plausibility: float


def decode_text(content: bytes) -> tuple[str, str] | None:
    """Return the text of a file, without its mark, and its encoding; None if that is unknown."""
    for mark, encoding in MARKS:
        if content.startswith(mark):
            text = _decoded(content, encoding)
            return None if text is None else (text.removeprefix("\ufeff"), encoding)
    unmarked = _utf_16_without_mark(content)
    if unmarked is not None:
        return unmarked
    text = _decoded(content, "utf-8")
    if text is not None:
        return text, "utf-8"
    found = _told_apart(content.splitlines(), dos_share=DOS_SHARE_IN_FILES)
    text = None if found is None else _decoded(content, found)
    return None if found is None or text is None else (text, found)


def _utf_16_without_mark(content: bytes) -> tuple[str, str] | None:
    """Return the text of UTF-16 that is mostly ASCII: every other byte at its beginning is 0."""
    beginning = content[:WIDE_BEGINNING]
    if len(beginning) < WIDE_BEGINNING or len(content) % 2:
        return None
    for encoding, zeros, others in (
        ("utf-16-le", beginning[1::2], beginning[::2]),
        ("utf-16-be", beginning[::2], beginning[1::2]),
    ):
        if not any(zeros) and all(others):
            text = _decoded(content, encoding)
            return None if text is None else (text, encoding)
    return None


def decode_legacy(samples: Sequence[bytes]) -> str | None:
    """Return the one encoding of all `samples`, none of which is UTF-8 for sure, or None."""
    return _told_apart(samples, dos_share=1)


def _told_apart(samples: Iterable[bytes], *, dos_share: float) -> str | None:
    distinct = list(dict.fromkeys(sample for sample in samples if not sample.isascii()))
    everything = b"\n".join(distinct)
    if not distinct or b"\0" in everything:
        return None
    judged = b"\n".join(_within(distinct, MAX_JUDGED_BYTES))
    verdicts = [
        _Verdict(encoding, text, _plausibility(judge, text, dos_share if encoding in DOS else 1))
        for encoding, judge in CANDIDATES.items()
        if _decoded(everything, encoding) is not None
        and (text := _decoded(judged, encoding)) is not None
    ]
    best = max(verdicts, key=lambda verdict: verdict.plausibility, default=None)
    if best is None or best.plausibility < LEAST_PLAUSIBLE:
        return None
    others = [verdict.plausibility for verdict in verdicts if verdict.text != best.text]
    is_clear = best.plausibility - max(others, default=0) >= LEAST_LEAD
    return best.encoding if is_clear else None


def _within(samples: Sequence[bytes], max_bytes: int) -> Iterator[bytes]:
    """Yield samples from all parts of the list, about `max_bytes` of them, but at least one."""
    step = sum(map(len, samples)) // max_bytes + 1
    left = max_bytes
    for sample in samples[::step]:
        if left <= 0:
            return
        left -= len(sample)
        yield sample


def _decoded(content: bytes, encoding: str) -> str | None:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return None


def _plausibility(judge: Judge, text: str, share: float) -> float:
    """Return the mean of the weights, less the share of the characters that fit nowhere."""
    weights = list(judge(text))
    if not weights:
        return 0
    misfits = sum(weight <= MISFIT for weight in weights)
    return share * (sum(weights) - misfits) / len(weights)
