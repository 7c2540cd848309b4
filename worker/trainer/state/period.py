"""How often a training state is written: as often as it costs little."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

SHARE: Final = 0.01
"""Of the training time, for writing, hashing and storing states together."""

STORING_BYTES_PER_SECOND: Final = 100e6
"""Supposed of the supervisor, which hashes a state and puts it into the store, until it told how
long that took: a slow disk, or 1 Gbit/s. It costs the training at most a part of this, since it
happens in another process."""

WRITING_BYTES_PER_SECOND: Final = 100e6
"""Supposed of this disk until a first state was written; 0.1 to 0.5 s were measured for 30 to 400
MB (docs/benchmarks.md)."""


@dataclass
class StatePeriod:
    """Decides at each epoch's end whether a state is due.

    Args:
        every: epochs from one state to the next, counted from the job's first; None: as soon as
            what all states of this process cost, with the next one, is below `SHARE` of the time
            that it has trained.
        has_state: there is one to go on from. Where there is none the first epoch's end is due,
            whatever that costs: a kill would have to begin anew, or go on plainly.
        clock: seconds.
    """

    every: int | None
    has_state: bool
    clock: Callable[[], float] = time.monotonic
    began: float = field(init=False)
    spent_seconds: float = field(init=False, default=0.0)
    next_seconds: float | None = field(init=False, default=None)
    supposed_seconds: float = field(init=False, default=0.0)
    is_being_stored: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.began = self.clock()

    def is_due(self, *, epoch: int, expected_bytes: int) -> bool:
        """Tell whether a state shall be written.

        Args:
            epoch: that has ended, from 1.
            expected_bytes: of the state, as long as none was written.
        """
        if self.every is not None:
            return epoch % self.every == 0
        if self.next_seconds is None and not self.has_state:
            return True
        if self.is_being_stored:
            return False
        expected = self.next_seconds
        if expected is None:
            writing = expected_bytes / WRITING_BYTES_PER_SECOND
            expected = writing + expected_bytes / STORING_BYTES_PER_SECOND
        return self.spent_seconds + expected < SHARE * (self.clock() - self.began)

    def cost(self, *, seconds: float, size: int) -> None:
        """Note what a state has cost: seconds of the training, and the bytes to be stored."""
        self.supposed_seconds = size / STORING_BYTES_PER_SECOND
        self.next_seconds = seconds + self.supposed_seconds
        self.spent_seconds += self.next_seconds
        self.is_being_stored = True

    def stored(self, *, seconds: float) -> None:
        """Note how long it took to store the last state, in place of what was supposed."""
        more = seconds - self.supposed_seconds
        self.spent_seconds += more
        self.next_seconds = (self.next_seconds or 0.0) + more
        self.supposed_seconds = seconds
        self.is_being_stored = False
