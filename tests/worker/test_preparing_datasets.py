"""An attempt's dataset: what is prepared once, who shares a folder, and who gets links."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.worlds.rows import claim, job_row
from tests.worlds.worker import PATIENT, Worker, a_lease
from worker.attempt.claimed import ClaimedAttempt
from worker.attempt.dataset import IN_USE, BroughtDataset, bring_dataset
from worker.attempt.directory import attempt_directory

pytestmark = pytest.mark.mostly_sqlite

PREPARER = """
import json, pathlib, sys
request = json.loads(pathlib.Path(sys.argv[1]).read_text())
with open({calls!r}, "a") as calls:
    calls.write(request["make"] + (" single" if request["single_cls"] else "") + chr(10))
report = {{"sha256": "0" * 64, "array_bytes": {array_bytes}}}
if request["make"] == "scan":
    pathlib.Path(request["output"]).write_bytes(b"scan")
    report["images"] = 1
else:
    pathlib.Path(request["dataset"], "images/train/0.npy").write_bytes(b"array")
    report["arrays"] = 1
pathlib.Path(request["report"]).write_text(json.dumps(report))
"""


def with_preparer(worker: Worker, program: str) -> Worker:
    """Return a worker with another preparer, and without a cage: it notes what it saw outside."""
    argv, cages = (sys.executable, "-c", program), replace(worker.context.cages, mode="off")
    return replace(worker, context=replace(worker.context, preparer_argv=argv, cages=cages))


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return tmp_path / "calls"


@pytest.fixture
def preparing(worker: Worker, calls: Path) -> Worker:
    """A worker whose preparer only pretends, and notes what it is called for."""
    return with_preparer(worker, PREPARER.format(calls=str(calls), array_bytes=5))


@contextmanager
def an_attempt(
    worker: Worker, train: Mapping[str, object] | None = None
) -> Iterator[ClaimedAttempt]:
    """Claim a job in this process; `train` are further arguments."""
    fields = {"train": {"epochs": 3, **(train or {})}}
    worker.submit(fields=fields)
    hold = claim(worker.context.database)
    job = job_row(worker.context.database, hold.job_id)
    lease = a_lease(worker.context.database, hold, timing=PATIENT)
    with attempt_directory(worker.context.attempts_folder, hold) as directory:
        yield ClaimedAttempt(worker.context, job, lease, directory)


def brought(worker: Worker, train: Mapping[str, object] | None = None) -> BroughtDataset:
    with an_attempt(worker, train) as attempt, ExitStack() as layers:
        return bring_dataset(attempt, layers)


class TestTheScan:
    def test_a_second_attempt_uses_the_scan_of_the_first(
        self, preparing: Worker, calls: Path
    ) -> None:
        first = brought(preparing)

        second = brought(preparing)

        assert first.scan is not None
        assert (first.scan, first.path) == (second.scan, second.path)
        assert calls.read_text().splitlines() == ["scan"]

    def test_a_training_with_one_class_has_a_scan_of_its_own(
        self, preparing: Worker, calls: Path
    ) -> None:
        first = brought(preparing)

        second = brought(preparing, {"single_cls": True})

        assert first.scan != second.scan
        assert calls.read_text().splitlines() == ["scan", "scan single"]

    def test_a_scan_by_other_packages_is_made_again(
        self, preparing: Worker, calls: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        brought(preparing)
        monkeypatch.setattr("worker.attempt.dataset.deciding_packages", lambda: {"numpy": "9"})

        brought(preparing)

        assert calls.read_text().splitlines() == ["scan", "scan"]

    def test_attempts_with_a_scan_share_the_folder_of_the_version(self, preparing: Worker) -> None:
        with an_attempt(preparing) as attempt, ExitStack() as layers:
            dataset = bring_dataset(attempt, layers)

            assert dataset.path.is_relative_to(preparing.context.datasets.folder)
            assert not attempt.directory.dataset.exists()

    def test_without_a_scan_an_attempt_gets_its_own_folder_of_links(self, worker: Worker) -> None:
        failing = with_preparer(worker, "raise SystemExit('no torch')")

        with an_attempt(failing) as attempt, ExitStack() as layers, capture_logs() as logs:
            dataset = bring_dataset(attempt, layers)

            assert (dataset.path, dataset.scan) == (attempt.directory.dataset, None)
            assert (dataset.path / "images/train/0.txt").is_symlink()
        warnings = [line for line in logs if line["event"] == "dataset_cache.not_prepared"]
        assert [line["exit_code"] for line in warnings] == [1]
        assert "no torch" in warnings[0]["output"]

    def test_the_folders_of_a_version_are_writable_only_while_it_is_scanned(
        self, worker: Worker, tmp_path: Path
    ) -> None:
        program = f"""
import json, os, pathlib, sys
request = json.loads(pathlib.Path(sys.argv[1]).read_text())
pathlib.Path({str(tmp_path / "mode")!r}).write_text(oct(os.stat(request["dataset"]).st_mode))
"""

        brought(with_preparer(worker, program))

        assert (tmp_path / "mode").read_text().endswith("755")
        folders = worker.context.datasets.folder.glob("*/dataset")
        assert [folder.stat().st_mode & 0o222 for folder in folders] == [0]


class TestTheArrays:
    def test_arrays_are_made_once_beside_the_images(self, preparing: Worker, calls: Path) -> None:
        first = brought(preparing, {"cache": "disk"})

        second = brought(preparing, {"cache": "disk"})

        assert first.path == second.path
        assert (first.path / "images/train/0.npy").read_bytes() == b"array"
        assert first.without_arrays is None
        assert calls.read_text().splitlines() == ["scan", "arrays"]

    def test_a_job_without_arrays_does_not_see_them(self, preparing: Worker) -> None:
        brought(preparing, {"cache": "disk"})

        plain = brought(preparing)

        assert not list(plain.path.rglob("*.npy"))

    def test_without_room_a_job_trains_without_arrays_and_learns_why(
        self, worker: Worker, calls: Path
    ) -> None:
        program = PREPARER.format(calls=str(calls), array_bytes=10**12)

        dataset = brought(with_preparer(worker, program), {"cache": "disk"})

        assert dataset.scan is not None
        assert dataset.without_arrays is not None
        assert "1000.0 GB" in dataset.without_arrays
        assert "dataset_cache_bytes" in dataset.without_arrays

    def test_arrays_that_could_not_be_made_leave_nothing_behind(
        self, worker: Worker, calls: Path
    ) -> None:
        program = PREPARER.format(calls=str(calls), array_bytes=5)
        fails = program.replace('    report["arrays"] = 1', '    raise SystemExit("broken")')

        dataset = brought(with_preparer(worker, fails), {"cache": "disk"})

        assert dataset.without_arrays is not None
        assert not list(worker.context.datasets.folder.rglob("*.npy"))

    def test_arrays_that_a_training_uses_are_not_made_again(
        self, preparing: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with an_attempt(preparing, {"cache": "disk"}) as attempt, ExitStack() as layers:
            first = bring_dataset(attempt, layers)
            monkeypatch.setattr("worker.attempt.dataset.deciding_packages", lambda: {"numpy": "9"})

            second = brought(preparing, {"cache": "disk"})

            assert second.without_arrays == IN_USE
            assert (first.path / "images/train/0.npy").is_file()
        assert brought(preparing, {"cache": "disk"}).without_arrays is None
