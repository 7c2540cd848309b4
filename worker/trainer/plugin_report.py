"""`python -m worker.trainer.plugin_report FILE`: describe the installed plugins, as JSON.

It runs as a separate process in the environment of a trainer: importing a plugin runs its code, and
most plugins import torch. The worker starts it when a slot starts, if any plugin is installed.
`trainyard plugins check FOLDER` adds the version and the entry points of a plugin that is not
installed, and whose folder is on the PYTHONPATH: then only that is described.
"""

import json
import sys
import traceback
from collections import Counter
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from app.jobs.spec.job_spec import TrainerChoice
from worker.trainer import null_trainer
from worker.trainer.errors import plain_text
from worker.trainer.plugins.interface import GROUP, load

MAX_SCHEMA_CHARACTERS: Final = 65_536
MAX_ERROR_CHARACTERS: Final = 500


def main(arguments: list[str]) -> None:
    """Write the descriptions of all plugins, or of the named ones, to the file."""
    file, *unpacked = arguments
    reports = _unpacked_reports(*unpacked) if unpacked else _installed_reports()
    Path(file).write_text(json.dumps(reports), encoding="utf-8")


def _unpacked_reports(version: str, points: str) -> list[dict[str, Any]]:
    named = sorted(json.loads(points).items())
    return [describe(EntryPoint(name, value, GROUP), version=version) for name, value in named]


def _installed_reports() -> list[dict[str, Any]]:
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    times = Counter(point.name for point in points)
    unique = {point.name: point for point in points}
    return [describe(point, packages=times[name]) for name, point in unique.items()]


def describe(point: EntryPoint, *, packages: int = 1, version: str = "unknown") -> dict[str, Any]:
    """Return a plugin's name, version, tasks and options schema, or the error that excludes it.

    Args:
        point: The plugin's entry point.
        packages: The number of installed packages with an entry point of this name.
        version: The version of a package that is not installed.
    """
    known = {"name": point.name[:100], "version": point.dist.version if point.dist else version}
    try:
        if packages > 1:
            raise TypeError(f"{packages} packages provide it; keep only one installed.")  # noqa: TRY301
        _check_name(point.name)
        plugin = load(point)
        schema = plugin.Options.model_json_schema(mode="validation")
        if len(json.dumps(schema, allow_nan=False)) > MAX_SCHEMA_CHARACTERS:
            raise ValueError("The JSON Schema of its options is too long.")  # noqa: TRY301
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- a plugin's code: logged and reported
        traceback.print_exc()
        message = plain_text(f"{type(error).__name__}: {error}")
        return known | {"error": message[:MAX_ERROR_CHARACTERS]}
    return known | {"tasks": sorted(plugin.tasks), "options_schema": schema}


def _check_name(name: str) -> None:
    if name == null_trainer.NAME:
        raise ValueError(f"The name {name} is reserved for Trainyard itself.")
    try:
        TypeAdapter(TrainerChoice).validate_python({"name": name})
    except ValidationError:
        message = "Its name is not valid in a job: use only letters, digits, - and _, at most 63."
        raise ValueError(message) from None


if __name__ == "__main__":
    main(sys.argv[1:])
