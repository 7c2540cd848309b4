"""A test can be found by its name alone and changed freely: no other module imports it."""

import ast
import re
from collections.abc import Callable

import pytest

from tests.architecture.sources import python_files, relative

BANNED_FIRST_WORDS = {"of", "that", "who", "whose", "which", "where", "it", "its"}
"""A name that begins with one of these has its subject in the class name, or has none."""

ROW_IDS = re.compile(r"([a-z]\d+_)*")
"""Rows of a table that a test belongs to, as in `test_c1_c2_a_worker_…`."""


def imported_test_modules(source: str) -> list[str]:
    """Return the imports of a file that are test modules or come from one."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = ".".join(part for part in ("tests" * (node.level > 0), node.module) if part)
            names += [f"{module}.{alias.name}" for alias in node.names]
    return [name for name in names if re.match(r"tests\.(\w+\.)*test_", name)]


def names_without_a_subject(source: str) -> list[str]:
    """Return the names of a file's tests that are no sentence without their class's name."""
    names = [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name == "test" or node.name.startswith("test_")
    ]
    return [name for name in names if _first_word(name) in {"", *BANNED_FIRST_WORDS}]


def _first_word(name: str) -> str:
    sentence = name.removeprefix("test").removeprefix("_")
    return ROW_IDS.sub("", sentence, count=1).partition("_")[0]


def found_in_tests(check: Callable[[str], list[str]]) -> list[str]:
    return [
        f"{relative(path)}: {name}"
        for path in python_files("tests")
        for name in check(path.read_text(encoding="utf-8"))
    ]


class TestImports:
    def test_no_module_imports_a_test_module(self) -> None:
        assert found_in_tests(imported_test_modules) == []

    @pytest.mark.parametrize(
        ("source", "found"),
        [
            ("from tests.jobs.test_states import expected", ["tests.jobs.test_states.expected"]),
            ("from tests.jobs import test_states", ["tests.jobs.test_states"]),
            ("import tests.test_waiting as waiting", ["tests.test_waiting"]),
            ("from .test_states import expected", ["tests.test_states.expected"]),
            ("from . import test_states", ["tests.test_states"]),
            ("from tests.jobs.transition_table import expected", []),
            ("from starlette.testclient import TestClient", []),
        ],
    )
    def test_every_way_to_import_a_test_module_is_found(
        self, source: str, found: list[str]
    ) -> None:
        assert imported_test_modules(source) == found


class TestNames:
    def test_every_name_of_a_test_has_a_subject(self) -> None:
        assert found_in_tests(names_without_a_subject) == []

    @pytest.mark.parametrize(
        "name", ["test", "test_that_is_left_out_is_missed", "test_q2_that_is_flushed_loses_nothing"]
    )
    def test_a_name_without_a_subject_is_found(self, name: str) -> None:
        assert names_without_a_subject(f"class TestParts:\n    def {name}(self): ...\n") == [name]

    @pytest.mark.parametrize(
        "name",
        [
            "test_a_part_that_is_left_out_is_missed",
            "test_q2_a_flushed_broker_loses_nothing",
            "test_f1_is_zero_where_nothing_has_ground_truth",
        ],
    )
    def test_a_name_with_a_subject_passes(self, name: str) -> None:
        assert names_without_a_subject(f"def {name}(): ...\n") == []
