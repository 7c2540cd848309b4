"""A server in this process, for the streams of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worlds.server import Api, serving_alone


@pytest.fixture(scope="module")
def api(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One server for a module."""
    yield from serving_alone(sqlite_template, tmp_path_factory.mktemp("stream"))
