"""Files, functions and classes stay within limits, or are listed here with a reason."""

import ast
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, python_files, relative

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
MAX_PUBLIC_METHODS = 12

FOLDERS = ("app", "sdk", "worker", "alembic", "examples", "benchmarks", "tests")

EXCEPTIONS = {
    "tests/jobs/transition_table.py::expected": "the table of states, a case for each of its cells",
    "tests/worlds/server.py::Server": "the process of a server and the requests of its user",
    "worker/trainer/upstream.py::TaskTrainer": "the part of an upstream class that we build on",
}
"""Longer files, functions and classes, as `path` or `path::name`, and why they are not shorter."""

GENERIC_NAMES = {"utils", "helpers", "helper", "manager", "service", "common", "data", "info"}


def too_long_functions(source: str) -> list[str]:
    """Return the names of functions that span more lines than allowed, with their length."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                found.append(node.name)
    return found


def too_wide_classes(source: str) -> list[str]:
    """Return the classes with more public methods than allowed; tests are not counted."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("Test"):
            methods = [item for item in node.body if isinstance(item, ast.FunctionDef)]
            if sum(not method.name.startswith("_") for method in methods) > MAX_PUBLIC_METHODS:
                found.append(node.name)
    return found


def is_migration(path: Path) -> bool:
    """A migration is a list of changes that is read once, so its length has no limit."""
    return relative(path).startswith("alembic/versions/")


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    paths = [path for path in python_files(*FOLDERS) if not is_migration(path)]
    return {relative(path): path.read_text() for path in paths}


class TestSizeLimits:
    def test_no_file_is_longer_than_400_lines(self, sources: dict[str, str]) -> None:
        too_long = {
            path for path, text in sources.items() if len(text.splitlines()) > MAX_FILE_LINES
        }

        assert too_long - EXCEPTIONS.keys() == set()

    def test_no_function_is_longer_than_50_lines(self, sources: dict[str, str]) -> None:
        too_long = {
            f"{path}::{name}" for path, text in sources.items() for name in too_long_functions(text)
        }

        assert too_long - EXCEPTIONS.keys() == set()

    def test_no_class_offers_more_than_12_methods(self, sources: dict[str, str]) -> None:
        too_wide = {
            f"{path}::{name}" for path, text in sources.items() for name in too_wide_classes(text)
        }

        assert too_wide - EXCEPTIONS.keys() == set()

    def test_no_module_has_a_name_that_collects_everything(self, sources: dict[str, str]) -> None:
        assert [path for path in sources if Path(path).stem in GENERIC_NAMES] == []

    def test_every_exception_still_exists(self, sources: dict[str, str]) -> None:
        assert [name for name in EXCEPTIONS if name.partition("::")[0] not in sources] == []

    def test_a_long_function_is_found(self) -> None:
        body = "    x = 1\n" * MAX_FUNCTION_LINES

        assert too_long_functions(f"def too_long():\n{body}") == ["too_long"]

    def test_a_wide_class_is_found(self) -> None:
        methods = "".join(f"    def m{i}(self): ...\n" for i in range(MAX_PUBLIC_METHODS + 1))

        assert too_wide_classes(f"class Wide:\n{methods}") == ["Wide"]

    def test_the_folders_that_are_read_exist(self) -> None:
        assert [
            folder for folder in ("app", "sdk", "worker", "tests") if not (ROOT / folder).is_dir()
        ] == []
