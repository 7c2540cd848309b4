"""Which idle slot is rung for which weights that wait for their inspection, and when again.

Servers keep this in memory: two of them, or one that starts again, ring once more than needed, and
a slot that is rung too often finds nothing to claim.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.models.inspection import WaitingModel, models_awaiting_inspection
from app.settings import Timing


@dataclass(frozen=True)
class InspectionBell:
    """A bell for one slot; `number` counts those of one attempt."""

    model_id: str
    number: int
    worker_id: str


class InspectionBells:
    """Rings for each model with growing pauses, from one idle slot to the next.

    A new attempt begins anew: a slot that gave a model back is followed by another at once.
    """

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._rung: dict[WaitingModel, tuple[int, float]] = {}
        self._turn = 0

    def due(
        self, session: Session, idle: Sequence[str], *, now: float | None = None
    ) -> list[InspectionBell]:
        """Return the bells that are due, and count them as rung.

        Args:
            session: to look for models with.
            idle: ids of the live slots that run nothing; without any, nothing is due.
            now: monotonic seconds; default: the present.
        """
        if not idle:
            return []
        at = time.monotonic() if now is None else now
        waiting = models_awaiting_inspection(session)
        self._rung = {each: self._rung[each] for each in waiting if each in self._rung}
        return [self._bell(each, idle, at) for each in waiting if self._is_due(each, at)]

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
