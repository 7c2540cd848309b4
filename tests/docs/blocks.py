"""Fenced blocks of the documents, with the marks above them.

A mark is a comment on the line before a block: `<!-- needs: server -->` for commands that need more
than this machine has without a server, `<!-- is: JobSpec -->` for what a document shows.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.architecture.sources import ROOT, relative

BLOCK: Final = re.compile(
    r"(?:^<!-- (?P<mark>needs|is): (?P<value>[^>]+) -->\n)?"
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its document, language, text and marks."""

    document: str
    line: int
    language: str
    text: str
    needs: str | None = None
    shows: str | None = None

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def documents() -> list[Path]:
    """Return the documents for users and developers, without decisions, which are records."""
    guides = [*sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs/how-to").glob("*.md"))]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *guides, *room_readmes()]


def room_readmes() -> list[Path]:
    """Return the README of each larger room of the code."""
    return sorted(
        path for folder in ("app", "worker") for path in ROOT.glob(f"{folder}/*/README.md")
    )


def blocks() -> list[Block]:
    """Return every fenced block of every document."""
    return [block for path in documents() for block in blocks_of(path)]


def blocks_of(path: Path) -> Iterator[Block]:
    """Yield the fenced blocks of one document, in order."""
    text = path.read_text()
    for found in BLOCK.finditer(text):
        value = found["value"]
        yield Block(
            document=relative(path),
            line=text.count("\n", 0, found.start()) + 1,
            language=found["language"],
            text=found["text"],
            needs=value if found["mark"] == "needs" else None,
            shows=value if found["mark"] == "is" else None,
        )
