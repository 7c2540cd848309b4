"""The findings of a verification: what was found, with the file and the line.

The lenient policy drops an image whose file or target is faulty, and reports the fault as a
warning; the strict policy reports it as an error.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from app.core import plain_text
from app.core.files import whole_file
from app.datasets.reports.finding_codes import Code, Severity

Policy = Literal["lenient", "strict"]

MAX_SHOWN_CHARACTERS: Final = 300
MAX_FINDINGS_PER_CODE: Final = 100
MAX_LISTED_FINDINGS: Final = 100_000
"""Findings of one verification that are written; of each code, the first 100 always are."""

INDEX_BYTES: Final = 16 * 1024
"""Size of the first line of a file of findings, filled up with blanks; all codes have room."""

SEVERITIES: Final = tuple(Severity)
CODES: Final = tuple(Code)

Fix = Mapping[str, JsonValue]
"""Import options that fix a finding; null leaves an option out."""


class Finding(BaseModel):
    """One finding; `line` counts from 1. Each of `fixes` corrects it, the likeliest first."""

    model_config = ConfigDict(frozen=True)

    code: Code
    severity: Severity
    message: str
    file: str | None
    line: int | None
    fixes: tuple[dict[str, JsonValue], ...] = ()


class CodeSpan(BaseModel):
    """Where the findings of one code are in a file of findings: `length` bytes from `start`."""

    model_config = ConfigDict(frozen=True)

    code: Code
    severity: Severity
    start: int
    length: int


class FindingIndex(BaseModel):
    """The first line of a file of findings, `INDEX_BYTES` long.

    `start` counts from the byte after this line.
    """

    model_config = ConfigDict(frozen=True)

    codes: list[CodeSpan]


@dataclass(frozen=True)
class Remark:
    """A finding about one file, created where the file's name is unknown."""

    code: Code
    message: str
    line: int | None = None


class Findings:
    """Collects findings. Counts all, and keeps the first `MAX_FINDINGS_PER_CODE` of each code.

    The following ones are kept as lines of JSON, for the file of all findings.
    """

    def __init__(self, policy: Policy = "strict") -> None:
        self.policy = policy
        self._kept: list[Finding] = []
        self._counts: Counter[Code] = Counter()
        self._lines: dict[Code, list[bytes]] = defaultdict(list)
        self._held = 0

    def severity_of(self, code: Code) -> Severity:
        """Return the severity of a code: a warning if the policy drops the image instead."""
        if code.drops and self.policy == "lenient":
            return Severity.WARNING
        return code.severity

    def add(
        self,
        code: Code,
        message: str,
        *,
        file: str | None = None,
        line: int | None = None,
        fixes: Sequence[Fix] = (),
    ) -> None:
        """Add one finding. Escapes `file`; callers use `shown` for user text in `message`.

        A fix is a request as a client sends it, so its text cannot be escaped: one with characters
        that people cannot see is left out.
        """
        self._counts[code] += 1
        is_kept = self._counts[code] <= MAX_FINDINGS_PER_CODE
        if not is_kept and self._held >= MAX_LISTED_FINDINGS:
            return
        self._held += 1
        found = Finding(
            code=code,
            severity=self.severity_of(code),
            message=message,
            file=None if file is None else shown(file),
            line=line,
            fixes=tuple(fix for fix in map(dict, fixes) if plain_text.shown_json(fix) == fix),
        )
        if is_kept:
            self._kept.append(found)
        else:
            self._lines[code].append(_line_of(found))

    def add_remarks(self, remarks: tuple[Remark, ...], file: str) -> None:
        """Add the remarks about `file`."""
        for remark in remarks:
            self.add(remark.code, remark.message, file=file, line=remark.line)

    def extend(self, other: "Findings") -> None:
        """Take over the findings of `other`."""
        self._kept.extend(other._kept)  # noqa: SLF001 -- the same class
        self._counts.update(other._counts)  # noqa: SLF001
        self._held += other._held  # noqa: SLF001
        for code, lines in other._lines.items():  # noqa: SLF001
            self._lines[code] += lines

    def write_all(self, path: Path) -> None:
        """Write the findings that are held, if the report omits some: an index, then a line each.

        They are ordered by severity and code, and those of one code as they were found.
        """
        if not self._lines:
            return
        in_order = sorted(self._counts, key=lambda code: order_of(code, self.severity_of(code)))
        ranges, start = [], 0
        for code in in_order:
            length = sum(map(len, self._lines_of(code)))
            severity = self.severity_of(code)
            ranges.append(CodeSpan(code=code, severity=severity, start=start, length=length))
            start += length
        with whole_file(path, durable=False) as file:
            index = FindingIndex(codes=ranges).model_dump_json().encode()
            file.write(index.ljust(INDEX_BYTES - 1) + b"\n")
            for code in in_order:
                file.writelines(self._lines_of(code))

    def _lines_of(self, code: Code) -> Iterator[bytes]:
        yield from (_line_of(found) for found in self._kept if found.code is code)
        yield from self._lines[code]

    @property
    def has_errors(self) -> bool:
        """Whether any finding is an error, which makes the version invalid."""
        return any(self.severity_of(code) is Severity.ERROR for code in self._counts)

    def kept(self) -> list[Finding]:
        """Return the kept findings, errors first, then by file and line."""
        return sorted(
            self._kept,
            key=lambda found: (
                SEVERITIES.index(found.severity),
                found.file or "",
                found.line or 0,
                found.code,
            ),
        )

    def totals(self) -> dict[str, int]:
        """Return the number of findings of each code, including those that were not kept."""
        return {code.value: self._counts[code] for code in Code if self._counts[code]}


def order_of(code: Code, severity: Severity) -> tuple[int, int]:
    """Return the sort key of lists of findings: errors first, then as `Code` lists the codes."""
    return SEVERITIES.index(severity), CODES.index(code)


def _line_of(found: Finding) -> bytes:
    return found.model_dump_json().encode() + b"\n"


def shown(text: str) -> str:
    """Escape what people cannot see in `text`, and cut it to `MAX_SHOWN_CHARACTERS`."""
    return plain_text.shown(text, limit=MAX_SHOWN_CHARACTERS)
