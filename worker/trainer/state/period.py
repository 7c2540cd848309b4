"""Decides when a training state is stored, so that all states cost at most 1% of the training."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

SHARE: Final = 0.01
"""The share of the training time for writing, hashing and storing states together."""

STORED_BYTES_PER_SECOND: Final = 2e6
"""The most bytes of states that are stored, per second of training. The store keeps replaced
objects for half an hour, so this bounds what the states of a running job take there: 4 GB."""

STORING_BYTES_PER_SECOND: Final = 100e6
"""The assumed speed of the supervisor, which hashes a state and puts it into the store, until it
reports how long that took: a slow disk, or 1 Gbit/s. The training pays at most a part of this time,
since it is spent in another process."""

WRITING_BYTES_PER_SECOND: Final = 100e6
"""The assumed speed of this disk until a first state is written; 0.1 to 0.5 s were measured for 30
to 400 MB (docs/benchmarks.md)."""


@dataclass
class StatePeriod:
    """Decides at each epoch's end whether the state of this epoch is stored.

    Args:
        every: Epochs from one state to the next, counted from the job's first epoch. None: a state
            is due when the last one is stored, and the cost of all states of this process,
            including the next one, is below `SHARE` of the time that it has trained.
        has_state: Whether the job resumed from a state. If not, the first epoch's end is due
            at any cost: without a state, an attempt after a kill starts over or resumes plainly.
        clock: Returns seconds.
    """

    every: int | None
    has_state: bool
    clock: Callable[[], float] = time.monotonic
    began: float = field(init=False)
    spent_seconds: float = field(init=False, default=0.0)
    written_bytes: int = field(init=False, default=0)
    next_seconds: float | None = field(init=False, default=None)
    next_bytes: int | None = field(init=False, default=None)
    supposed_seconds: float = field(init=False, default=0.0)
    is_in_flight: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.began = self.clock()

    @property
    def has_no_state(self) -> bool:
        """Whether neither this process nor an earlier one has written a state of this job."""
        return self.next_seconds is None and not self.has_state

    def is_due(self, *, epoch: int, expected_bytes: int) -> bool:
        """Return whether a state is due.

        Args:
            epoch: The epoch that has ended, from 1.
            expected_bytes: The estimated size of a state; used until the first one is written.
        """
        if self.every is not None:
            return epoch % self.every == 0
        if self.is_in_flight:
            return False
        if self.has_no_state:
            return True
        size, seconds = self.next_bytes or expected_bytes, self.next_seconds
        if seconds is None:
            seconds = size / WRITING_BYTES_PER_SECOND + size / STORING_BYTES_PER_SECOND
        trained = self.clock() - self.began
        is_cheap = self.spent_seconds + seconds < SHARE * trained
        return is_cheap and self.written_bytes + size < STORED_BYTES_PER_SECOND * trained

    def writing(self) -> None:
        """Record that a state is being written; until it is stored, no other one is due."""
        self.is_in_flight = True

    def written(self, *, seconds: float, size: int) -> None:
        """Record the cost of a state: the seconds that it was written, and its size in bytes."""
        self.supposed_seconds = size / STORING_BYTES_PER_SECOND
        self.next_seconds, self.next_bytes = seconds + self.supposed_seconds, size
        self.spent_seconds += self.next_seconds
        self.written_bytes += size
        self.is_in_flight = True

    def not_written(self) -> None:
        """Record that the state could not be written."""
        self.is_in_flight = False

    def stored(self, *, seconds: float) -> None:
        """Replace the assumed storing time of the last state by the measured one."""
        more = seconds - self.supposed_seconds
        self.spent_seconds += more
        self.next_seconds = (self.next_seconds or 0.0) + more
        self.supposed_seconds = seconds
        self.is_in_flight = False
