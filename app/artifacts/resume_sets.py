"""Resume sets: the files that a resume starts from, and the rules for how many are kept.

The set of an epoch is its last.pt and results.csv, the best.pt and best_<name>.pt files that were
current in that epoch, the train_batch<N>.jpg plots that were drawn until then, and its state.pt if
the training state was written. With a state.pt, a resume can be exact.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Self

from app.artifacts.names import LAST, RESULTS, STATE

OF_ONE_EPOCH: Final = frozenset({LAST, RESULTS, STATE})

NamedFile = tuple[str, int]
"""A file's name, and the epoch at whose end it was written."""


@dataclass(frozen=True)
class KeptSets:
    """How many sets are kept: the newest sets, and the newest sets with a training state.

    The set of the epoch `awaiting_state` is also kept: its training state is being written.
    """

    newest: int
    with_state: int
    awaiting_state: int | None = None

    @classmethod
    def of_ended(cls, *, succeeded: bool) -> Self:
        """Return the sets that an extension needs, and also a retry if the job did not succeed."""
        return cls(newest=1 if succeeded else 2, with_state=1)

    @classmethod
    def of_long_ended(cls, *, succeeded: bool) -> Self:
        """Return the sets to keep when training states are dropped: those that a retry needs."""
        return cls(newest=0 if succeeded else 2, with_state=0)


WHILE_NOT_ENDED: Final = KeptSets(newest=2, with_state=2)
"""Two of each, so that an intact set remains if the newest is damaged."""


def set_of(epoch: int, files: Collection[NamedFile]) -> Mapping[str, int]:
    """Return the set of an epoch: the epoch in which each file was written, by file name."""
    until_epoch = sorted(file for file in files if file[1] <= epoch)
    return {name: made for name, made in until_epoch if name not in OF_ONE_EPOCH or made == epoch}


def epochs_of_sets(files: Collection[NamedFile], *, having: str = LAST) -> list[int]:
    """Return the epochs that have a set and their own file `having`, newest first."""
    last_epochs = {epoch for name, epoch in files if name == LAST}
    return sorted({epoch for name, epoch in files if name == having} & last_epochs, reverse=True)


def superseded(files: Collection[NamedFile], kept: KeptSets) -> frozenset[NamedFile]:
    """Return the files that no kept set needs."""
    with_state = epochs_of_sets(files, having=STATE)[: kept.with_state]
    newest = epochs_of_sets(files)[: kept.newest]
    awaiting = [] if kept.awaiting_state is None else [kept.awaiting_state]
    epochs = {*with_state, *newest, *awaiting}
    needed = {file for epoch in epochs for file in set_of(epoch, files).items()}
    surplus = {file for file in needed if file[0] == STATE and file[1] not in with_state}
    return frozenset(files) - needed | surplus
