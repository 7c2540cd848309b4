"""What a person would type for the same training, and the results to compare."""

import csv
from pathlib import Path
from typing import Any

from tests.worlds.server import MODELS, TINY


def plain_arguments(task: str, folder: Path, save_dir: Path) -> dict[str, Any]:
    """Return the arguments that a person would write for the same run on the same folder."""
    data = folder if task == "classify" else folder / "data.yaml"
    return {
        **TINY,
        "model": MODELS[task],
        "data": str(data),
        "device": "cpu",
        "save_dir": str(save_dir),
    }


def rows_of(results: Path) -> list[dict[str, str]]:
    """Return the rows of a results.csv without their times."""
    with results.open() as file:
        return [
            {name: value for name, value in row.items() if name != "time"}
            for row in csv.DictReader(file)
        ]
