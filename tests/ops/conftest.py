"""Fixtures of the tests of operations."""

from pathlib import Path

import pytest

from app.core.database import Database
from tests.ops.stored_bytes import Instance, an_instance


@pytest.fixture
def instance(database: Database, tmp_path: Path) -> Instance:
    return an_instance(database, tmp_path / "home")
