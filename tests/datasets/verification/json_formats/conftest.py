"""Fixture of the tests of JSON formats: files read with one format."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.datasets.builders import Files
from tests.datasets.json_uploads import Reading, reading_of

Read = Callable[..., Reading]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a function that reads files as an upload of one format."""

    def read_files(
        form: ModuleType, upload: Files, files: list[str] | None = None, **options: object
    ) -> Reading:
        return reading_of(form, tmp_path, upload, files=files, **options)

    return read_files
