"""The file to which the stand-ins of trackers append what a script reports to them."""

import json
import os
from collections.abc import Iterable
from pathlib import Path


def record(kind: str, step: int | None, names: Iterable[str]) -> None:
    """Append a line for each name."""
    with Path(os.environ["CALLS"]).open("a") as file:
        file.writelines(json.dumps([kind, step, name]) + "\n" for name in names)


def record_file(path: str) -> None:
    """Append a line for a file, which must be there."""
    assert Path(path).is_file()
    record("file", None, [Path(path).name])
