"""A program that cannot start says in one line what to do, and ends with 78 if it is permanent."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from sqlalchemy.engine import URL
from typer.testing import CliRunner, Result

from app.cli import cli
from app.core.files import locked
from app.core.migrations import upgrade

pytestmark = pytest.mark.integration

BAD_CONFIGURATION, FAILURE = 78, 1
NO_BROKER = "redis://127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRAINYARD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def invoke(*words: str, env: Mapping[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, words, env=env)


def start_worker(**environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "worker", "--slots", "cpu"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_one_line(text: str, *, named: str) -> None:
    assert text.startswith("trainyard: "), text
    assert text.count("\n") == 1, text
    assert named in text
    assert "hunter2" not in text


class TestServerAndCommands:
    @pytest.mark.parametrize(
        "words",
        [
            ("server", "--port", "0"),
            ("collect",),
            ("storage",),
            ("models", "list"),
            ("keys", "create", "--label", "a"),
        ],
        ids=" ".join,
    )
    def test_an_instance_without_tables_is_refused_with_the_command_that_makes_them(
        self, home: Path, words: tuple[str, ...]
    ) -> None:
        home.mkdir()

        result = invoke(*words)

        assert result.exit_code == BAD_CONFIGURATION
        assert_one_line(result.stderr, named="trainyard migrate")

    def test_f12_a_database_of_a_later_release_is_refused(self, home: Path) -> None:
        upgrade(f"sqlite:///{home}/trainyard.db")
        _set_revision(home / "trainyard.db", "9999_later")

        result = invoke("server", "--port", "0")

        assert result.exit_code == BAD_CONFIGURATION
        assert_one_line(result.stderr, named="later release")

    @pytest.mark.parametrize("revision", ["9999_later", "0001_create_all_tables"])
    @pytest.mark.parametrize(
        "words",
        [
            ("collect",),
            ("verify",),
            ("storage",),
            ("models", "list"),
            ("keys", "create", "--label", "a"),
            ("setup-link",),
            ("audit", "verify"),
        ],
        ids=" ".join,
    )
    def test_f12_no_command_uses_a_database_of_another_release(
        self, sqlite_template: Path, home: Path, words: tuple[str, ...], revision: str
    ) -> None:
        home.mkdir()
        shutil.copyfile(sqlite_template, home / "trainyard.db")
        _set_revision(home / "trainyard.db", revision)

        result = invoke(*words)

        assert result.exit_code == BAD_CONFIGURATION
        assert_one_line(result.stderr, named=revision)

    def test_f12_a_database_of_an_earlier_release_is_refused(self, home: Path) -> None:
        upgrade(f"sqlite:///{home}/trainyard.db")
        _set_revision(home / "trainyard.db", "0001_create_all_tables")

        result = invoke("server", "--port", "0")

        assert result.exit_code == BAD_CONFIGURATION
        assert_one_line(result.stderr, named="0001_create_all_tables")

    def test_a_file_that_is_no_database_is_refused(self, home: Path) -> None:
        home.mkdir()
        (home / "trainyard.db").write_bytes(b"no database" * 100)

        result = invoke("migrate")

        assert result.exit_code == BAD_CONFIGURATION
        assert_one_line(result.stderr, named="TRAINYARD_DATABASE_URL")

    @pytest.mark.parametrize("command", ["migrate", "server", "storage"])
    @pytest.mark.parametrize(
        ("user", "database"), [("stranger", "postgres"), ("postgres", "nowhere")]
    )
    def test_f12_a_refused_login_is_permanent(
        self, postgres_server: URL, command: str, user: str, database: str
    ) -> None:
        url = postgres_server.set(username=user, password="hunter2", database=database)

        result = invoke(
            command, env={"TRAINYARD_DATABASE_URL": url.render_as_string(hide_password=False)}
        )

        assert result.exit_code == BAD_CONFIGURATION
        assert_one_line(result.stderr, named="TRAINYARD_DATABASE_URL")

    @pytest.mark.parametrize("command", ["migrate", "server", "storage"])
    @pytest.mark.parametrize("host", ["127.0.0.1:1", "no-such-host.invalid:5432"])
    def test_f12_a_database_that_does_not_respond_may_do_so_later(
        self, command: str, host: str
    ) -> None:
        url = f"postgresql://trainyard:hunter2@{host}/trainyard"

        result = invoke(command, env={"TRAINYARD_DATABASE_URL": url})

        assert result.exit_code == FAILURE
        assert_one_line(result.stderr, named="TRAINYARD_DATABASE_URL")

    def test_p6_a_second_server_on_one_home_is_refused(self, home: Path) -> None:
        upgrade(f"sqlite:///{home}/trainyard.db")
        (home / "run").mkdir()

        with locked(home / "run/server.lock"):
            results = [
                invoke(*words, "--port", "0", env={"TRAINYARD_BROKER_URL": NO_BROKER})
                for words in (("server",), ("up",))
            ]

        assert [each.exit_code for each in results] == [FAILURE, FAILURE]
        for each in results:
            assert "Another server is running" in each.stderr.splitlines()[-1]


class TestWorker:
    def test_f10_a_worker_without_settings_is_refused(self, home: Path) -> None:
        finished = start_worker()

        assert finished.returncode == BAD_CONFIGURATION
        assert_one_line(finished.stderr, named="TRAINYARD_DATABASE_URL")
        assert not home.exists()

    def test_f11_a_worker_with_a_database_and_without_a_broker_is_refused(self) -> None:
        finished = start_worker(TRAINYARD_DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/x")

        assert finished.returncode == BAD_CONFIGURATION
        assert_one_line(finished.stderr, named="TRAINYARD_BROKER_URL")


class TestModes:
    def test_f23_a_home_that_was_open_is_closed(self, home: Path) -> None:
        old = os.umask(0)
        try:
            home.mkdir()
            (home / "store").mkdir()
            (home / "secret-key").write_text("0" * 64)
            (home / "link").symlink_to(home.parent)
        finally:
            os.umask(old)

        assert invoke("migrate").exit_code == 0

        modes = {name: _mode(home / name) for name in ("", "store", "secret-key")}
        assert modes == {"": 0o700, "store": 0o700, "secret-key": 0o600}

    def test_f23_everything_is_private_whatever_the_umask(self, home: Path) -> None:
        subprocess.run([sys.executable, "-m", "app.cli", "migrate"], umask=0, check=True)

        found = {path: _mode(path) for path in [home, *home.rglob("*")]}
        assert len(found) > 1
        assert {path: mode for path, mode in found.items() if mode & 0o077} == {}

    @pytest.mark.usefixtures("home")
    def test_f23_the_second_command_on_a_new_home_has_nothing_to_close(self) -> None:
        program = [sys.executable, "-m", "app.cli"]
        subprocess.run([*program, "migrate"], umask=0, check=True)

        second = subprocess.run(
            [*program, "keys", "list"], umask=0, check=True, capture_output=True, text=True
        )

        assert second.stderr == ""

    @pytest.mark.skipif(os.getuid() != 0, reason="gives a folder to another user")
    @pytest.mark.parametrize("what", ["home", "file"])
    def test_f23_a_home_of_another_user_is_refused(self, home: Path, what: str) -> None:
        home.mkdir(mode=0o700)
        (home / "secret-key").touch(mode=0o600)
        os.chown(home if what == "home" else home / "secret-key", 12_345, -1)

        result = invoke("migrate")

        assert result.exit_code == BAD_CONFIGURATION
        assert_one_line(result.stderr, named="12345")


def _set_revision(path: Path, revision: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.close()


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)
