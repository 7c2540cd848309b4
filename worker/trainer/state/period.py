"""Decides when a training state is written, so that all states cost at most 1% of the training."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

SHARE: Final = 0.01
"""The share of the training time for writing, hashing and storing states together."""

STORING_BYTES_PER_SECOND: Final = 100e6
"""The assumed speed of the supervisor, which hashes a state and puts it into the store, until it
reports how long that took: a slow disk, or 1 Gbit/s. The training pays at most a part of this time,
since it is spent in another process."""

WRITING_BYTES_PER_SECOND: Final = 100e6
"""The assumed speed of this disk until a first state is written; 0.1 to 0.5 s were measured for 30
to 400 MB (docs/benchmarks.md)."""


@dataclass
class StatePeriod:
    """Decides at each epoch's end whether a state is due.

    Args:
        every: Epochs from one state to the next, counted from the job's first epoch. None: a state
            is due when the cost of all states of this process, including the next one, is below
            `SHARE` of the time that it has trained.
        has_state: Whether the job resumed from a state. If not, the first epoch's end is due
            at any cost: without a state, an attempt after a kill starts over or resumes plainly.
        clock: Returns seconds.
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
        """Return whether a state is due.

        Args:
            epoch: The epoch that has ended, from 1.
            expected_bytes: The estimated size of a state; used until the first one is written.
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
        """Record the cost of a state: seconds of the training, and its size in bytes."""
        self.supposed_seconds = size / STORING_BYTES_PER_SECOND
        self.next_seconds = seconds + self.supposed_seconds
        self.spent_seconds += self.next_seconds
        self.is_being_stored = True

    def stored(self, *, seconds: float) -> None:
        """Replace the assumed storing time of the last state by the measured one."""
        more = seconds - self.supposed_seconds
        self.spent_seconds += more
        self.next_seconds = (self.next_seconds or 0.0) + more
        self.supposed_seconds = seconds
        self.is_being_stored = False
