"""The folder of a run, as `yolo` makes it: `runs/detect/train` with weights, tables and plots."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trainyard.errors import TrainyardError
from trainyard.packing.ultralytics_settings import settings_folder
from trainyard.views.results import ArtifactView

FIRST_REPEATED: Final = 2
LAST_REPEATED: Final = 9999
WEIGHTS: Final = "weights"
KINDS: Final = frozenset({"weights", "table", "plot"})
ARGUMENTS: Final = "args.yaml"
PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9][\w.() +-]*")


@dataclass(frozen=True)
class RunPlace:
    """Where a person wants the run, in Ultralytics' words.

    Args:
        project: a folder; a relative one is below the folder of the task.
        name: of the run; None: `train`.
        exist_ok: whether to write into a folder that exists.
    """

    project: str | None = None
    name: str | None = None
    exist_ok: bool = False


def make_run_folder(place: RunPlace, task: str) -> Path:
    """Make the folder of a run and return its absolute path.

    A run that began at the same time gets another folder.

    Args:
        place: where a person wants it.
        task: of the training, such as `detect`.
    """
    project = Path(place.project or "")
    if not project.is_absolute():
        project = (settings_folder("runs_dir") or Path("runs")) / task / project
    first = (project / (place.name or "train")).absolute()
    first.parent.mkdir(parents=True, exist_ok=True)
    numbers = range(FIRST_REPEATED, LAST_REPEATED)
    for folder in (first, *(first.with_name(f"{first.name}-{number}") for number in numbers)):
        try:
            folder.mkdir(exist_ok=place.exist_ok)
        except FileExistsError:
            continue
        return folder
    raise TrainyardError(f"{first.parent} has too many runs; choose another name.")


def folder_of_job(name: str | None, job: str) -> Path:
    """Return the folder in the working directory for the files of a job.

    It is called as the job, unless that name would lead elsewhere: other people name jobs, too.
    """
    return Path(name if name and PLAIN_NAME.fullmatch(name) else job)


def run_files(artifacts: Iterable[ArtifactView], folder: Path) -> dict[str, Path]:
    """Return where each file of a job goes that `yolo` would write, by its name.

    Args:
        artifacts: the files of the job.
        folder: of the run.

    Raises:
        TrainyardError: the server names a file outside of the folder.
    """
    found = {}
    for artifact in artifacts:
        if PLAIN_NAME.fullmatch(artifact.name) is None:
            raise TrainyardError(f"The server named a file {artifact.name!r}; it is not written.")
        if artifact.kind == "weights":
            found[artifact.name] = folder / WEIGHTS / artifact.name
        elif artifact.kind in KINDS or artifact.name == ARGUMENTS:
            found[artifact.name] = folder / artifact.name
    return found


def write_own_arguments(folder: Path, own: Mapping[str, Any]) -> None:
    """Write what only this machine knows into the args.yaml of a run.

    Args:
        folder: of the run.
        own: `model`, `data`, `project` and `exist_ok` as a person wrote them.
    """
    path = folder / ARGUMENTS
    if not path.exists():
        return
    values = {**own, "name": folder.name, "save_dir": str(folder)}
    lines = path.read_text(encoding="utf-8").splitlines()
    for index, line in enumerate(lines):
        key = line.partition(":")[0]
        if key in values:
            lines[index] = f"{key}: {_as_yaml(values[key])}"
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def _as_yaml(value: object) -> str:
    if isinstance(value, str | Path) and re.fullmatch(r"[A-Za-z/][\w./+-]*", str(value)):
        return str(value)
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
