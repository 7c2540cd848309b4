"""`trainyard doctor` finds what would make an installation fail or unsafe, and says what to do."""

import json
import shutil
from collections import namedtuple
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from app.cli import cli
from app.core.broker import EmbeddedBroker
from app.core.database import Database, database_now
from app.doctor import machine_checks, service_checks
from app.doctor.cage_checks import check_cage, check_doors
from app.doctor.examine import examine
from app.doctor.home_checks import check_home, check_server
from app.doctor.machine_checks import check_disks, check_packages, check_shared_memory
from app.doctor.results import CheckResult, Verdict, has_errors
from app.doctor.service_checks import check_broker, check_database, check_store, filesystem_of
from app.fleet.repository import Registration, register_worker
from app.fleet.tables import Worker
from app.settings import Settings
from app.version import VERSION

Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 -- as shutil's own
GIB = 1024**3
NO_S3 = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ALLOW_HTTP": "true",
    "AWS_ACCESS_KEY_ID": "a",
    "AWS_SECRET_ACCESS_KEY": "b",
    "AWS_REGION": "x",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home)


@pytest.fixture
def migrated(home: Path, database_url: str) -> Settings:
    """Return settings with an empty, migrated database."""
    return Settings(home=home, database_url=database_url)


def a_slot(database: Database, version: str = VERSION) -> None:
    """Register a slot that serves a release."""
    slot = Registration("nod_1", "cpu", "inc_1", "lab", ("default",), 0, version)
    with database.write() as unit:
        register_worker(unit.session, slot)


def verdicts(results: list[CheckResult]) -> set[Verdict]:
    return {result.verdict for result in results}


class TestExamine:
    def test_a_new_home_has_no_error(self, settings: Settings) -> None:
        results = examine(settings)

        assert not has_errors(results)
        assert {result.check for result in results} >= {"home", "database", "broker", "disk"}

    def test_everything_that_is_wrong_has_an_advice(self, settings: Settings) -> None:
        settings.home.chmod(0o755)

        wrong = [each for each in examine(settings) if each.verdict is not Verdict.FINE]

        assert wrong
        assert all(each.advice for each in wrong)

    def test_a_check_that_breaks_does_not_hide_the_others(
        self,
        settings: Settings,
        migrated_at: Callable[[Path], str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(service_checks, "head_revision", lambda: 1 / 0)
        migrated_at(settings.home / "trainyard.db")

        results = examine(settings)

        (broken,) = [each for each in results if each.check == "database"]
        assert broken.message == "The check failed (ZeroDivisionError)."
        assert any(each.check == "server" for each in results)


class TestHome:
    def test_a_home_that_others_can_read_is_an_error(self, settings: Settings) -> None:
        settings.home.chmod(0o750)

        (found,) = check_home(settings)

        assert found.verdict is Verdict.ERROR
        assert found.advice == f"chmod -R go-rwx {settings.home}"

    def test_a_key_that_others_can_read_is_an_error(self, settings: Settings) -> None:
        (settings.home / "api-key").write_text("secret")
        (settings.home / "api-key").chmod(0o644)

        (found,) = check_home(settings)

        assert "api-key" in found.message
        assert "secret" not in found.message

    def test_a_closed_home_is_fine(self, settings: Settings) -> None:
        assert verdicts(list(check_home(settings))) == {Verdict.FINE}

    def test_a_server_that_left_its_note_but_does_not_answer_is_a_warning(
        self, settings: Settings
    ) -> None:
        (settings.home / "server.json").write_text('{"url": "http://127.0.0.1:9", "pid": 1}')

        (found,) = check_server(settings)

        assert found.verdict is Verdict.WARNING


class TestDatabase:
    def test_a_database_at_this_release_is_fine(
        self, database: Database, migrated: Settings
    ) -> None:
        del database

        results = list(check_database(migrated))

        assert not has_errors(results)
        assert "is at revision" in results[0].message

    def test_a_database_without_tables_names_the_command(self, settings: Settings) -> None:
        (settings.home / "trainyard.db").touch()

        results = list(check_database(settings))

        assert results[0].advice == "Run `trainyard migrate`."

    def test_a_database_that_does_not_answer_is_an_error_without_its_password(
        self, home: Path
    ) -> None:
        url = "postgresql://ada:supersecret@127.0.0.1:9/none"

        (found,) = check_database(Settings(home=home, database_url=url))

        assert found.verdict is Verdict.ERROR
        assert "supersecret" not in str(found)

    def test_a_worker_of_another_release_is_an_error(
        self, database: Database, migrated: Settings
    ) -> None:
        a_slot(database, version="0.0.1")

        results = list(check_database(migrated))

        (found,) = [each for each in results if each.check == "workers"]
        assert "0.0.1" in found.message

    def test_a_worker_that_is_gone_does_not_count(
        self, database: Database, migrated: Settings
    ) -> None:
        a_slot(database)
        with database.write() as unit:
            silent = database_now(-timedelta(hours=1))
            unit.session.execute(update(Worker).values(heartbeat_at=silent))

        results = list(check_database(migrated))

        (found,) = [each for each in results if each.check == "workers"]
        assert found.message == "No slot is served; jobs wait."

    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("/srv/trainyard/trainyard.db", "nfs4"),
            ("/home/ada/trainyard.db", "ext4"),
            ("/srvother/trainyard.db", "ext4"),
        ],
    )
    def test_the_file_system_is_that_of_the_nearest_mount(
        self, tmp_path: Path, path: str, kind: str
    ) -> None:
        mounts = tmp_path / "mounts"
        mounts.write_text("/dev/sda / ext4 rw 0 0\nnas:/x /srv nfs4 rw 0 0\n")

        assert filesystem_of(Path(path), mounts) == kind


