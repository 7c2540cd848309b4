"""The folder of a training on this machine, with the files where `yolo` puts them.

The rules are those of Ultralytics 8.4.190: cfg/__init__.py, `get_save_dir`; utils/files.py,
`increment_path`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trainyard.job import Job
from trainyard.packing.ultralytics_settings import settings_folder

WEIGHTS: Final = "weights"
LOG: Final = "log"
MOST: Final = 9999


@dataclass(frozen=True)
class RunFolder:
    """How a person names the folder, in `yolo`'s words.

    Args:
        project: a folder; relative ones lie in the folder of the task.
        name: of the training.
        exist_ok: whether an existing folder is written to; else a new one gets a number.
        save_dir: the folder itself; the other words do not matter then.
    """

    project: str = ""
    name: str = ""
    exist_ok: bool = False
    save_dir: str = ""

    def of_task(self, task: str) -> Path:
        """Return the folder of a training of this task; it is not made here."""
        if self.save_dir:
            return Path(self.save_dir).absolute()
        project = Path(self.project).expanduser()
        if not project.is_absolute():
            runs = settings_folder("runs_dir") or Path("runs").absolute()
            project = runs / task / project
        return _numbered(project / (self.name or "train"), exist_ok=self.exist_ok)


def fetch(job: Job, folder: Path) -> list[Path]:
    """Download the files of an ended job into its folder, and return where they are."""
    return list(_fetched(job, folder))


def _fetched(job: Job, folder: Path) -> Iterator[Path]:
    for artifact in job.artifacts():
        if artifact.kind == LOG:  # `yolo` writes none; `trainyard logs` prints it
            continue
        place = folder / WEIGHTS if artifact.kind == WEIGHTS else folder
        place.mkdir(parents=True, exist_ok=True)
        yield job.download(artifact.name, place / artifact.name)


def _numbered(path: Path, *, exist_ok: bool) -> Path:
    if exist_ok or not path.exists():
        return path
    numbers = (path.with_name(f"{path.name}-{number}") for number in range(2, MOST))
    return next((each for each in numbers if not each.exists()), path)
