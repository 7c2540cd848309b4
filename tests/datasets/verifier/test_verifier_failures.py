"""When the verifier thread cannot verify, it logs the reason and continues."""

from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError
from structlog.testing import capture_logs

from app.core.database import Database
from app.core.errors import Unavailable
from app.core.storage import ArtifactStore
from app.datasets.verifier import Verifier
from app.settings import Settings
from app.settings.timing import Timing
from tests.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]


@pytest.fixture
def verifier(database: Database, tmp_path: Path) -> Verifier:
    settings = Settings(home=tmp_path / "home", timing=Timing(reconcile_seconds=0.01))
    return Verifier(database, ArtifactStore.from_settings(settings), settings)


class TestFailure:
    @pytest.mark.parametrize(
        ("error", "entry"),
        [
            (
                OperationalError("SELECT", {}, Exception("connection refused")),
                ("verification.database_unavailable", "warning"),
            ),
            (Unavailable("the store is away"), ("verification.storage_unavailable", "warning")),
            (OSError("no space left"), ("verification.storage_unavailable", "warning")),
            (ProgrammingError("SELECT", {}, Exception()), ("verification.failed", "error")),
            (RuntimeError("jammed"), ("verification.failed", "error")),
        ],
        ids=["database", "store", "disk", "statement", "unforeseen"],
    )
    def test_a_failure_is_logged_by_its_kind_and_the_thread_continues(
        self,
        verifier: Verifier,
        monkeypatch: pytest.MonkeyPatch,
        error: Exception,
        entry: tuple[str, str],
    ) -> None:
        turns: list[Exception] = []

        def fail_once(**_: object) -> None:
            turns.append(error)
            if len(turns) == 1:
                raise error

        monkeypatch.setattr(verifier, "_claim", fail_once)

        with capture_logs() as logged, verifier:
            eventually(lambda: len(turns) > 1, within=10)

        assert [(line["event"], line["log_level"]) for line in logged] == [entry]
