"""Named places in the code where a test can kill this process.

A point costs one comparison and has no effect unless the environment contains both
`TRAINYARD_TESTING=1` and `TRAINYARD_CRASH_AT=name`, or `name:n` to kill at the n-th pass.
"""

import os
import signal
from collections.abc import Mapping
from enum import StrEnum
from typing import Self

TESTING_VARIABLE = "TRAINYARD_TESTING"
CRASH_AT_VARIABLE = "TRAINYARD_CRASH_AT"


class CrashPoint(StrEnum):
    """Every place directly before or after a durable change."""

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
    UPLOAD_SYNCED = "upload.synced"
    UPLOAD_SAVED = "upload.saved"
    UPLOAD_STORED = "upload.stored"
    UPLOAD_FINISHED = "upload.finished"
    OBJECT_COPIED_ASIDE = "garbage.copied_aside"
    OBJECT_SET_ASIDE = "garbage.set_aside"
    JOB_PURGE_BEFORE_COMMIT = "garbage.purge_before_commit"
    STATE_DROP_BEFORE_COMMIT = "garbage.state_drop_before_commit"
    UPLOADS_REMOVED_BEFORE_COMMIT = "garbage.uploads_before_commit"
    ASIDE_ERASED = "garbage.erased"
    DELIVERIES_BEFORE_COMMIT = "webhooks.deliveries_before_commit"
    DELIVERY_SENT = "webhooks.delivery_sent"


class _Armed:
    """The armed crash point, and the number of passes up to the kill."""

    def __init__(self, point: CrashPoint, passes: int) -> None:
        self._point = point
        self._remaining = passes

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self | None:
        """Return the crash point that the environment arms, if any.

        Raises:
            ValueError: the environment names an unknown point.
        """
        armed = environment.get(CRASH_AT_VARIABLE)
        if armed is None or environment.get(TESTING_VARIABLE) != "1":
            return None
        name, _, passes = armed.partition(":")
        return cls(CrashPoint(name), int(passes or 1))

    def passed(self, point: CrashPoint) -> None:
        """Count a pass of the armed point; kill this process at the last one."""
        if point is self._point:
            self._remaining -= 1
            if self._remaining == 0:
                os.kill(os.getpid(), signal.SIGKILL)


_armed = _Armed.from_environment(os.environ)


def crash_point(point: CrashPoint) -> None:
    """Kill this process if a test has armed `point`."""
    if _armed is not None:
        _armed.passed(point)
