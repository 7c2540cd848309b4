"""The Python files that the architecture tests read."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def python_files(*folders: str) -> list[Path]:
    """Return every Python file below the given folders of the repository, sorted."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    """Return the path relative to the repository, with slashes."""
    return path.relative_to(ROOT).as_posix()
