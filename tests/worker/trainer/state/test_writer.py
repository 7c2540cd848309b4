"""A writer writes snapshots one after the other, and reports each with its size."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from worker.trainer.state.file import Digests, StateHeader, best_files, read_state
from worker.trainer.state.memory import SnapshotMemory
from worker.trainer.state.snapshot import Snapshot
from worker.trainer.state.writer import StateWriter, WrittenState

SECONDS = 20.0


@pytest.fixture
def run_directory(tmp_path: Path) -> Path:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "best.pt").write_bytes(b"the best of epoch 1")
    return tmp_path


def a_snapshot(run_directory: Path, epoch: int) -> Snapshot:
    header = StateHeader(
        format=1,
        epoch=epoch,
        epochs=9,
        batch=4,
        batches=5,
        loader_workers=0,
        arguments={},
        environment={},
        files={"results.csv": "0" * 64},
    )
    memory = SnapshotMemory()
    parts = memory.copy_of({"weight": torch.full((3,), float(epoch))})
    return Snapshot(header, parts, best_files(run_directory), memory)


def a_writer(
    run_directory: Path, report: Callable[[WrittenState | None], None] | None = None
) -> StateWriter:
    return StateWriter(
        lambda epoch: run_directory / f"{epoch}-state.pt", report or (lambda _written: None)
    )


class TestStateWriter:
    def test_a_snapshot_names_the_best_file_of_its_epoch_although_a_later_one_replaced_it(
        self, run_directory: Path
    ) -> None:
        best = run_directory / "weights" / "best.pt"
        expected = Digests().of([best])
        snapshot = a_snapshot(run_directory, 1)
        (run_directory / "weights" / "new").write_bytes(b"the best of epoch 2")
        (run_directory / "weights" / "new").replace(best)

        written = a_writer(run_directory).write(snapshot)

        assert written is not None
        header, parts = read_state(written.file)
        assert header.files == {"results.csv": "0" * 64} | expected
        assert torch.equal(parts["weight"], torch.ones(3))
        assert written.size == written.file.stat().st_size

    def test_a_thread_writes_and_reports_while_the_caller_goes_on(
        self, run_directory: Path
    ) -> None:
        may_report, reported = threading.Event(), []

        def report(written: WrittenState | None) -> None:
            assert may_report.wait(SECONDS)
            reported.append(written)

        writer, snapshot = a_writer(run_directory, report), a_snapshot(run_directory, 2)
        writer.start(snapshot)
        while_it_writes = writer.snapshot, writer.ended(), list(reported)
        may_report.set()
        writer.finish()

        assert while_it_writes == (snapshot, [], [])
        assert [each and each.epoch for each in reported] == [2]
        assert writer.ended() == reported
        assert (writer.snapshot, writer.ended()) == (None, [])

    def test_snapshots_are_written_in_order(self, run_directory: Path) -> None:
        reported: list[WrittenState | None] = []
        writer = a_writer(run_directory, reported.append)

        for epoch in (1, 2, 3):
            writer.start(a_snapshot(run_directory, epoch))
        writer.finish()

        assert [each and each.epoch for each in reported] == [1, 2, 3]

    def test_an_error_of_the_thread_is_raised_once_in_the_thread_that_trains(
        self, run_directory: Path
    ) -> None:
        writer = StateWriter(lambda _epoch: run_directory / "absent" / "state.pt", lambda _: None)
        writer.start(a_snapshot(run_directory, 1))

        with pytest.raises(FileNotFoundError):
            writer.finish()

        assert writer.ended() == []
