"""Passages of prose from documents, OpenAPI texts, docstrings and comments.

Every passage is joined into one line, so that a pattern also finds words across a line break.
"""

import ast
import re
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Final

from tests.architecture.sources import ROOT

FENCED: Final = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
GENERATED: Final = re.compile(
    r"^<!-- generated: [\w-]+ -->$.*?^<!-- end: [\w-]+ -->$", re.DOTALL | re.MULTILINE
)
CODE: Final = re.compile(r"`[^`]*`")
BEGINS_ITEM: Final = re.compile(r"\s*(?:[-*|#>]|\d+\.) ")
HASH_COMMENT_FILES: Final = ("Makefile", "docker-compose.yml", ".ci/run", "pyproject.toml")
OPENAPI_TEXTS: Final = ("summary", "description")


@dataclass(frozen=True)
class Passage:
    """A paragraph, list item, table row, docstring or comment: where it begins, and its text."""

    where: str
    text: str


def documents() -> list[Path]:
    """Every Markdown document."""
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    below = (ROOT / folder for folder in ("docs", "examples", "app", "sdk", "worker"))
    return [*top, *sorted(path for folder in below for path in folder.rglob("*.md"))]


def document_passages(name: str, text: str) -> Iterator[Passage]:
    """Yield the hand-written paragraphs of a document, without code."""
    yield from _paragraphs(name, _blanked(GENERATED, _blanked(FENCED, text)))


def generated_passages(name: str, text: str) -> Iterator[Passage]:
    """Yield the generated parts of a document, whose words come from the code."""
    text = _blanked(FENCED, text)
    for found in GENERATED.finditer(text):
        yield from _paragraphs(name, found[0], first=text.count("\n", 0, found.start()) + 1)


def hash_comment_passages(name: str, text: str) -> Iterator[Passage]:
    """Yield the comments of a file that marks them with `#`."""
    lines = [(number, line.partition("#")[2]) for number, line in enumerate(text.splitlines(), 1)]
    yield from _joined(name, [(number, comment) for number, comment in lines if comment])


def python_passages(name: str, text: str) -> Iterator[Passage]:
    """Yield the comments of a module and its docstrings, including those of attributes."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(docstring))):
                yield Passage(f"{name}:{node.lineno}", _plain(docstring))
    comments = [
        (token.start[0], token.string.lstrip("#"))
        for token in tokenize.generate_tokens(StringIO(text).readline)
        if token.type == tokenize.COMMENT
    ]
    yield from _joined(name, comments)


def openapi_passages(document: Mapping[str, Any]) -> Iterator[Passage]:
    """Yield the summaries and descriptions of an OpenAPI document."""
    yield from _texts_of(document, "openapi")


def _texts_of(node: object, where: str) -> Iterator[Passage]:
    if isinstance(node, list):
        for number, member in enumerate(node):
            yield from _texts_of(member, f"{where}/{number}")
    if isinstance(node, dict):
        for key, value in node.items():
            if key in OPENAPI_TEXTS and isinstance(value, str):
                yield Passage(f"{where}/{key}", _plain(value))
            else:
                yield from _texts_of(value, f"{where}/{key}")


def _paragraphs(name: str, text: str, *, first: int = 1) -> Iterator[Passage]:
    """Yield the paragraphs, list items and table rows of a document."""
    begins, lines = 0, list[str]()
    for number, line in enumerate([*text.splitlines(), ""], first):
        if lines and (not line.strip() or BEGINS_ITEM.match(line)):
            yield Passage(f"{name}:{begins}", _plain(" ".join(lines)))
            lines = []
        if line.strip():
            begins = begins if lines else number
            lines.append(line)


def _joined(name: str, comments: Sequence[tuple[int, str]]) -> Iterator[Passage]:
    """Yield comments; comments on adjacent lines are one passage."""
    begins, texts = 0, list[str]()
    for number, text in comments:
        if texts and number != begins + len(texts):
            yield Passage(f"{name}:{begins}", _plain(" ".join(texts)))
            texts = []
        begins = begins if texts else number
        texts.append(text)
    if texts:
        yield Passage(f"{name}:{begins}", _plain(" ".join(texts)))


def _blanked(pattern: re.Pattern[str], text: str) -> str:
    """Return `text` without the matches; every line keeps its number."""
    return pattern.sub(lambda found: "\n" * found[0].count("\n"), text)


def _plain(text: str) -> str:
    return " ".join(CODE.sub("`…`", text).split())
