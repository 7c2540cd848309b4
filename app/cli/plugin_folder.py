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

    @property
    def places(self) -> tuple[Path, Path]:
        """The folders in which the package of the plugin may lie."""
        return self.path / "src", self.path

    def lacks(self, module: str) -> bool:
        """Return whether neither place has the module; an installed one would be imported then."""
        package = module.partition(".")[0]
        names = (package, f"{package}.py")
        return not any((place / name).exists() for place in self.places for name in names)

    def environment(self) -> dict[str, str]:
        """Return an environment whose imports find the folder first, and write nothing into it."""
        places = [*map(str, self.places), os.environ.get("PYTHONPATH", "")]
        found = os.pathsep.join(filter(None, places))
        return {**os.environ, "PYTHONPATH": found, "PYTHONDONTWRITEBYTECODE": "1"}


def read_plugin_folder(folder: Path) -> PluginFolder:
    """Read the pyproject.toml of an unpacked plugin.

    Raises:
        SystemExit: The folder has none, it cannot be read, it has no entry point of a plugin, or
            the folder lacks the module of one.
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
    found = PluginFolder(file.parent, str(project.get("version", "unknown")), named)
    for name, value in named.items():
        module = value.partition(":")[0].strip()
        if found.lacks(module):
            text = f"the entry point {name} names the module {module}, which the folder lacks"
            raise failure(f"{file}: {text}: put it below src or beside pyproject.toml.")
    return found


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
