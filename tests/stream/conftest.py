"""A server in this process, for the streams of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worlds.server import Api, on, serving


@pytest.fixture(scope="module")
def api(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One server for a module."""
    folder = tmp_path_factory.mktemp("stream")
    path = folder / "trainyard.db"
    path.write_bytes(sqlite_template.read_bytes())
    yield from serving(on(f"sqlite:///{path}", folder / "home"))
