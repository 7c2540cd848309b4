"""Imported packages are declared; the hashed requirement files agree with that and each other."""

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.sources import ROOT, python_files

FILES = {
    "requirements.txt": ("postgres",),
    "requirements-worker.txt": ("postgres", "worker"),
    "requirements-dev.txt": ("dev", "postgres", "worker"),
}

OURS = {"app", "worker"}
NEEDS_AN_EXTRA = ROOT / "app/core/postgres.py"
"""The only module of the server that needs an extra; it is imported late, for PostgreSQL."""

GENERATORS = "tests/generated_clients/requirements.txt"
"""What the generators of clients need, in an environment of their own."""

NPM_LOCK = ROOT / "tests/generated_clients/package-lock.json"

each_file = pytest.mark.parametrize("name", FILES)


def direct_requirements(extras: tuple[str, ...]) -> list[Requirement]:
    """Return the requirements of pyproject.toml with the given extras, without our own client."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra in extras for line in optional[extra])]
    requirements = [Requirement(line) for line in lines]
    return [each for each in requirements if each.name != "trainyard-client"]


def pinned(path: Path) -> dict[str, set[str]]:
    """Return the pinned versions by name; a name has two if they differ by Python version."""
    pins: dict[str, set[str]] = {}
    for name, version in re.findall(
        r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;\\]+)", path.read_text(), re.MULTILINE
    ):
        pins.setdefault(canonicalize_name(name), set()).add(version)
    return pins


def undeclared(files: Iterable[Path], extras: tuple[str, ...] = ()) -> set[str]:
    """Return the imported third-party modules that no direct requirement provides."""
    declared = {canonicalize_name(each.name) for each in direct_requirements(extras)}
    brought_by = packages_distributions()
    imported = {name for path in files for name in imported_modules(path.read_text())}
    return {
        name
        for name in imported - sys.stdlib_module_names - OURS
        if declared.isdisjoint(map(canonicalize_name, brought_by.get(name, ())))
    }


def imported_modules(source: str) -> Iterator[str]:
    """Yield the top-level module of each import statement, wherever it is."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


class TestImports:
    def test_what_the_server_imports_is_a_dependency(self) -> None:
        files = [path for path in python_files("app") if path != NEEDS_AN_EXTRA]

        assert undeclared(files) == set()

    def test_what_the_module_for_postgresql_imports_is_in_its_extra(self) -> None:
        assert undeclared([NEEDS_AN_EXTRA], ("postgres",)) == set()

    def test_what_the_worker_imports_is_a_dependency_or_in_its_extra(self) -> None:
        assert undeclared(python_files("worker"), ("worker",)) == set()

    def test_a_module_that_only_an_extra_brings_is_seen(self) -> None:
        assert undeclared([NEEDS_AN_EXTRA]) == {"psycopg"}
        assert "torch" in undeclared(python_files("worker"))


class TestRequirements:
    @each_file
    def test_every_direct_dependency_is_pinned_within_its_range(self, name: str) -> None:
        pins = pinned(ROOT / name)

        outside = [
            str(requirement)
            for requirement in direct_requirements(FILES[name])
            if not any(
                requirement.specifier.contains(version)
                for version in pins.get(canonicalize_name(requirement.name), ())
            )
        ]

        assert outside == [], "run: make requirements"

    @pytest.mark.parametrize("name", [*FILES, GENERATORS])
    def test_every_pin_has_a_hash_and_no_file_names_a_registry(self, name: str) -> None:
        text = (ROOT / name).read_text()
        entries = re.split(r"^(?=[\w.-]+(?:\[[\w,-]+\])?==)", text, flags=re.MULTILINE)[1:]

        assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
        assert not re.search(r"://|--(extra-)?index-url|--find-links|\s@\s", text)

    def test_every_package_of_npm_has_a_digest_and_no_address(self) -> None:
        packages = json.loads(NPM_LOCK.read_text())["packages"]

        ours = packages.pop("")
        assert [name for name, each in packages.items() if "integrity" not in each] == []
        assert {f"node_modules/{name}" for name in ours["devDependencies"]} <= packages.keys()
        assert "://" not in NPM_LOCK.read_text()

    def test_a_package_has_the_same_versions_in_every_file(self) -> None:
        everything = pinned(ROOT / "requirements-dev.txt")

        for name in ("requirements.txt", "requirements-worker.txt"):
            pins = pinned(ROOT / name)
            assert {package: everything.get(package) for package in pins} == pins

    def test_the_server_installs_without_torch(self) -> None:
        heavy = {"torch", "torchvision", "ultralytics-opencv-headless"}

        assert heavy & pinned(ROOT / "requirements.txt").keys() == set()
