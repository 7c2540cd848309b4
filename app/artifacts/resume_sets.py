"""Resume sets: the files that a resume starts from, and how many of them are kept.

The set of an epoch is its last.pt and its results.csv, best.pt and each best_<name>.pt as they were
then, and its state.pt where the training state was written: with that a resume can be exact.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Self

from app.artifacts.names import LAST, RESULTS, STATE

OF_ONE_EPOCH: Final = frozenset({LAST, RESULTS, STATE})

NamedFile = tuple[str, int]
"""A file's name, and the epoch at whose end it was made."""


@dataclass(frozen=True)
class KeptSets:
    """How many sets are kept: so many of the newest, and the newest that have a training state."""

    newest: int
    with_state: int

    @classmethod
    def of_ended(cls, *, succeeded: bool) -> Self:
        """Return what an extension goes on from, and a retry where the job did not succeed."""
        return cls(newest=1 if succeeded else 2, with_state=1)

    @classmethod
    def of_long_ended(cls, *, succeeded: bool) -> Self:
        """Return what is left once training states are not kept any longer: what a retry needs."""
        return cls(newest=0 if succeeded else 2, with_state=0)


WHILE_NOT_ENDED: Final = KeptSets(newest=2, with_state=2)
"""Two of each, so that a damaged one has a good one behind it."""


def set_of(epoch: int, files: Collection[NamedFile]) -> Mapping[str, int]:
    """Return the set of an epoch: each file's name, and the epoch that made it."""
    of_then = sorted(made for made in files if made[1] <= epoch)
    return {name: made for name, made in of_then if name not in OF_ONE_EPOCH or made == epoch}


def epochs_of_sets(files: Collection[NamedFile], *, having: str = LAST) -> list[int]:
    """Return the epochs whose set has a file of this name of its own, the newest first."""
    last_epochs = {epoch for name, epoch in files if name == LAST}
    return sorted({epoch for name, epoch in files if name == having} & last_epochs, reverse=True)


def superseded(files: Collection[NamedFile], kept: KeptSets) -> frozenset[NamedFile]:
    """Return those of the files that no set which is kept needs."""
    with_state = epochs_of_sets(files, having=STATE)[: kept.with_state]
    newest = epochs_of_sets(files)[: kept.newest]
    needed = {made for epoch in {*with_state, *newest} for made in set_of(epoch, files).items()}
    outlived = {made for made in needed if made[0] == STATE and made[1] not in with_state}
    return frozenset(files) - needed | outlived
