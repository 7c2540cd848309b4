"""Lines of a log, coloured by the words that tell an error or a warning."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.web.api import Answer

ERROR: Final = re.compile(
    r"\b(?:ERROR|CRITICAL|FATAL)\b"
    r"|^Traceback \(most recent call last\)"
    r"|^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt)\b"
    r"|^(?:[a-z_]\w*\.)+[A-Z]\w+: "
)
WARNING: Final = re.compile(r"\bWARN(?:ING)?\b|\b[A-Z]\w*Warning\b")


@dataclass(frozen=True)
class LogLine:
    """A line of a log.

    Attributes:
        number: from 1.
        text: without the line break.
        level: `e` for an error, `w` for a warning, otherwise empty: a class of the stylesheet.
        is_match: whether it contains what was searched for.
    """

    number: int
    text: str
    level: str
    is_match: bool = False


def level_of(text: str) -> str:
    """Return the class of a line by its words."""
    if ERROR.search(text):
        return "e"
    return "w" if WARNING.search(text) else ""


def lines_of(answer: Answer) -> list[LogLine]:
    """Return the lines of a part of a log."""
    first = int(answer.headers["x-first-line"])
    texts = answer.body.decode("utf-8", "replace").split("\n")
    if texts[-1] == "":
        texts.pop()
    return [LogLine(number, text, level_of(text)) for number, text in enumerate(texts, first)]


def matches_of(found: Sequence[dict[str, Any]]) -> list[LogLine]:
    """Return the lines that a search found, and their neighbours."""
    return [LogLine(it["n"], it["text"], level_of(it["text"]), it["match"]) for it in found]
