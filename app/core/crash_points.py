"""Places in the code where a test can have this process killed, by name.

A point costs one comparison and does nothing, unless the environment holds both
`TRAINYARD_TESTING=1` and `TRAINYARD_CRASH_AT=name`, or `name:n` for its n-th passing.
"""

import os
import signal
from collections.abc import Mapping
from enum import StrEnum
from typing import Self

TESTING_VARIABLE = "TRAINYARD_TESTING"
CRASH_AT_VARIABLE = "TRAINYARD_CRASH_AT"


class CrashPoint(StrEnum):
    """Every place where something durable has just happened, or is about to."""

    SUBMIT_BEFORE_COMMIT = "submit.before_commit"
    SUBMIT_AFTER_COMMIT = "submit.after_commit"
    BELL_BEFORE_SENDING = "bell.before_sending"
    CLAIM_BEFORE_COMMIT = "claim.before_commit"
    CLAIM_AFTER_COMMIT = "claim.after_commit"
    ATTEMPT_DIRECTORY_MADE = "attempt.directory_made"
    DATASET_BROUGHT = "attempt.dataset_brought"
    JOB_FILE_WRITTEN = "attempt.job_file_written"
    TRAINER_SPAWNED = "attempt.trainer_spawned"
    CHECKPOINT_STORED = "checkpoint.stored"
    EPOCH_BEFORE_COMMIT = "epoch.before_commit"
    EPOCH_AFTER_COMMIT = "epoch.after_commit"
    FINALIZING_SET = "finalizing.set"
    WEIGHTS_PROVED = "finalizing.proved"
    ARTIFACTS_STORED = "finalizing.artifacts_stored"
    END_BEFORE_COMMIT = "end.before_commit"
    END_AFTER_COMMIT = "end.after_commit"
    RECONCILER_HAS_READ = "reconciler.has_read"
    VERIFICATION_CLAIMED = "verification.claimed"
    VERIFICATION_JUDGED = "verification.judged"
    OBJECT_COPIED_ASIDE = "garbage.copied_aside"
    OBJECT_SET_ASIDE = "garbage.set_aside"
    JOB_PURGE_BEFORE_COMMIT = "garbage.purge_before_commit"
    STATE_DROP_BEFORE_COMMIT = "garbage.state_drop_before_commit"
    ASIDE_ERASED = "garbage.erased"


class _Armed:
    """The one point that kills, and how often it is still passed alive."""

    def __init__(self, point: CrashPoint, passings: int) -> None:
        self._point = point
        self._left = passings

    @classmethod
    def by(cls, environment: Mapping[str, str]) -> Self | None:
        """Return what the environment arms.

        Raises:
            ValueError: it names no point.
        """
        said = environment.get(CRASH_AT_VARIABLE)
        if said is None or environment.get(TESTING_VARIABLE) != "1":
            return None
        name, _, passings = said.partition(":")
        return cls(CrashPoint(name), int(passings or 1))

    def passed(self, point: CrashPoint) -> None:
        """Kill this process if it is the armed point's turn."""
        if point is self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


_armed = _Armed.by(os.environ)


def crash_point(point: CrashPoint) -> None:
    """Say that the code has come to `point`: where a test armed it, this process ends here."""
    if _armed is not None:
        _armed.passed(point)
