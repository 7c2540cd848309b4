"""Decide what follows when a trainer runs out of memory: a retry with half the batch, or failure.

The job's frozen `on_oom` decides. A failure has the spec with half the batch: as text in its hint,
and as a merge patch.
"""

import json
from dataclasses import replace
from typing import Any, Final

from app.jobs.end_reasons import EndReason
from app.jobs.life.transitions import HalvedBatch
from app.jobs.spec.job_spec import TrainArguments
from app.jobs.states import JobEvent
from worker.attempt.claimed import ClaimedAttempt
from worker.attempt.conclusion import Conclusion
from worker.attempt.outcome import Outcome

DEFAULT_BATCH: Final = int(TrainArguments().batch)
NOTHING_TO_HALVE: Final = "Lower train.imgsz or use a smaller model: the batch is already 1."
POST_THIS: Final = "Lower train.batch, as in this spec, which can be submitted unchanged: "


def after_training(
    trained: Conclusion, attempt: ClaimedAttempt, *, batch_size: int | None
) -> Conclusion:
    """Return the conclusion of an attempt that ran out of memory; return any other one unchanged.

    Args:
        trained: how the trainer ended.
        attempt: the attempt; its spec tells what to do and whether the batch was halved before.
        batch_size: images per batch as the trainer reported it; None: it ended before that.
    """
    if trained.outcome.reason is not EndReason.OUT_OF_MEMORY:
        return trained
    halved = _halved(attempt)
    if halved is None:
        half = _half_of_too_large(attempt, batch_size)
        amended: dict[str, Any] | None = None if half is None else {"train": {"batch": half}}
        return replace(trained, hint=_hint(attempt, half), amended=amended)
    outcome = Outcome(JobEvent.HALVE_BATCH, EndReason.OUT_OF_MEMORY)
    return replace(trained, outcome=outcome, halved=halved)


def _halved(attempt: ClaimedAttempt) -> HalvedBatch | None:
    """Return the halved batch of one more attempt; None if there is no such attempt."""
    batch = attempt.spec.train.batch
    was_halved = batch != _train_as_submitted(attempt).get("batch", DEFAULT_BATCH)
    # With -1 or a fraction Ultralytics chooses the number: the spec has no batch to halve.
    if attempt.spec.on_oom != "halve_batch" or was_halved or batch <= 1:
        return None
    return HalvedBatch(int(batch), int(batch) // 2)


def _half_of_too_large(attempt: ClaimedAttempt, batch_size: int | None) -> int | None:
    """Return half of the batch that did not fit; None if it was 1."""
    batch = attempt.spec.train.batch
    too_large = int(batch) if batch >= 1 else batch_size or DEFAULT_BATCH
    return None if too_large == 1 else too_large // 2


def _hint(attempt: ClaimedAttempt, half: int | None) -> str:
    if half is None:
        return NOTHING_TO_HALVE
    train = _train_as_submitted(attempt) | {"batch": half}
    return POST_THIS + json.dumps(attempt.job.spec | {"train": train}, ensure_ascii=False)


def _train_as_submitted(attempt: ClaimedAttempt) -> dict[str, Any]:
    return dict(attempt.job.spec.get("train", {}))
