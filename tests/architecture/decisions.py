"""The decision records: the status line under each title, and what enforces each record."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tests.architecture.sources import ROOT

FOLDER: Final = ROOT / "docs/decisions"

LINK: Final = r"\[\d{4}\]\(\d{4}-[\w-]+\.md\)"
LINKS: Final = rf"{LINK}(?:(?:, | and ){LINK})*"
STATUS: Final = re.compile(
    r"\*\*Status\.\*\* (?P<accepted>Accepted, \d{4}-\d\d-\d\d)"
    rf"(?:; superseded by (?P<replaced>{LINKS})"
    rf"|; superseded in part by (?P<corrected>{LINKS})\. (?P<untrue>No longer true: .+?[^.]))?\."
    rf"(?: Supersedes (?P<older>{LINKS})(?: in part)?\.)?"
)


@dataclass(frozen=True)
class Record:
    """One decision record. It names other records by their files."""

    file: str
    number: str
    title: str
    accepted: str
    superseded_by: frozenset[str]
    is_superseded_in_part: bool
    supersedes: frozenset[str]
    enforced_by: str

    @classmethod
    def parse(cls, file: str, text: str) -> Self:
        """Read a record from its text.

        Raises:
            ValueError: the status line is missing or has another form.
        """
        title, status, *_ = (" ".join(part.split()) for part in text.split("\n\n"))
        found = STATUS.fullmatch(status)
        if found is None:
            raise ValueError(f"{file}: the status line under the title is missing or malformed.")
        return cls(
            file=file,
            number=file[:4],
            title=title.removeprefix(f"# {file[:4]} "),
            accepted=found["accepted"],
            superseded_by=_files_in(found["replaced"] or found["corrected"]),
            is_superseded_in_part=found["corrected"] is not None,
            supersedes=_files_in(found["older"]),
            enforced_by=" ".join(text.partition("**Enforced by.** ")[2].split()),
        )


def record_files() -> list[Path]:
    """Return the paths of all decision records, by number, without the index README.md."""
    return sorted(FOLDER.glob("[0-9]*.md"))


def records() -> list[Record]:
    """Read every decision record."""
    return [Record.parse(path.name, path.read_text()) for path in record_files()]


def one_sided_links(found: list[Record]) -> set[tuple[str, str]]:
    """Return the links, older record first, that only one of the two records has."""
    from_older = {(record.file, newer) for record in found for newer in record.superseded_by}
    from_newer = {(older, record.file) for record in found for older in record.supersedes}
    return from_older ^ from_newer


def _files_in(links: str | None) -> frozenset[str]:
    return frozenset(re.findall(r"\(([^)]+)\)", links or ""))