class TestBroker:
    def test_an_embedded_broker_that_runs_answers(self, settings: Settings) -> None:
        broker = EmbeddedBroker(settings.home)
        broker.start()
        try:
            (found,) = check_broker(settings)
        finally:
            broker.stop()

        assert found.message == "It answers."

    def test_a_broker_that_does_not_answer_is_an_error_without_its_password(
        self, home: Path
    ) -> None:
        url = "redis://:supersecret@127.0.0.1:9/0"

        (found,) = check_broker(Settings.model_validate({"home": home, "broker_url": url}))

        assert found.verdict is Verdict.ERROR
        assert "supersecret" not in str(found)


class TestMachine:
    @pytest.mark.parametrize(
        ("free", "verdict"), [(1 * GIB, Verdict.ERROR), (50 * GIB, Verdict.FINE)]
    )
    def test_a_disk_below_the_reserve_is_an_error(
        self,
        settings: Settings,
        monkeypatch: pytest.MonkeyPatch,
        free: int,
        verdict: Verdict,
    ) -> None:
        usage = Usage(100 * GIB, 100 * GIB - free, free)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

        assert verdicts(list(check_disks(settings))) == {verdict}

    def test_little_shared_memory_names_the_option_of_containers(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = Usage(64 * 1024**2, 0, 64 * 1024**2)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

        (found,) = check_shared_memory(tmp_path)

        assert "--shm-size" in found.advice

    def test_the_packages_of_this_environment_are_in_their_ranges(self) -> None:
        assert verdicts(list(check_packages())) == {Verdict.FINE}

    def test_a_package_outside_of_its_range_is_named_with_the_range(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(machine_checks, "requires", lambda _: ["numpy<1", "pillow>=1"])

        found = next(iter(check_packages()))

        assert found.verdict is Verdict.ERROR
        assert "numpy" in found.message
        assert "<1" in found.message
        assert "pillow" not in found.message


class TestStore:
    def test_a_store_that_answers_is_fine(self, settings: Settings) -> None:
        assert verdicts(list(check_store(settings))) == {Verdict.FINE}

    def test_a_store_that_does_not_answer_is_an_error(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in NO_S3.items():
            monkeypatch.setenv(name, value)
        away = settings.model_copy(update={"store_url": "s3://nobody"})

        (found,) = check_store(away)

        assert found.verdict is Verdict.ERROR


class TestCage:
    def test_a_cage_that_is_off_is_a_warning(self, settings: Settings) -> None:
        (found,) = check_cage(settings.model_copy(update={"cage": "off"}))

        assert found.verdict is Verdict.WARNING

    def test_the_layers_of_this_machine_are_counted(self, settings: Settings) -> None:
        (found,) = check_cage(settings)

        assert "layers hold" in found.message
        assert found.verdict in {Verdict.FINE, Verdict.WARNING}

    def test_the_probe_names_every_door_that_is_open(self, settings: Settings) -> None:
        (found,) = check_doors(settings.model_copy(update={"cage": "off"}))

        assert found.verdict is Verdict.ERROR
        assert "read:secret" in found.message


class TestCommand:
    def test_the_command_prints_each_check_and_ends_with_0_if_nothing_is_wrong(
        self, home: Path
    ) -> None:
        result = CliRunner().invoke(cli, ["doctor", "--home", str(home)])

        assert result.exit_code == 0, result.output
        assert "ok  home: Only its owner can read" in result.output

    def test_the_command_ends_with_1_if_something_is_wrong_and_says_what_to_do(
        self, home: Path
    ) -> None:
        result = CliRunner().invoke(
            cli, ["doctor", "--home", str(home)], env={"TRAINYARD_HOST": "192.0.2.1"}
        )

        assert result.exit_code == 1
        assert "XX  configuration: host: 192.0.2.1 can be reached" in result.output
        assert "    The server would not start." in result.output

    def test_the_command_prints_json_for_scripts(self, home: Path) -> None:
        result = CliRunner().invoke(cli, ["doctor", "--json", "--home", str(home)])

        document = json.loads(result.stdout)
        assert {"check", "verdict", "message", "advice"} == set(document[0])
