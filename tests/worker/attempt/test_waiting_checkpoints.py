"""Waiting checkpoints keep only the files on disk that a resume could need."""

from pathlib import Path

import pytest

from app.core.guarded_files import GuardedFolder
from worker.attempt.waiting_checkpoints import WaitingCheckpoints
from worker.trainer.protocol import CheckpointEvent


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "outbox").mkdir()
    return tmp_path


def a_checkpoint(
    run: Path, epoch: int, *, best: bool, state: bool = False, state_follows: bool = False
) -> CheckpointEvent:
    files: dict[str, str | None] = {"best.pt": None}
    some = {"best.pt": best, "state.pt": state}
    for name in ("last.pt", "results.csv", *(name for name, is_made in some.items() if is_made)):
        files[name] = made(run, epoch, name)
    return CheckpointEvent(epoch=epoch, files=files, state_follows=state_follows)


def a_late_state(run: Path, epoch: int) -> CheckpointEvent:
    return CheckpointEvent(epoch=epoch, files={"state.pt": made(run, epoch, "state.pt")})


def made(run: Path, epoch: int, name: str) -> str:
    (run / f"outbox/{epoch}-{name}").touch()
    return f"outbox/{epoch}-{name}"


def on_disk(run: Path) -> set[str]:
    return {file.name for file in (run / "outbox").iterdir()}


class TestWaitingCheckpoints:
    def test_the_newest_checkpoint_keeps_all_its_files(self, run: Path) -> None:
        waiting = WaitingCheckpoints(GuardedFolder(run))
        event = a_checkpoint(run, 1, best=True)

        waiting.add(event)

        assert len(on_disk(run)) == 3
        assert waiting.take(event) == event

    def test_files_that_newer_checkpoints_supersede_are_gone(self, run: Path) -> None:
        waiting = WaitingCheckpoints(GuardedFolder(run))

        for epoch in range(1, 6):
            waiting.add(a_checkpoint(run, epoch, best=True))

        assert on_disk(run) == {
            f"{epoch}-{name}" for epoch in (4, 5) for name in ("last.pt", "results.csv", "best.pt")
        }

    def test_the_best_that_the_older_one_needs_stays(self, run: Path) -> None:
        waiting = WaitingCheckpoints(GuardedFolder(run))

        for epoch, best in ((1, True), (2, True), (3, False), (4, False), (5, True)):
            waiting.add(a_checkpoint(run, epoch, best=best))

        assert {name for name in on_disk(run) if "best" in name} == {"2-best.pt", "5-best.pt"}

    def test_a_checkpoint_with_a_state_stays_whole_until_there_is_a_newer_state(
        self, run: Path
    ) -> None:
        waiting = WaitingCheckpoints(GuardedFolder(run))
        left = []

        for epoch in range(1, 7):
            waiting.add(a_checkpoint(run, epoch, best=epoch == 2, state=epoch in {3, 6}))
            left.append(on_disk(run))

        assert left[4] == {
            "2-best.pt",
            *("3-last.pt", "3-results.csv", "3-state.pt"),
            *(f"{epoch}-{name}" for epoch in (4, 5) for name in ("last.pt", "results.csv")),
        }
        assert left[5] == {
            "2-best.pt",
            *("5-last.pt", "5-results.csv"),
            *("6-last.pt", "6-results.csv", "6-state.pt"),
        }

    def test_a_checkpoint_stays_whole_while_its_state_is_being_written(self, run: Path) -> None:
        waiting = WaitingCheckpoints(GuardedFolder(run))

        for epoch in range(1, 5):
            waiting.add(a_checkpoint(run, epoch, best=epoch == 1, state_follows=epoch == 2))
        before = on_disk(run)
        waiting.add(a_late_state(run, 2))

        assert before == {
            "1-best.pt",
            *(f"{epoch}-{name}" for epoch in (2, 3, 4) for name in ("last.pt", "results.csv")),
        }
        assert on_disk(run) == before | {"2-state.pt"}

    def test_a_late_state_waits_although_the_other_files_of_its_epoch_were_taken(
        self, run: Path
    ) -> None:
        waiting = WaitingCheckpoints(GuardedFolder(run))
        event, late = a_checkpoint(run, 1, best=True, state_follows=True), a_late_state(run, 1)
        waiting.add(event)
        waiting.take(event)

        waiting.add(late)
        waiting.add(a_checkpoint(run, 2, best=False))

        assert waiting.take(late) == late
        assert (run / "outbox/1-state.pt").exists()

    def test_an_older_state_that_waits_is_superseded_by_the_newest(self, run: Path) -> None:
        waiting = WaitingCheckpoints(GuardedFolder(run))
        states = [a_late_state(run, epoch) for epoch in (1, 4)]

        for state in states:
            waiting.add(state)

        assert [waiting.take(state).files for state in states] == [{}, states[1].files]
        assert on_disk(run) == {"4-state.pt"}

    def test_a_checkpoint_that_was_taken_is_left_alone(self, run: Path) -> None:
        waiting = WaitingCheckpoints(GuardedFolder(run))
        first = a_checkpoint(run, 1, best=True)
        waiting.add(first)

        taken = waiting.take(first)
        for epoch in (2, 3, 4):
            waiting.add(a_checkpoint(run, epoch, best=True))

        assert {Path(str(path)).name for path in taken.files.values()} <= on_disk(run)

    def test_a_checkpoint_that_is_wholly_superseded_has_no_files(self, run: Path) -> None:
        waiting = WaitingCheckpoints(GuardedFolder(run))
        events = [a_checkpoint(run, epoch, best=False) for epoch in (1, 2, 3)]

        for event in events:
            waiting.add(event)

        assert waiting.take(events[0]).files == {}

    def test_a_checkpoint_that_never_waited_is_whole(self, run: Path) -> None:
        event = a_checkpoint(run, 1, best=True)

        assert WaitingCheckpoints(GuardedFolder(run)).take(event) == event
