"""Rows of results.csv as Ultralytics writes them: each number with six significant digits."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Row = Mapping[str, float]


def as_written(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Round the values like results.csv (trainer.py:994), so that both always agree."""
    return {name: float(f"{float(value):.6g}") for name, value in metrics.items()}


def rows_of(file: Path) -> list[Row]:
    """Return the rows of results.csv; an empty list if there is no file."""
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        return [{name: float(text) for name, text in row.items()} for row in csv.DictReader(lines)]
