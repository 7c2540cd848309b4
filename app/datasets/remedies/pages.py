"""Pages of the findings of a version, from its report or from the file of all its findings.

A page of the file reads the index in its first line and the lines of the page, nothing between.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from pydantic import ValidationError

from app.core.storage import ArtifactStore, StoredBytesCorrupt
from app.datasets.reports.finding_codes import Code, Severity
from app.datasets.reports.findings import INDEX_BYTES, Finding, FindingIndex, order_of

PIECE_BYTES: Final = 128 * 1024
"""Read at once: about as much as a page has."""


@dataclass(frozen=True)
class FindingFilter:
    """The findings of a list; None matches everything."""

    severity: Severity | None = None
    code: Code | None = None

    def matches(self, code: Code, severity: Severity) -> bool:
        """Return whether findings of this code and severity are listed."""
        return self.severity in {None, severity} and self.code in {None, code}


@dataclass(frozen=True)
class ListedFinding:
    """A finding, and the position from which the next page continues after it."""

    finding: Finding
    after: int


def of_report(
    findings: Iterable[Finding], filters: FindingFilter, *, start: int, limit: int
) -> list[ListedFinding]:
    """Return up to `limit` findings of a report from the position `start`."""
    in_order = sorted(findings, key=lambda found: order_of(found.code, found.severity))
    listed = (found for found in in_order if filters.matches(found.code, found.severity))
    return [
        ListedFinding(found, position + 1)
        for position, found in islice(enumerate(listed), start, start + limit)
    ]


def of_file(
    store: ArtifactStore, sha256: str, filters: FindingFilter, *, start: int, limit: int
) -> list[ListedFinding]:
    """Return up to `limit` findings of a file from the byte `start` after its index.

    Raises:
        StoredBytesCorrupt: the file is damaged, or not in the store.
        StoreUnavailable: the store cannot be reached.
    """
    try:
        index = FindingIndex.model_validate_json(_read(store, sha256, 0, INDEX_BYTES))
        lines = _lines(store, sha256, _ranges(index, filters, start))
        return [
            ListedFinding(Finding.model_validate_json(line), after)
            for line, after in islice(lines, limit)
        ]
    except (FileNotFoundError, ValidationError):
        raise StoredBytesCorrupt("The stored findings are missing or damaged.") from None


def _ranges(index: FindingIndex, filters: FindingFilter, start: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each part of the file that is listed from `start` on."""
    for held in index.codes:
        end = held.start + held.length
        if filters.matches(held.code, held.severity) and end > start:
            yield max(start, held.start), end


def _lines(
    store: ArtifactStore, sha256: str, ranges: Iterable[tuple[int, int]]
) -> Iterator[tuple[bytes, int]]:
    """Yield the lines of the ranges, each with the position after it."""
    for begin, end in ranges:
        unfinished = b""
        for position in range(begin, end, PIECE_BYTES):
            piece = _read(store, sha256, INDEX_BYTES + position, min(PIECE_BYTES, end - position))
            at = position - len(unfinished)
            *whole, unfinished = (unfinished + piece).split(b"\n")
            for line in whole:
                at += len(line) + 1
                yield line, at


def _read(store: ArtifactStore, sha256: str, start: int, length: int) -> bytes:
    return b"".join(store.open_range(sha256, start, length))
