"""The generators, which `make generated-clients` installs into an environment of their own."""

import sys
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.sources import ROOT

FOLDER: Final = Path(__file__).parent
DOCUMENT: Final = ROOT / "docs" / "schema" / "openapi.json"
GENERATORS: Final = Path(sys.prefix) / "generators"
NODE: Final = GENERATORS / "bin" / "node"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave these tests out of `make test`, which does not install the generators."""
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def _generators() -> None:
    assert NODE.exists(), "the generators are not installed; run: make generated-clients"
