"""Rows of results.csv as Ultralytics writes them: six digits of each number."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Row = Mapping[str, float]


def as_written(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the values as results.csv rounds them (trainer.py:994), so that both always agree."""
    return {name: float(f"{float(value):.6g}") for name, value in metrics.items()}


def rows_of(file: Path) -> list[Row]:
    """Return the rows of results.csv, none where there is no file."""
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        return [{name: float(text) for name, text in row.items()} for row in csv.DictReader(lines)]
