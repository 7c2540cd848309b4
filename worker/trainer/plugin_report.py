"""`python -m worker.trainer.plugin_report FILE`: describe the installed plugins, as JSON.

A process of its own, in the environment of a trainer: importing a plugin runs its code, and most
import torch. The worker asks it as a slot starts, if there is any plugin to ask about.
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
from worker.trainer.errors import without_paths
from worker.trainer.plugins.interface import GROUP, load

MAX_SCHEMA_CHARACTERS: Final = 65_536
MAX_ERROR_CHARACTERS: Final = 500


def main(arguments: list[str]) -> None:
    """Write a list of descriptions to the file that is named."""
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    times = Counter(point.name for point in points)
    unique = {point.name: point for point in points}
    reports = [describe(point, packages=times[name]) for name, point in unique.items()]
    Path(arguments[0]).write_text(json.dumps(reports), encoding="utf-8")


def describe(point: EntryPoint, *, packages: int = 1) -> dict[str, Any]:
    """Return name, version, tasks and JSON Schema of the options; or the error that keeps it out.

    Args:
        point: the plugin's entry point.
        packages: how many installed packages bring an entry point of this name.
    """
    known = {"name": point.name[:100], "version": point.dist.version if point.dist else "unknown"}
    try:
        if packages > 1:
            raise TypeError(f"{packages} packages bring it; leave one installed.")  # noqa: TRY301
        _check_name(point.name)
        plugin = load(point)
        schema = plugin.Options.model_json_schema(mode="validation")
        if len(json.dumps(schema, allow_nan=False)) > MAX_SCHEMA_CHARACTERS:
            raise ValueError("The JSON Schema of its options is too long.")  # noqa: TRY301
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- others' code: logged and told
        traceback.print_exc()
        said = without_paths(f"{type(error).__name__}: {error}").replace("\0", "")
        return known | {"error": said[:MAX_ERROR_CHARACTERS]}
    return known | {"tasks": sorted(plugin.tasks), "options_schema": schema}


def _check_name(name: str) -> None:
    if name == null_trainer.NAME:
        raise ValueError(f"The name {name} is taken by Trainyard itself.")
    try:
        TypeAdapter(TrainerChoice).validate_python({"name": name})
    except ValidationError:
        message = "Its name is not what a job can say: letters, digits, - and _, at most 63."
        raise ValueError(message) from None


if __name__ == "__main__":
    main(sys.argv[1:])
