"""Waiting checkpoints keep only the files on disk that a resume could need."""

from pathlib import Path

import pytest

from worker.attempt.waiting_checkpoints import WaitingCheckpoints
from worker.trainer.protocol import CheckpointEvent


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "outbox").mkdir()
    return tmp_path


def a_checkpoint(run: Path, epoch: int, *, best: bool, state: bool = False) -> CheckpointEvent:
    files: dict[str, str | None] = {"best.pt": None}
    some = {"best.pt": best, "state.pt": state}
    for name in ("last.pt", "results.csv", *(name for name, is_made in some.items() if is_made)):
        files[name] = f"outbox/{epoch}-{name}"
        (run / f"outbox/{epoch}-{name}").touch()
    return CheckpointEvent(epoch=epoch, files=files)


def on_disk(run: Path) -> set[str]:
    return {file.name for file in (run / "outbox").iterdir()}


class TestWaitingCheckpoints:
    def test_two_keep_all_their_files(self, run: Path) -> None:
        waiting = WaitingCheckpoints(run)
        events = [a_checkpoint(run, epoch, best=True) for epoch in (1, 2)]

        for event in events:
            waiting.add(event)

        assert len(on_disk(run)) == 6
        assert [waiting.take(event).files for event in events] == [each.files for each in events]

    def test_files_that_newer_checkpoints_supersede_are_gone(self, run: Path) -> None:
        waiting = WaitingCheckpoints(run)

        for epoch in range(1, 6):
            waiting.add(a_checkpoint(run, epoch, best=True))

        assert on_disk(run) == {
            f"{epoch}-{name}" for epoch in (4, 5) for name in ("last.pt", "results.csv", "best.pt")
        }

    def test_the_best_that_the_older_one_needs_stays(self, run: Path) -> None:
        waiting = WaitingCheckpoints(run)

        for epoch, best in ((1, True), (2, True), (3, False), (4, False), (5, True)):
            waiting.add(a_checkpoint(run, epoch, best=best))

        assert {name for name in on_disk(run) if "best" in name} == {"2-best.pt", "5-best.pt"}

    def test_a_checkpoint_with_a_state_stays_whole_until_there_are_two_newer_states(
        self, run: Path
    ) -> None:
        waiting = WaitingCheckpoints(run)
        left = []

        for epoch in range(1, 10):
            waiting.add(a_checkpoint(run, epoch, best=epoch == 2, state=epoch in {3, 6, 9}))
            left.append({name for name in on_disk(run) if name.endswith(("state.pt", "best.pt"))})

        assert left[7] == {"2-best.pt", "3-state.pt", "6-state.pt"}
        assert left[8] == {"2-best.pt", "6-state.pt", "9-state.pt"}
        assert {name for name in on_disk(run) if "last" in name} == {
            f"{epoch}-last.pt" for epoch in (6, 8, 9)
        }

    def test_a_checkpoint_that_was_taken_is_left_alone(self, run: Path) -> None:
        waiting = WaitingCheckpoints(run)
        first = a_checkpoint(run, 1, best=True)
        waiting.add(first)

        taken = waiting.take(first)
        for epoch in (2, 3, 4):
            waiting.add(a_checkpoint(run, epoch, best=True))

        assert {Path(str(path)).name for path in taken.files.values()} <= on_disk(run)

    def test_a_checkpoint_that_is_wholly_superseded_has_no_files(self, run: Path) -> None:
        waiting = WaitingCheckpoints(run)
        events = [a_checkpoint(run, epoch, best=False) for epoch in (1, 2, 3)]

        for event in events:
            waiting.add(event)

        assert waiting.take(events[0]).files == {}

    def test_a_checkpoint_that_never_waited_is_whole(self, run: Path) -> None:
        event = a_checkpoint(run, 1, best=True)

        assert WaitingCheckpoints(run).take(event) == event
