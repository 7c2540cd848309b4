"""Which files of the machine belong to a program: its interpreter, its packages and its devices."""

import os
import site
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

OWN_PACKAGES: Final = ("app", "worker")
GPU_DEVICES: Final = ("nvidia*", "nvidia-caps", "dri", "kfd", "dxg")
MOST_LINKS: Final = 40


def code_paths(environment: Mapping[str, str]) -> list[Path]:
    """Return what a Python program of ours reads: the interpreter, all packages, and our code.

    Args:
        environment: that of the program; its search paths are included.
    """
    named = (environment.get(name, "") for name in ("PYTHONPATH", "LD_LIBRARY_PATH"))
    searched = [part for paths in named for part in paths.split(os.pathsep)]
    found = {
        *(Path(prefix) for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)),
        *_installations_of(Path(sys.executable)),
        *(Path(part) for part in searched if part.startswith("/")),
        *_folders_of_packages(),
        *_own_packages(),
    }
    return sorted(path for path in found if path != path.parent and path.exists())


def _installations_of(executable: Path) -> Iterator[Path]:
    """Yield the installation of each interpreter in a chain of links of virtual environments."""
    for _ in range(MOST_LINKS):
        yield executable.parent.parent
        if not executable.is_symlink():
            return
        executable = executable.parent / executable.readlink()


def _folders_of_packages() -> Iterator[Path]:
    """Yield the folders that installed packages are imported from, but not a working directory."""
    standard = {Path(sys.prefix), Path(sys.base_prefix)}
    for part in sys.path:
        path = Path(part)
        is_installed = path.name in {"site-packages", "dist-packages"} or part == _user_packages()
        if is_installed and not standard.intersection(path.parents):
            yield path


def _user_packages() -> str | None:
    return site.getusersitepackages() if site.ENABLE_USER_SITE else None


def _own_packages() -> Iterator[Path]:
    for name in OWN_PACKAGES:
        spec = find_spec(name)
        for place in (spec.submodule_search_locations or []) if spec else []:
            yield Path(place)


def folders_of_own_packages() -> set[Path]:
    """Return the folders in which an import finds our packages."""
    return {package.parent for package in _own_packages()}


def gpu_devices() -> list[Path]:
    """Return the device files of all GPUs and of their drivers."""
    return sorted(path for pattern in GPU_DEVICES for path in Path("/dev").glob(pattern))


def without(paths: Iterable[Path], hidden: Path) -> list[Path]:
    """Return the paths, each that contains `hidden` replaced by all else that it contains."""
    return [part for path in paths for part in _parts_without(path, hidden)]


def _parts_without(path: Path, hidden: Path) -> Iterator[Path]:
    if path == hidden or hidden in path.parents:
        return
    if path in hidden.parents and path.is_dir():
        for entry in sorted(path.iterdir()):
            yield from _parts_without(entry, hidden)
    else:
        yield path
