"""A trainer plugin that is not installed: a folder with its pyproject.toml."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.cli.shared import failure

GROUP: Final = "trainyard.trainers"


@dataclass(frozen=True)
class PluginFolder:
    """What the pyproject.toml of an unpacked plugin says.

    Args:
        path: the folder, absolute.
        version: of the package; "unknown" if its build determines it.
        points: the objects of the entry points, by name.
    """

    path: Path
    version: str
    points: dict[str, str]

    def environment(self) -> dict[str, str]:
        """Return an environment whose imports find the folder first, and write nothing into it."""
        places = [str(self.path / "src"), str(self.path), os.environ.get("PYTHONPATH", "")]
        found = os.pathsep.join(filter(None, places))
        return {**os.environ, "PYTHONPATH": found, "PYTHONDONTWRITEBYTECODE": "1"}


def read_plugin_folder(folder: Path) -> PluginFolder:
    """Read the pyproject.toml of an unpacked plugin.

    Raises:
        SystemExit: The folder has none, it cannot be read, or it has no entry point of a plugin.
    """
    file = folder.absolute() / "pyproject.toml"
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise failure(f"{folder} has no pyproject.toml: name the folder of a plugin.") from None
    except (OSError, ValueError) as error:
        raise failure(f"{file} cannot be read: {error}") from None
    project = _table(content.get("project"))
    points = _table(_table(project.get("entry-points")).get(GROUP))
    named = {name: value for name, value in points.items() if isinstance(value, str)}
    if not named:
        line = f'[project.entry-points."{GROUP}"]'
        raise failure(f"{file} has no entry point of a trainer plugin: add one below {line}.")
    return PluginFolder(file.parent, str(project.get("version", "unknown")), named)


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
