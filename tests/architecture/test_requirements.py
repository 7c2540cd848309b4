"""The hashed requirement files are in step with pyproject.toml and with each other."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.sources import ROOT

FILES = {
    "requirements.txt": ("postgres",),
    "requirements-worker.txt": ("postgres", "worker"),
    "requirements-dev.txt": ("dev", "postgres", "worker"),
}

each_file = pytest.mark.parametrize("name", FILES)


def direct_requirements(extras: tuple[str, ...]) -> list[Requirement]:
    """What pyproject.toml asks for, with the given extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra in extras for line in optional[extra])]
    return [Requirement(line) for line in lines]


def pinned(path: Path) -> dict[str, set[str]]:
    """Names and the versions they are pinned to; a name has two where Python versions differ."""
    pins: dict[str, set[str]] = {}
    for name, version in re.findall(
        r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;\\]+)", path.read_text(), re.MULTILINE
    ):
        pins.setdefault(canonicalize_name(name), set()).add(version)
    return pins


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

    @each_file
    def test_every_pin_has_a_hash_and_no_file_names_a_registry(self, name: str) -> None:
        text = (ROOT / name).read_text()
        entries = re.split(r"^(?=[\w.-]+(?:\[[\w,-]+\])?==)", text, flags=re.MULTILINE)[1:]

        assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
        assert not re.search(r"://|--(extra-)?index-url|--find-links|\s@\s", text)

    def test_a_package_has_the_same_versions_in_every_file(self) -> None:
        everything = pinned(ROOT / "requirements-dev.txt")

        for name in ("requirements.txt", "requirements-worker.txt"):
            pins = pinned(ROOT / name)
            assert {package: everything.get(package) for package in pins} == pins

    def test_the_server_installs_without_torch(self) -> None:
        heavy = {"torch", "torchvision", "ultralytics-opencv-headless", "opencv-python-headless"}

        assert heavy & pinned(ROOT / "requirements.txt").keys() == set()
