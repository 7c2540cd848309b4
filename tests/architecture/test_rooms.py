"""Readers find a module by its folder: names are listed, and no folder has too many files."""

import re

import pytest

from tests.architecture.sources import ROOT, python_files, relative

FEATURES = (
    "accounts",
    "artifacts",
    "audit",
    "datasets",
    "events",
    "fleet",
    "jobs",
    "models",
    "ops",
    "projects",
    "quotas",
    "stream",
    "uploads",
    "webhooks",
)
MAX_FILES = 18
LARGER_ROOMS = {
    "tests/api": "one module for each kind of request, beside the clients that send them",
    "worker/trainer/mixins": "one module for each part of the trainer's class",
    "app/web/jobs/one_job": "one or two modules for each page of a job",
    "app/core": "small modules that share no prefix; server and worker use nearly all of them",
    "tests/core": "laid out as app/core",
    "tests/docs": "one module for each kind of check and of generated part",
    "tests/faults": "one file for each kind of fault, beside the instruments that cause it",
    "tests/worker/trainer/customizations": "two or three tests for each of the customizations",
}
"""Folders with more than `MAX_FILES` modules, each with the reason."""


@pytest.fixture(scope="module")
def listed() -> set[str]:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text.partition("<!-- file names: begin -->")[2].partition("<!-- file names: end -->")[0]
    names = re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE)
    return {name for cell in names for name in re.findall(r"`([\w/.]+)`", cell)}


def used() -> set[str]:
    """Return the names of files and rooms directly in a feature; a room ends with a slash."""
    found = set()
    for feature in FEATURES:
        folder = ROOT / "app" / feature
        for path in python_files(f"app/{feature}"):
            name, *below = path.relative_to(folder).parts
            found.add(f"{name}/" if below else name)
    return found - {"__init__.py"}


def sizes() -> dict[str, int]:
    """Return the number of modules in each folder of the code and the tests."""
    counts: dict[str, int] = {}
    for path in python_files("app", "sdk", "worker", "tests"):
        if path.name != "__init__.py":
            folder = relative(path.parent)
            counts[folder] = counts.get(folder, 0) + 1
    return counts


class TestNames:
    def test_a_new_name_is_listed_in_contributing_first(self, listed: set[str]) -> None:
        assert used() - listed == set()

    def test_every_listed_name_exists(self, listed: set[str]) -> None:
        assert listed - used() == set()


class TestRooms:
    def test_a_folder_with_more_than_18_modules_is_listed_with_its_reason(self) -> None:
        larger = {folder for folder, count in sizes().items() if count > MAX_FILES}

        assert larger == LARGER_ROOMS.keys()
