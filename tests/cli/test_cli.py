"""The `trainyard` command: its output, its exit status, and the imports that it avoids."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from sqlalchemy import update
from typer.testing import CliRunner, Result

from app.accounts.issue_key import ensure_first_key
from app.cli import cli
from app.core.database import Database
from app.core.migrations import head_revision, is_current
from app.models.repository import NewWeights, insert_model
from app.models.tables import Model, ModelSource
from tests.jobs.slots import a_slot

pytestmark = pytest.mark.integration

BAD_CONFIGURATION = 78
COMMANDS = ("up", "server", "worker", "migrate", "collect", "models", "keys")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRAINYARD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def migrated(home: Path, migrated_at: Callable[[Path], str]) -> Path:
    """Return the home with a database at the newest revision."""
    migrated_at(home / "trainyard.db")
    return home


def invoke(*words: str, env: Mapping[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, words, env=env)


class TestHelp:
    def test_the_help_names_every_command(self) -> None:
        result = invoke("--help")

        assert result.exit_code == 0
        assert [name for name in COMMANDS if name not in result.stdout] == []

    def test_the_help_loads_none_of_the_slow_libraries(self) -> None:
        program = (
            "import sys; from app import cli; "
            "sys.exit(' '.join(m for m in sys.argv[1:] if m in sys.modules))"
        )
        heavy = ["fastapi", "pydantic", "sqlalchemy", "celery", "redis", "uvicorn", "alembic"]

        finished = subprocess.run(
            [sys.executable, "-c", program, *heavy], capture_output=True, text=True, check=False
        )

        assert finished.stderr == "\n"


@pytest.mark.usefixtures("home")
class TestBadConfiguration:
    @pytest.mark.parametrize(
        ("variable", "value", "named"),
        [
            pytest.param("TRAINYARD_PORT", "70000", "TRAINYARD_PORT", id="out-of-range"),
            pytest.param("TRAINYARD_REQUEST_THREADS", "many", "request_threads", id="wrong-type"),
            pytest.param("TRAINYARD_ALLOWED_HOSTS", "not json", "allowed_hosts", id="not-json"),
            pytest.param("TRAINYARD_TIMING__LEASE_SECONDS", "20", "timing", id="order-of-timings"),
            pytest.param("TRAINYARD_CONFIG", "/nowhere.toml", "TRAINYARD_CONFIG", id="no-file"),
        ],
    )
    def test_a_bad_configuration_ends_with_78_and_names_the_key(
        self, variable: str, value: str, named: str
    ) -> None:
        result = invoke("migrate", env={variable: value})

        assert result.exit_code == BAD_CONFIGURATION
        assert named in result.stderr

    @pytest.mark.parametrize(
        ("text", "named"),
        [
            pytest.param("colour = 'red'\n", "colour", id="unknown-key"),
            pytest.param("[timing]\nlease = 3\n", "timing.lease", id="unknown-key-inside"),
            pytest.param("port = \n", "Invalid value", id="not-toml"),
        ],
    )
    def test_a_file_is_held_to_the_same(self, tmp_path: Path, text: str, named: str) -> None:
        file = tmp_path / "trainyard.toml"
        file.write_text(text)

        result = invoke("migrate", env={"TRAINYARD_CONFIG": str(file)})

        assert result.exit_code == BAD_CONFIGURATION
        assert named in result.stderr

    def test_the_refused_value_is_not_shown(self, tmp_path: Path) -> None:
        file = tmp_path / "trainyard.toml"
        file.write_text("broker_secret = 'supersecret'\n")

        result = invoke("migrate", env={"TRAINYARD_CONFIG": str(file)})

        assert "supersecret" not in result.output

    @pytest.mark.parametrize("command", ["server", "worker"])
    def test_a_process_that_stays_is_not_started_and_shows_no_value(self, command: str) -> None:
        wrong = {"TRAINYARD_BROKER_URL": "redis://supersecret@broker.internal/0"}

        finished = subprocess.run(
            [sys.executable, "-m", "app.cli", command],
            env=os.environ | wrong,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert finished.returncode == BAD_CONFIGURATION
        assert "TRAINYARD_BROKER_URL" in finished.stderr
        assert "supersecret" not in finished.stderr

    @pytest.mark.parametrize("command", ["up", "server"])
    @pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "a.example"])  # noqa: S104
    def test_an_open_bind_needs_a_word_of_the_operator(self, command: str, host: str) -> None:
        result = invoke(command, "--host", host)

        assert result.exit_code == BAD_CONFIGURATION
        assert "--behind-proxy" in result.stderr
        assert "--insecure-http" in result.stderr


class TestMigrate:
    def test_migrate_brings_a_new_home_to_the_newest_revision(self, home: Path) -> None:
        first, second = invoke("migrate"), invoke("migrate")

        assert (first.exit_code, second.exit_code) == (0, 0)
        assert head_revision() in first.stdout
        database = Database(f"sqlite:///{home}/trainyard.db", pool_size=1)
        assert is_current(database)
        database.dispose()


class TestCollect:
    def test_collect_counts_first_and_then_collects(self, migrated: Path) -> None:
        orphan = migrated / "store" / "sha256" / "ab" / ("ab" * 32)
        orphan.parent.mkdir(parents=True)
        orphan.write_bytes(b"of a server that was killed")

        dry, first, second = invoke("collect", "--dry-run"), invoke("collect"), invoke("collect")

        assert "orphans condemned: 1" in dry.stdout
        assert first.stdout == dry.stdout
        assert "orphans condemned: 0" in second.stdout
        assert orphan.exists()


class TestStorage:
    @pytest.mark.usefixtures("migrated")
    def test_storage_shows_bytes_by_use(self, tmp_path: Path) -> None:
        weights = tmp_path / "mine.pt"
        weights.write_bytes(b"PK\x03\x04 as a checkpoint begins")
        invoke("models", "add", str(weights))

        assert invoke("storage").stdout == f"models: {weights.stat().st_size}\n"


class TestKeysCreate:
    @pytest.mark.usefixtures("migrated")
    def test_a_key_cannot_be_made_before_the_first_start(self) -> None:
        result = invoke("keys", "create", "--label", "laptop")

        assert result.exit_code == 1
        assert "start the server once" in result.stderr

    def test_keys_create_prints_the_key_alone(self, migrated: Path) -> None:
        database = Database(f"sqlite:///{migrated}/trainyard.db", pool_size=1)
        ensure_first_key(database, migrated)
        database.dispose()

        result = invoke("keys", "create", "--label", "laptop")

        assert result.exit_code == 0
        assert result.stdout.startswith("trainyard_")
        assert result.stdout.count("\n") == 1


class TestModelsList:
    def test_what_an_inspection_reports_cannot_control_the_terminal(self, migrated: Path) -> None:
        database = Database(f"sqlite:///{migrated}/trainyard.db", pool_size=1)
        with database.write() as unit:
            weights = NewWeights("mine.pt", None, ModelSource.FILE, "ab" * 32, 3)
            model = insert_model(unit.session, weights)
            changed = update(Model).where(Model.id == model.id)
            unit.session.execute(changed.values(message="bad\x1b]0;owned\x07\u202e"))
        database.dispose()

        result = invoke("models", "list")

        assert result.stdout.endswith("bad\\x1b]0;owned\\x07\\u202e\n")


class TestQuotas:
    @pytest.fixture(autouse=True)
    def _started(self, migrated: Path) -> None:
        database = Database(f"sqlite:///{migrated}/trainyard.db", pool_size=1)
        ensure_first_key(database, migrated)
        database.dispose()

    def test_quotas_set_changes_the_named_limits_only(self) -> None:
        invoke("quotas", "set", "--project", "default", "--queued-jobs", "5")
        invoke("quotas", "set", "--project", "default", "--running-jobs", "2")
        invoke("quotas", "set", "--project", "default", "--queued-jobs", "none")

        result = invoke("quotas", "show", "--project", "default")

        shown = result.stdout.splitlines()
        assert shown[:2] == ["queued_jobs: 0 used, no limit", "running_jobs: 0 used, limit 2"]

    @pytest.mark.parametrize(
        "words",
        [
            ("--project", "elsewhere"),
            (),
            ("--user", "owner", "--queued-jobs", "many"),
            ("--user", "owner", "--queued-jobs", f"{2**31}"),
            ("--user", "owner", "--stored-bytes", "9" * 18),
        ],
        ids=["unknown-project", "nobody", "no-number", "above-an-integer", "above-all-bytes"],
    )
    def test_quotas_set_refuses_bad_words_in_one_line(self, words: tuple[str, ...]) -> None:
        result = invoke("quotas", "set", *words)

        assert result.exit_code == 1
        assert result.stderr.startswith("trainyard: ")
        assert result.stderr.count("\n") == 1


@pytest.mark.usefixtures("migrated")
class TestWorkers:
    def test_workers_are_listed_drained_and_uncordoned(self, migrated: Path) -> None:
        database = Database(f"sqlite:///{migrated}/trainyard.db", pool_size=1)
        worker_id = a_slot(database)
        database.dispose()

        drained = invoke("workers", "drain", worker_id)
        listed = invoke("workers", "list")
        back = invoke("workers", "uncordon", worker_id)

        assert (drained.exit_code, back.exit_code) == (0, 0), drained.output + back.output
        assert listed.stdout.splitlines()[1].split()[:4] == [
            worker_id,
            "here/cpu",
            "live",
            "draining",
        ]

    def test_workers_cordon_refuses_an_unknown_slot_in_one_line(self) -> None:
        result = invoke("workers", "cordon", "wrk_none")

        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1


@pytest.mark.usefixtures("migrated")
class TestModelsAdd:
    @pytest.mark.parametrize(
        "words",
        [
            pytest.param((), id="neither"),
            pytest.param(("weights.pt", "--official", "yolo26n.pt"), id="both"),
        ],
    )
    def test_models_add_takes_a_file_or_an_official_name(self, words: tuple[str, ...]) -> None:
        result = invoke("models", "add", *words)

        assert result.exit_code == 1
        assert "FILE or --official" in result.stderr

    @pytest.mark.parametrize(
        "words", [("--name", "mine"), ("--task", "detect")], ids=lambda w: w[0]
    )
    def test_models_add_refuses_a_name_or_a_task_for_official_weights(
        self, words: tuple[str, ...]
    ) -> None:
        result = invoke("models", "add", "--official", "yolo26n.pt", *words)

        assert result.exit_code == 1
        assert "--name and --task are for a FILE" in result.stderr
        assert result.stderr.count("\n") == 1

    def test_a_missing_file_is_told_in_one_line(self) -> None:
        result = invoke("models", "add", "missing/yolo26n.pt")

        assert result.exit_code == 1
        assert result.stderr.startswith("trainyard: ")
        assert result.stderr.count("\n") == 1
