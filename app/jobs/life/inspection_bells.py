"""Bells for weights that wait for inspection: which idle slot is rung, and when again.

Each server keeps this in memory. Two servers, or a restarted one, ring more often than needed; a
slot that is rung too often finds nothing to claim.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.models.inspection import WaitingModel, models_awaiting_inspection
from app.settings.timing import Timing


@dataclass(frozen=True)
class InspectionBell:
    """A bell for one slot. `number` counts the bells of one attempt."""

    model_id: str
    number: int
    worker_id: str


class InspectionBells:
    """Rings for each model with growing pauses, a different idle slot each time.

    A new attempt resets the pause: after a slot released a model, the next slot is rung at once.
    """

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._rung: dict[WaitingModel, tuple[int, float]] = {}
        self._turn = 0

    def due(
        self, session: Session, idle: Sequence[str], *, now: float | None = None
    ) -> list[InspectionBell]:
        """Return the bells that are due, and record them as rung.

        Args:
            session: session to read waiting models with.
            idle: ids of live slots without a job; without any, no bell is due.
            now: monotonic seconds. Default: the current time.
        """
        if not idle:
            return []
        current = time.monotonic() if now is None else now
        waiting = models_awaiting_inspection(session)
        self._rung = {model: self._rung[model] for model in waiting if model in self._rung}
        due = [model for model in waiting if self._is_due(model, current)]
        return [self._bell(model, idle, current) for model in due]

    def _is_due(self, model: WaitingModel, now: float) -> bool:
        if model not in self._rung:
            return True
        rings, rung_at = self._rung[model]
        pause = self._timing.doorbell_retry_seconds * 2.0 ** (rings - 1)
        return now - rung_at > min(pause, self._timing.doorbell_retry_max_seconds)

    def _bell(self, model: WaitingModel, idle: Sequence[str], now: float) -> InspectionBell:
        rings, _ = self._rung.get(model, (0, 0.0))
        self._rung[model] = (rings + 1, now)
        self._turn += 1
        return InspectionBell(model.model_id, rings + 1, idle[self._turn % len(idle)])
