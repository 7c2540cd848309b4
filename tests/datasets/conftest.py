"""Fixtures of the dataset tests: one Ultralytics process for all tests, and a verification."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.tasks import Task
from app.datasets.reports.report import ImportOptions, Report, VerificationRequest
from app.datasets.verification.verify import verify
from tests.datasets.builders import Files, a_zip
from tests.datasets.oracle import Oracle, an_oracle
from tests.datasets.verdicts import Verify


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    with an_oracle(tmp_path_factory.mktemp("oracle")) as asked:
        yield asked


@pytest.fixture
def verified(tmp_path: Path) -> Verify:
    """Return a function that verifies files as one upload."""

    def verified_files(files: Files, task: Task | None = None, **given: object) -> Report:
        archive = a_zip(tmp_path / "upload.zip", files)
        options = ImportOptions.model_validate({"task": task, **given})
        return verify(VerificationRequest(archive=archive, output=tmp_path, options=options))

    return verified_files
