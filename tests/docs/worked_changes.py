"""The worked change at the end of a page of docs/how-to, and a copy of this tree to apply it to."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.architecture.sources import ROOT
from tests.docs.blocks import blocks_of

PAGES: Final = sorted((ROOT / "docs/how-to").glob("*.md"))
FOLDERS: Final = (
    "alembic",
    "app",
    "benchmarks",
    "docker",
    "docs",
    "examples",
    "sdk",
    "tests",
    "worker",
)
LARGE: Final = "tests/data"
LEFT_OUT: Final = ("*.pyc.*", "out", Path(LARGE).name)
"""Bytecode that another process is writing, results of the examples, and large files."""

BIN: Final = Path(sys.executable).parent
FILES: Final = re.compile(r"^--- (?:a/)?(\S+)\n\+\+\+ (?:b/)?(\S+)$", re.MULTILINE)
MAKE_TEST: Final = re.compile(r'make test TEST_ARGS="([^"]+)"')
MODULE: Final = re.compile(r"\.venv/bin/python -m ([\w.]+)(?: > ([\w./-]+))?")
LINTERS: Final = (
    ("ruff", "check", "--no-cache", "."),
    ("ruff", "format", "--no-cache", "--check", "."),
    ("mypy",),
    ("lint-imports",),
)
"""What `make lint` runs."""


@dataclass(frozen=True)
class WorkedChange:
    """The change of a page: a diff, and the commands to run afterwards."""

    page: str
    diff: str
    commands: tuple[str, ...]

    @property
    def added(self) -> set[str]:
        """Return the files that the change adds."""
        return {new for old, new in FILES.findall(self.diff) if old == os.devnull}

    @property
    def edited(self) -> set[str]:
        """Return the existing files that the change edits."""
        return {new for old, new in FILES.findall(self.diff) if old != os.devnull}

    @property
    def has_migration(self) -> bool:
        """Return whether the change adds a migration: two migrations would make two heads."""
        return any(name.startswith("alembic/versions/") for name in self.added)

    @property
    def tests(self) -> list[str]:
        """Return the test files that the change adds."""
        return sorted(name for name in self.added if Path(name).name.startswith("test_"))

    def named_tests(self) -> list[str]:
        """Return the files and folders that the page's `make test` names."""
        (arguments,) = [found[1] for it in self.commands if (found := MAKE_TEST.fullmatch(it))]
        return shlex.split(arguments)


def change_of(page: Path) -> WorkedChange:
    """Return the worked change of a page."""
    found = list(blocks_of(page))
    scripts = [block.text for block in found if block.language == "sh"]
    return WorkedChange(
        page=page.stem,
        diff="".join(block.text for block in found if block.language == "diff"),
        commands=tuple(line for script in scripts for line in script.splitlines()),
    )


def compatible(changes: Iterable[WorkedChange]) -> list[list[WorkedChange]]:
    """Group changes that can be applied to one tree: at most one of them has a migration."""
    groups: list[list[WorkedChange]] = [[]]
    for change in changes:
        fits = (it for it in groups if not (change.has_migration and _have_migration(it)))
        group = next(fits, None)
        if group is None:
            groups.append([change])
        else:
            group.append(change)
    return groups


def _have_migration(changes: Iterable[WorkedChange]) -> bool:
    return any(change.has_migration for change in changes)


@dataclass(frozen=True)
class Tree:
    """A copy of this checkout that shares only large files with the original."""

    folder: Path

    @classmethod
    def copied_to(cls, folder: Path) -> "Tree":
        """Copy this checkout, with its bytecode."""
        folder.mkdir()
        for name in FOLDERS:
            ignored = shutil.ignore_patterns(*LEFT_OUT)
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        for path in ROOT.iterdir():
            if path.is_file() and not path.name.startswith("."):
                shutil.copy2(path, folder)
        (folder / LARGE).symlink_to(ROOT / LARGE)
        return cls(folder)

    @classmethod
    def of_files(cls, names: Iterable[str], folder: Path) -> "Tree":
        """Copy some files of this checkout."""
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
        return cls(folder)

    def apply(self, change: WorkedChange) -> str:
        """Apply a change, whose context may have moved; return "" or why it does not apply."""
        done = self._run("git", "apply", "-C1", "-", input_text=change.diff)
        return done.stderr if done.returncode else ""

    def pytest(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run tests of the copy with the plugins that they need."""
        options = ("-q", "-p", "no:cacheprovider", "-p", "pytest_timeout")
        command = ("-m", "pytest", *options, *arguments)
        return self._run("python", *command, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")

    def lint(self, *, cache: Path) -> list[subprocess.CompletedProcess[str]]:
        """Run every linter; `cache` is mypy's."""
        return [self._run(*command, MYPY_CACHE_DIR=str(cache)) for command in LINTERS]

    def run_module(self, command: str) -> None:
        """Run a `python -m` command of a page, with its redirection.

        Raises:
            subprocess.CalledProcessError: the command fails.
        """
        found = MODULE.fullmatch(command)
        assert found is not None, command
        done = self._run("python", "-m", found[1])
        done.check_returncode()
        if found[2] is not None:
            (self.folder / found[2]).write_text(done.stdout)

    def _run(
        self, program: str, *arguments: str, input_text: str | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        inherited = {name: text for name, text in os.environ.items() if "PYTEST" not in name}
        own = {"PYTHONPATH": str(self.folder), "GIT_CEILING_DIRECTORIES": str(self.folder.parent)}
        return subprocess.run(
            [BIN / program if (BIN / program).exists() else program, *arguments],
            cwd=self.folder,
            env={**inherited, **own, **variables},
            input=input_text,
            capture_output=True,
            text=True,
            check=False,
        )
