"""A pack is itself a valid upload: read back, any valid dataset is the same version."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.tasks import Task
from app.datasets.packs.manifest import EMPTY_CLASS
from app.datasets.reports.report import PACK_NAME, ImportOptions, Report, VerificationRequest
from app.datasets.verification.verify import verify
from tests.datasets.builders import Files, a_zip
from tests.datasets.outputs import files_of_output
from tests.datasets.verification.whole_sets.drawn_sets import class_folders, datasets


def verified(archive: Path, folder: Path, task: Task) -> Report:
    folder.mkdir()
    options = ImportOptions(task=task, policy="strict")
    report = verify(VerificationRequest(archive=archive, output=folder, options=options))
    assert report.state == "ready", report.findings
    return report


def with_empty_folders(output: Path) -> Files:
    """Return the files of a version; the folder of a class without images is empty."""
    return {
        path.removesuffix(EMPTY_CLASS): content for path, content in files_of_output(output).items()
    }


class TestRoundTrip:
    @given(drawn=st.one_of(datasets(), class_folders()))
    @settings(max_examples=12, deadline=None)
    def test_a_pack_that_is_sent_again_is_the_same_version(self, drawn: tuple[Task, Files]) -> None:
        task, files = drawn
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            first = verified(a_zip(folder / "upload.zip", files), folder / "first", task)

            stored = a_zip(folder / "stored.zip", with_empty_folders(folder / "first"))

            again = verified(stored, folder / "again", task)

            packs = [(folder / each / PACK_NAME).read_bytes() for each in ("first", "again")]
        assert again.manifest_digest == first.manifest_digest
        assert again.splits == first.splits
        assert again.class_counts == first.class_counts
        assert packs[0] == packs[1]
