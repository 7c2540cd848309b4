"""The file through which a verification process reports its progress."""

from pathlib import Path

import pytest

from app.datasets.archives.audit import open_archive
from app.datasets.packs.progress import (
    PROGRESS_NAME,
    ProgressWriter,
    VerificationProgress,
    counted,
    read_progress,
)
from app.datasets.reports.findings import Findings
from app.datasets.reports.report import Limits
from tests.datasets.builders import a_zip


@pytest.fixture
def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProgressWriter:
    """Return a writer that writes at every call."""
    monkeypatch.setattr("app.datasets.packs.progress.WRITE_SECONDS", 0.0)
    return ProgressWriter(tmp_path)


class TestWriter:
    def test_the_beginning_of_a_step_is_written_at_once(self, tmp_path: Path) -> None:
        ProgressWriter(tmp_path).begin("dividing", 100)

        assert read_progress(tmp_path) == VerificationProgress(step="dividing", done=0)

    def test_bytes_are_counted_in_the_step_in_which_they_are_read(
        self, tmp_path: Path, impatient: ProgressWriter
    ) -> None:
        impatient.begin("reading", 10)
        impatient.advance(9)
        impatient.begin("images", 300)

        impatient.advance(75)
        impatient.advance(25)

        assert read_progress(tmp_path) == VerificationProgress(step="images", done=0.3333)

    def test_a_step_that_reads_more_than_was_expected_stays_at_one(
        self, tmp_path: Path, impatient: ProgressWriter
    ) -> None:
        impatient.begin("images", 10)

        impatient.advance(25)

        assert read_progress(tmp_path) == VerificationProgress(step="images", done=1)

    def test_bytes_before_any_step_belong_to_reading(
        self, tmp_path: Path, impatient: ProgressWriter
    ) -> None:
        impatient.advance(25)

        assert read_progress(tmp_path) == VerificationProgress(step="reading", done=0)

    def test_a_writer_does_not_write_at_every_reading(self, tmp_path: Path) -> None:
        writer = ProgressWriter(tmp_path)
        writer.begin("images", 10)

        writer.advance(5)

        assert read_progress(tmp_path) == VerificationProgress(step="images", done=0)


class TestReader:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\xff",
            b"[]",
            b'{"step": "images"}',
            b'{"step": "dancing", "done": 0.5}',
            b'{"step": "images", "done": 1.5}',
            b'{"step": "images", "done": NaN}',
            b'{"step": "images", "done": 0.5, "more": 1}',
        ],
        ids=["empty", "bytes", "list", "half", "step", "share", "nan", "more"],
    )
    def test_unusable_content_is_no_progress(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / PROGRESS_NAME).write_bytes(content)

        assert read_progress(tmp_path) is None

    def test_a_reader_reads_no_more_than_the_beginning_of_a_long_file(self, tmp_path: Path) -> None:
        begun = b'{"step": "images", "done": 0.5'
        (tmp_path / PROGRESS_NAME).write_bytes(begun + b" " * 10_000 + b"}")

        assert read_progress(tmp_path) is None

    def test_a_process_that_wrote_nothing_has_no_progress(self, tmp_path: Path) -> None:
        assert read_progress(tmp_path) is None


class TestCounted:
    def test_every_way_of_reading_a_member_is_counted(self, tmp_path: Path) -> None:
        path = a_zip(tmp_path / "upload.zip", {"a.txt": b"123456789"})
        sizes: list[int] = []
        with open_archive(path, Limits(), Findings()) as opened:
            assert opened is not None
            archive = counted(opened, sizes.append)
            member = archive.members[0]

            archive.read(member)
            archive.prefix(member, 4)
            with archive.stream(member) as stream:
                stream.read(100)

        assert sizes == [9, 4, 9]
