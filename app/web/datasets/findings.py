"""The findings of a version as a page shows them: with files counted, and requests named."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.web.datasets import dataset_words
from app.web.datasets.heading import Heading
from app.web.pages import Page

PAGE_SIZE: Final = 50
COUNTED_ERRORS: Final = 200
SEVERITIES: Final = ("error", "warning", "info")

Finding = Mapping[str, Any]


@dataclass(frozen=True)
class RemedyAction:
    """A ready request that corrects a finding, for a button.

    Attributes:
        words: what is changed, such as `task = obb`; empty if nothing but the time is.
        body: the JSON of the request's body.
        field: the option of which several values fit; None if there is one.
        values: these values with their JSON.
    """

    words: str
    body: str
    field: str | None
    values: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class FoundRow:
    """A finding.

    Attributes:
        found: as the API lists it.
        remedy: what corrects it; None if no option does, or the same one is above.
        is_as_above: whether a remedy above is the same.
    """

    found: Finding
    remedy: RemedyAction | None
    is_as_above: bool


@dataclass(frozen=True)
class FindingPage:
    """A page of findings.

    Attributes:
        rows: the findings.
        query: the filters in the address.
        next: the cursor of the next page.
        problem: the errors in one sentence, such as `5 errors in 4 files.`; empty without errors.
    """

    rows: Sequence[FoundRow]
    query: Mapping[str, str]
    next: str | None
    problem: str

    @property
    def remedies(self) -> Sequence[RemedyAction]:
        """The different remedies of errors on this page."""
        return [row.remedy for row in self.rows if row.remedy and row.found["severity"] == "error"]


async def read_findings(page: Page, heading: Heading, query: Mapping[str, str]) -> FindingPage:
    """Read a page of findings.

    Args:
        page: of the user.
        heading: the version.
        query: `severity`, `code` and `cursor`.

    Raises:
        ApiProblem: the API refused a filter or the cursor.
    """
    path = f"/v1/datasets/{heading.view['version']}/findings"
    listed = await page.api.get(path, {**query, "limit": PAGE_SIZE})
    counts = heading.view["findings"] or {}
    problem = ""
    if counts.get("error"):
        asked = {"severity": "error", "limit": COUNTED_ERRORS}
        problem = _sentence(counts["error"], await page.api.get(path, asked))
    return FindingPage(
        rows=_rows(listed["data"], heading.view["options"]),
        query={name: value for name, value in query.items() if name != "cursor"},
        next=listed["next"],
        problem=problem,
    )


def _sentence(count: int, errors: Mapping[str, Any]) -> str:
    files = {each["file"] for each in errors["data"]} - {None}
    words = dataset_words.counted(count, "error")
    if not files:
        return f"{words}."
    at_least = "at least " if errors["has_more"] else ""
    return f"{words} in {at_least}{dataset_words.counted(len(files), 'file')}."


def _rows(findings: Sequence[Finding], options: Mapping[str, Any] | None) -> list[FoundRow]:
    seen: set[str] = set()
    rows = []
    for found in findings:
        remedy = _remedy(found, options)
        is_as_above = remedy is not None and remedy.body in seen
        if remedy is not None:
            seen.add(remedy.body)
        rows.append(FoundRow(found, None if is_as_above else remedy, is_as_above))
    return rows


def _remedy(found: Finding, options: Mapping[str, Any] | None) -> RemedyAction | None:
    if found["request"] is None:
        return None
    body = found["request"]["body"]
    words = _change(body, options or {})
    if found["choices"] is None:
        return RemedyAction(words, json.dumps(body), None, [])
    field, values = found["choices"]["field"], found["choices"]["values"]
    written = [(dataset_words.value_of(field, each), json.dumps(each)) for each in values]
    return RemedyAction(words, json.dumps(body), field, written)


def _change(body: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """Return how the options of a request differ from those of the version."""
    wanted = {name: value for name, value in body.items() if name != "version"}
    changed = [
        f"{name} = {dataset_words.value_of(name, value)}"
        for name, value in wanted.items()
        if options.get(name) != value
    ]
    left_out = [f"without {name}" for name in options if name not in wanted]
    return ", ".join([*changed, *left_out])
