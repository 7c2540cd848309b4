"""The findings that a report holds, and the file of all of them."""

from pathlib import Path

import pytest

from app.datasets.reports import findings as module
from app.datasets.reports.finding_codes import Code, Severity
from app.datasets.reports.findings import INDEX_BYTES, Finding, FindingIndex, Findings


def many(counts: dict[Code, int]) -> Findings:
    """Return findings of the lenient policy, with their numbers as messages."""
    findings = Findings("lenient")
    for code, count in counts.items():
        for number in range(count):
            findings.add(code, str(number), file=f"{code.value}.txt", line=number + 1)
    return findings


def written(findings: Findings, folder: Path) -> tuple[FindingIndex, bytes]:
    path = folder / "findings.jsonl"
    findings.write_all(path)
    index, _, lines = path.read_bytes().partition(b"\n")
    assert len(index) + 1 == INDEX_BYTES
    return FindingIndex.model_validate_json(index), lines


class TestFileOfAllFindings:
    def test_a_report_that_has_all_findings_needs_no_file(self, tmp_path: Path) -> None:
        many({Code.LABEL_CLASS: 100}).write_all(tmp_path / "findings.jsonl")

        assert list(tmp_path.iterdir()) == []

    def test_the_file_has_every_finding_errors_first(self, tmp_path: Path) -> None:
        counts = {Code.LABEL_CLASS: 250, Code.YAML_VALUE: 120, Code.YAML_ENCODING: 1}

        index, lines = written(many(counts), tmp_path)

        listed = [Finding.model_validate_json(line) for line in lines.splitlines()]
        assert [held.code for held in index.codes] == [
            Code.YAML_VALUE,
            Code.YAML_ENCODING,
            Code.LABEL_CLASS,
        ]
        assert [found.message for found in listed] == [
            str(number) for count in (120, 1, 250) for number in range(count)
        ]

    def test_the_index_says_where_the_findings_of_a_code_are(self, tmp_path: Path) -> None:
        index, lines = written(many({Code.LABEL_CLASS: 250, Code.YAML_VALUE: 1}), tmp_path)

        for held in index.codes:
            part = lines[held.start : held.start + held.length]
            assert {Finding.model_validate_json(line).code for line in part.splitlines()} == {
                held.code
            }
        assert index.codes[-1].severity is Severity.WARNING

    def test_an_index_of_all_codes_fits(self, tmp_path: Path) -> None:
        index, _ = written(many(dict.fromkeys(Code, 101)), tmp_path)

        assert {held.code for held in index.codes} == set(Code)

    def test_the_first_findings_of_each_code_are_listed_if_there_are_too_many(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "MAX_LISTED_FINDINGS", 300)
        findings = many({Code.LABEL_CLASS: 1000, Code.YAML_VALUE: 150})

        _, lines = written(findings, tmp_path)

        codes = [Finding.model_validate_json(line).code for line in lines.splitlines()]
        assert codes.count(Code.LABEL_CLASS) == 300
        assert codes.count(Code.YAML_VALUE) == 100
        assert findings.totals() == {"yaml-value": 150, "label-class": 1000}

    def test_findings_that_are_taken_over_are_listed(self, tmp_path: Path) -> None:
        findings = Findings("lenient")

        findings.extend(many({Code.LABEL_CLASS: 150}))

        _, lines = written(findings, tmp_path)
        assert lines.count(b"\n") == 150
