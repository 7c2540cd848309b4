"""Estimates the remaining time of a training from the durations measured so far."""

from dataclasses import dataclass
from typing import Final

_WEIGHT_OF_NEWEST: Final = 0.1


@dataclass
class Pace:
    """Exponential moving averages of seconds per batch and per validation (newest: weight 0.1)."""

    batch_seconds: float | None = None
    validation_seconds: float | None = None

    def batch_took(self, seconds: float) -> None:
        self.batch_seconds = _moved(self.batch_seconds, seconds)

    def validation_took(self, seconds: float) -> None:
        self.validation_seconds = _moved(self.validation_seconds, seconds)

    def eta_seconds(self, *, batches_left: int, validations_left: int) -> float | None:
        """Return the remaining seconds, or None before the first batch."""
        if self.batch_seconds is None:
            return None
        validation = self.validation_seconds or 0.0
        return batches_left * self.batch_seconds + validations_left * validation


def _moved(mean: float | None, newest: float) -> float:
    return newest if mean is None else mean + _WEIGHT_OF_NEWEST * (newest - mean)
