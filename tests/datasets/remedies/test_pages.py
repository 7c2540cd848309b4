"""Pages of findings: of a report and of a stored file, with filters."""

from pathlib import Path

import pytest

from app.core.storage import ArtifactStore, StoredBytesCorrupt
from app.datasets.remedies import pages
from app.datasets.remedies.pages import FindingFilter, ListedFinding, of_file, of_report
from app.datasets.reports.finding_codes import Code, Severity
from app.datasets.reports.findings import Finding, Findings
from app.settings import Settings

COUNTS = {Code.LABEL_CLASS: 230, Code.LABEL_DUPLICATE: 150, Code.YAML_VALUE: 3}
EVERYTHING = FindingFilter()


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.from_settings(Settings(home=tmp_path / "home"))


@pytest.fixture
def findings() -> Findings:
    found = Findings("lenient")
    for number in range(max(COUNTS.values())):
        for code, count in COUNTS.items():
            if number < count:
                found.add(code, str(number), file="ü" * (number % 50))
    return found


@pytest.fixture
def sha256(store: ArtifactStore, findings: Findings, tmp_path: Path) -> str:
    findings.write_all(tmp_path / "findings.jsonl")
    return store.put_file(tmp_path / "findings.jsonl").sha256


def all_pages(
    store: ArtifactStore, sha256: str, filters: FindingFilter, limit: int
) -> list[ListedFinding]:
    listed: list[ListedFinding] = []
    while page := of_file(
        store, sha256, filters, start=listed[-1].after if listed else 0, limit=limit
    ):
        assert len(page) <= limit
        listed += page
    return listed


def listed_codes(listed: list[ListedFinding]) -> list[Code]:
    return [each.finding.code for each in listed]


class TestPagesOfAFile:
    @pytest.mark.parametrize("limit", [1, 7, 200])
    def test_pages_together_have_each_finding_once(
        self, store: ArtifactStore, sha256: str, limit: int
    ) -> None:
        listed = all_pages(store, sha256, EVERYTHING, limit)

        assert [(each.finding.code, each.finding.message) for each in listed] == [
            (code, str(number))
            for code in (Code.YAML_VALUE, Code.LABEL_CLASS, Code.LABEL_DUPLICATE)
            for number in range(COUNTS[code])
        ]

    @pytest.mark.parametrize(
        "filters",
        [
            FindingFilter(severity=Severity.WARNING),
            FindingFilter(code=Code.LABEL_DUPLICATE),
            FindingFilter(Severity.ERROR, Code.LABEL_CLASS),
        ],
    )
    def test_a_filter_lists_what_matches(
        self, store: ArtifactStore, sha256: str, filters: FindingFilter
    ) -> None:
        every = all_pages(store, sha256, EVERYTHING, 200)

        listed = all_pages(store, sha256, filters, 20)

        assert listed == [
            each for each in every if filters.matches(each.finding.code, each.finding.severity)
        ]

    def test_lines_are_found_across_the_pieces_that_are_read(
        self, store: ArtifactStore, sha256: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        every = all_pages(store, sha256, EVERYTHING, 200)
        monkeypatch.setattr(pages, "PIECE_BYTES", 61)

        assert all_pages(store, sha256, EVERYTHING, 30) == every

    def test_a_page_reads_only_its_own_part(
        self, store: ArtifactStore, sha256: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pages, "PIECE_BYTES", 1024)
        read: list[int] = []
        opened = store.open_range

        def counted(digest: str, start: int, length: int) -> object:
            read.append(length)
            return opened(digest, start, length)

        monkeypatch.setattr(store, "open_range", counted)

        of_file(store, sha256, FindingFilter(code=Code.LABEL_DUPLICATE), start=0, limit=3)

        assert sum(read[1:]) <= 1024

    def test_a_position_beyond_the_end_is_an_empty_page(
        self, store: ArtifactStore, sha256: str
    ) -> None:
        assert of_file(store, sha256, EVERYTHING, start=10**9, limit=5) == []

    def test_a_file_that_is_missing_is_damage_of_the_store(self, store: ArtifactStore) -> None:
        with pytest.raises(StoredBytesCorrupt):
            of_file(store, "ab" * 32, EVERYTHING, start=0, limit=5)


class TestPagesOfAReport:
    def test_pages_together_have_each_finding_once_in_the_same_order(
        self, findings: Findings
    ) -> None:
        kept = findings.kept()
        listed: list[ListedFinding] = []
        while page := of_report(kept, EVERYTHING, start=len(listed), limit=60):
            listed += page

        assert len(listed) == len(kept) == 203
        assert listed_codes(listed) == sorted(listed_codes(listed), key=list(Code).index)
        assert [each.after for each in listed] == list(range(1, 204))

    def test_a_filter_lists_what_matches(self) -> None:
        kept = [
            Finding(code=code, severity=code.severity, message="", file=None, line=None)
            for code in (Code.SPLIT_MADE, Code.YAML_PATH, Code.YAML_VALUE)
        ]

        listed = of_report(kept, FindingFilter(severity=Severity.ERROR), start=0, limit=9)

        assert listed_codes(listed) == [Code.YAML_VALUE, Code.YAML_PATH]
