"""Compare the series of a job's metrics with the columns of its results.csv."""

import csv
from pathlib import Path


def columns(results: Path) -> dict[str, list[float]]:
    """Return results.csv as the API shows it: every column except epoch and time."""
    with results.open() as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name.strip() not in {"epoch", "time"}]
    return {name.strip(): [float(row[name]) for row in rows] for name in names}


def without_named_rates(series: dict[str, list[float]]) -> dict[str, list[float]]:
    """Return the series without the rates by part and group; results.csv has only lr/pgN."""
    return {name: values for name, values in series.items() if not name.startswith("lr/rest/")}
