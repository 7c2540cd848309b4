"""A feature's files have the names that CONTRIBUTING.md lists, and every listed name is used."""

import re

import pytest

from tests.architecture.sources import ROOT, python_files

FEATURES = (
    "accounts",
    "artifacts",
    "datasets",
    "events",
    "fleet",
    "jobs",
    "models",
    "ops",
    "uploads",
    "web",
)


@pytest.fixture(scope="module")
def listed() -> set[str]:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text.partition("<!-- file names: begin -->")[2].partition("<!-- file names: end -->")[0]
    return set(re.findall(r"`([\w/]+\.py)`", table))


def used() -> set[str]:
    """Names of the files in every feature, with their folder below the feature."""
    return {
        path.relative_to(ROOT / "app" / feature).as_posix()
        for feature in FEATURES
        for path in python_files(f"app/{feature}")
        if path.name != "__init__.py"
    }


class TestFileNames:
    def test_a_new_file_name_stands_in_contributing_first(self, listed: set[str]) -> None:
        assert used() - listed == set()

    def test_no_listed_name_is_without_a_file(self, listed: set[str]) -> None:
        assert listed - used() == set()
