"""The findings of a verification: what was found, with the file and the line.

The lenient policy drops an image whose file or target is faulty, and reports the fault as a
warning; the strict policy reports it as an error.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from app.datasets.archives.finding_codes import Code, Severity

Policy = Literal["lenient", "strict"]

MAX_SHOWN_CHARACTERS = 300
MAX_FINDINGS_PER_CODE = 100


class Finding(BaseModel):
    """One finding; `line` counts from 1."""

    model_config = ConfigDict(frozen=True)

    code: Code
    severity: Severity
    message: str
    file: str | None
    line: int | None


@dataclass(frozen=True)
class Remark:
    """A finding about one file, created where the file's name is unknown."""

    code: Code
    message: str
    line: int | None = None


class Findings:
    """Collects findings. Keeps the first `MAX_FINDINGS_PER_CODE` of each code and counts all."""

    def __init__(self, policy: Policy = "strict") -> None:
        self._policy = policy
        self._kept: list[Finding] = []
        self._counts: Counter[Code] = Counter()

    def severity_of(self, code: Code) -> Severity:
        """Return the severity of a code: a warning if the policy drops the image instead."""
        if code.drops and self._policy == "lenient":
            return Severity.WARNING
        return code.severity

    def add(
        self, code: Code, message: str, *, file: str | None = None, line: int | None = None
    ) -> None:
        """Add one finding. Escapes `file`; callers use `shown` for user text in `message`."""
        self._counts[code] += 1
        if self._counts[code] > MAX_FINDINGS_PER_CODE:
            return
        shown_file = None if file is None else shown(file)
        self._kept.append(
            Finding(
                code=code,
                severity=self.severity_of(code),
                message=message,
                file=shown_file,
                line=line,
            )
        )

    def add_remarks(self, remarks: tuple[Remark, ...], file: str) -> None:
        """Add the remarks about `file`."""
        for remark in remarks:
            self.add(remark.code, remark.message, file=file, line=remark.line)

    def extend(self, other: "Findings") -> None:
        """Take over the findings of `other`."""
        self._kept.extend(other._kept)  # noqa: SLF001 -- the same class
        self._counts.update(other._counts)  # noqa: SLF001

    @property
    def has_errors(self) -> bool:
        """Whether any finding is an error, which makes the version invalid."""
        return any(self.severity_of(code) is Severity.ERROR for code in self._counts)

    def kept(self) -> list[Finding]:
        """Return the kept findings, errors first, then by file and line."""
        order = list(Severity)
        return sorted(
            self._kept,
            key=lambda found: (
                order.index(found.severity),
                found.file or "",
                found.line or 0,
                found.code,
            ),
        )

    def totals(self) -> dict[str, int]:
        """Return the number of findings of each code, including those that were not kept."""
        return {code.value: self._counts[code] for code in Code if self._counts[code]}


def shown(text: str) -> str:
    """Escape the unprintable characters of `text` and cut it to `MAX_SHOWN_CHARACTERS`."""
    printable = "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text[: MAX_SHOWN_CHARACTERS + 1]
    )
    if len(printable) <= MAX_SHOWN_CHARACTERS:
        return printable
    return printable[: MAX_SHOWN_CHARACTERS - 1] + "…"
