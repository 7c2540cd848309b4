"""Ratios of paired measurements with bootstrap intervals, and the table that shows them."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Ratio:
    """The ratio of two means, with the bounds of its bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def ratio_of_means(pairs: Sequence[tuple[float, float]], *, seed: int = 0) -> Ratio:
    """Return mean(first) / mean(second) and its 95 % percentile interval over resampled pairs."""
    rng = random.Random(seed)
    resampled = sorted(_ratio(rng.choices(pairs, k=len(pairs))) for _ in range(RESAMPLES))
    tail = (1 - LEVEL) / 2
    return Ratio(_ratio(pairs), quantile(resampled, tail), quantile(resampled, 1 - tail))


def quantile(ascending: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the ascending values lie (nearest rank)."""
    return ascending[min(len(ascending) - 1, round(share * (len(ascending) - 1)))]


def table(rows: Iterable[Sequence[str]]) -> str:
    """Lay rows out as a Markdown table; the first row is its head."""
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    return fmean(first for first, _ in pairs) / fmean(second for _, second in pairs)
