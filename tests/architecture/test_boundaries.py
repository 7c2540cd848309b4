"""Only the trainer loads torch and Ultralytics; no other process has them after its start."""

import json
import subprocess
import sys

import pytest

from tests.architecture.sources import ROOT

HEAVY = ("torch", "torchvision", "ultralytics", "cv2")

PROGRAM = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps([name for name in sys.argv[2:] if name in sys.modules]))
"""

START_SERVER = """
import json, sys
from starlette.testclient import TestClient
from app.core.migrations import upgrade
from app.main import create_app
from app.settings import Settings
settings = Settings(home=sys.argv[1], broker_url="redis://127.0.0.1:9")
upgrade(settings.effective_database_url)
with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
    client.get("/livez").raise_for_status()
    print(json.dumps([name for name in sys.argv[2:] if name in sys.modules]))
"""

LOAD_FILES = """
import sys
import app.core.files
print(*sorted(name for name in sys.modules if name.partition(".")[0] == "app"))
"""


def loaded_by(program: str, *arguments: str) -> list[str]:
    """Run `program` in a fresh interpreter; it prints the loaded modules as JSON."""
    finished = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    printed = [
        line for line in finished.stdout.splitlines() if line.startswith('["') or line == "[]"
    ]
    loaded: list[str] = json.loads(printed[-1])
    return loaded


@pytest.fixture(scope="module")
def loaded_by_a_server(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return which of some slow modules a server on SQLite has loaded when it answers."""
    home = tmp_path_factory.mktemp("loaded") / "home"
    loaded = loaded_by(START_SERVER, str(home), *HEAVY, "psycopg", "jsonschema", "fastapi")
    assert "fastapi" in loaded
    return loaded


class TestBoundaries:
    @pytest.mark.parametrize(
        "module",
        [
            "app.main",
            "app.cli",
            "worker.celery_app",
            "worker.attempt.supervisor",
            "worker.tasks",
            "worker.trainer.environment",
            "worker.trainer.protocol",
        ],
    )
    def test_a_module_of_server_or_supervisor_loads_neither_torch_nor_ultralytics(
        self, module: str
    ) -> None:
        assert loaded_by(PROGRAM, module, *HEAVY) == []

    def test_a_server_that_answers_has_loaded_neither(self, loaded_by_a_server: list[str]) -> None:
        assert not {*HEAVY} & {*loaded_by_a_server}

    def test_a_server_on_sqlite_has_not_loaded_the_driver_of_postgresql(
        self, loaded_by_a_server: list[str]
    ) -> None:
        assert "psycopg" not in loaded_by_a_server

    def test_a_server_has_not_loaded_what_only_jobs_with_a_plugin_need(
        self, loaded_by_a_server: list[str]
    ) -> None:
        assert "jsonschema" not in loaded_by_a_server

    def test_the_spec_loads_no_library_of_the_server(self) -> None:
        assert (
            loaded_by(PROGRAM, "app.jobs.spec.job_spec", *HEAVY, "fastapi", "sqlalchemy", "celery")
            == []
        )

    def test_files_are_written_with_the_standard_library_alone(self) -> None:
        without_libraries = [sys.executable, "-S", "-c", LOAD_FILES]

        finished = subprocess.run(
            without_libraries, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )

        assert finished.stdout.split() == ["app", "app.core", "app.core.files"], finished.stderr

    def test_the_check_sees_a_module_that_is_loaded(self) -> None:
        assert loaded_by(PROGRAM, "json.tool", "json", "torch") == ["json"]
