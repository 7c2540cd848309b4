"""Decision records are numbered without gaps; each has its status and the required parts."""

from pathlib import Path

import pytest

from tests.architecture.decisions import Record, one_sided_links, record_files, records

PARTS = ("Context", "Decision", "Alternatives", "Consequences", "Enforced by")

OLDER = "# 0001 Walk\n\n**Status.** Accepted, 2026-11-24{}.\n\n**Context.** …\n"
NEWER = "# 0002 Run\n\n**Status.** Accepted, 2026-11-27.{}\n\n**Context.** …\n"
SUPERSEDED = "; superseded in part by [0002](0002-run.md). No longer true: we walk"
SUPERSEDES = " Supersedes [0001](0001-walk.md) in part."


class TestDecisions:
    def test_decisions_are_numbered_from_one_without_gaps(self) -> None:
        numbers = [int(path.name[:4]) for path in record_files()]

        assert numbers == list(range(1, len(record_files()) + 1))

    @pytest.mark.parametrize("path", record_files(), ids=lambda path: path.stem)
    def test_each_decision_has_its_number_as_title_and_five_parts(self, path: Path) -> None:
        text = path.read_text()

        assert text.startswith(f"# {path.name[:4]} ")
        assert [part for part in PARTS if f"**{part}.**" not in text] == []

    @pytest.mark.parametrize("path", record_files(), ids=lambda path: path.stem)
    def test_each_has_a_status_line_under_its_title(self, path: Path) -> None:
        assert Record.parse(path.name, path.read_text()).accepted

    def test_superseding_records_and_superseded_ones_link_to_each_other(self) -> None:
        assert one_sided_links(records()) == set()

    def test_only_later_records_supersede(self) -> None:
        earlier = [
            (record.file, newer)
            for record in records()
            for newer in record.superseded_by
            if newer <= record.file
        ]

        assert earlier == []


class TestTheChecks:
    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("# 0001 Walk\n\n**Context.** …\n", id="no-status"),
            pytest.param("# 0001 Walk\n\n**Status.** Accepted.\n\n**Context.** …\n", id="no-date"),
            pytest.param(
                OLDER.format("; superseded in part by [0002](0002-run.md)"), id="no-sentence"
            ),
            pytest.param(OLDER.format("; superseded by 0002"), id="no-link"),
        ],
    )
    def test_refuse_a_status_line_that_lacks_something(self, text: str) -> None:
        with pytest.raises(ValueError, match="status line"):
            Record.parse("0001-walk.md", text)

    @pytest.mark.parametrize(
        ("of_the_older", "of_the_newer", "one_sided"),
        [
            pytest.param(SUPERSEDED, SUPERSEDES, set(), id="both"),
            pytest.param(SUPERSEDED, "", {("0001-walk.md", "0002-run.md")}, id="older-alone"),
            pytest.param("", SUPERSEDES, {("0001-walk.md", "0002-run.md")}, id="newer-alone"),
        ],
    )
    def test_see_a_link_that_only_one_record_has(
        self, of_the_older: str, of_the_newer: str, one_sided: set[tuple[str, str]]
    ) -> None:
        older = Record.parse("0001-walk.md", OLDER.format(of_the_older))
        newer = Record.parse("0002-run.md", NEWER.format(of_the_newer))

        assert one_sided_links([older, newer]) == one_sided
