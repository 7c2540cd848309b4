"""Only those files of checkpoints are kept that a kept resume set needs."""

from collections.abc import Collection
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.artifacts.resume_sets import (
    WHILE_NOT_ENDED,
    KeptSets,
    NamedFile,
    epochs_of_sets,
    set_of,
    superseded,
)


def made(*epochs: int, states: Collection[int] = (), bests: Collection[int] = ()) -> set[NamedFile]:
    """Return the files of epochs; some have a training state, and some were the best so far."""
    files = {(name, epoch) for epoch in epochs for name in ("last.pt", "results.csv")}
    return files | {("state.pt", each) for each in states} | {("best.pt", each) for each in bests}


def kept_of(files: set[NamedFile], kept: KeptSets) -> set[NamedFile]:
    return files - superseded(files, kept)


@st.composite
def histories(draw: st.DrawFn) -> set[NamedFile]:
    """Draw the files of a run: last.pt and results.csv by epoch, others in some; a few are lost."""
    epochs = draw(st.integers(1, 12))
    some = st.sets(st.integers(1, epochs))
    files = made(*draw(some), states=draw(some), bests=draw(some))
    return files | {("best_recall.pt", epoch) for epoch in draw(some)}


class TestSetOf:
    def test_a_resume_set_has_the_best_of_its_time_and_what_the_epoch_made(self) -> None:
        files = made(1, 2, 3, 4, states=[2, 4], bests=[1, 2, 4])

        assert set_of(3, files) == {"last.pt": 3, "results.csv": 3, "best.pt": 2}
        assert set_of(2, files)["state.pt"] == 2


class TestSuperseded:
    @pytest.mark.parametrize(
        ("states", "epochs"),
        [((), {9, 8}), ((9,), {9, 8}), ((6, 3), {9, 8, 6, 3}), ((8, 6, 3), {9, 8, 6})],
    )
    def test_the_two_newest_and_the_two_newest_with_a_state_are_kept(
        self, states: tuple[int, ...], epochs: set[int]
    ) -> None:
        kept = kept_of(made(*range(1, 10), states=states), WHILE_NOT_ENDED)

        assert set(epochs_of_sets(kept)) == epochs
        assert epochs_of_sets(kept, having="state.pt") == list(states[:2])

    def test_a_set_that_is_kept_for_its_weights_loses_a_state_that_is_one_too_many(self) -> None:
        kept = kept_of(made(1, 2, states=[1, 2]), KeptSets(newest=2, with_state=1))

        assert ("last.pt", 1) in kept
        assert epochs_of_sets(kept, having="state.pt") == [2]

    def test_the_best_that_an_older_set_needs_stays_and_those_between_go(self) -> None:
        files = made(*range(1, 10), states=[3], bests=[1, 2, 4, 5, 9])

        bests = {epoch for name, epoch in kept_of(files, WHILE_NOT_ENDED) if name == "best.pt"}

        assert bests == {2, 5, 9}

    def test_a_set_whose_state_is_being_written_is_kept_besides_the_others(self) -> None:
        kept = replace(WHILE_NOT_ENDED, awaiting_state=5)
        files = made(*range(1, 10), states=[1, 3], bests=[1, 2, 4, 9])

        left = kept_of(files, kept)

        assert set(epochs_of_sets(left)) == {9, 8, 5, 3, 1}
        assert {epoch for name, epoch in left if name == "best.pt"} == {1, 2, 4, 9}

    @given(histories(), st.integers(0, 3), st.integers(0, 3))
    def test_kept_sets_stay_as_they_were_and_nothing_else_is_left(
        self, files: set[NamedFile], newest: int, with_state: int
    ) -> None:
        kept = kept_of(files, KeptSets(newest, with_state))

        expected = {
            *epochs_of_sets(files)[:newest],
            *epochs_of_sets(files, having="state.pt")[:with_state],
        }
        assert set(epochs_of_sets(kept)) == expected
        stateful = set(epochs_of_sets(files, having="state.pt")[:with_state])
        whole = {
            file
            for epoch in expected
            for file in set_of(epoch, files).items()
            if file[0] != "state.pt" or epoch in stateful
        }
        assert kept == whole

    @given(histories(), st.integers(0, 3), st.integers(0, 3))
    def test_dropping_superseded_files_twice_drops_nothing_more(
        self, files: set[NamedFile], newest: int, with_state: int
    ) -> None:
        sets = KeptSets(newest, with_state)

        assert superseded(kept_of(files, sets), sets) == frozenset()
