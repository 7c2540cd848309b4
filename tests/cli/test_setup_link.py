"""`trainyard setup-link` and `trainyard server` print the link of the first administrator."""

import re
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner, Result

from app.accounts.browser.setup import set_first_password
from app.accounts.issue_key import ensure_first_key
from app.cli import cli
from app.core.database import Database
from tests.worlds.server import a_server

pytestmark = pytest.mark.integration

LINK = re.compile(r"http://\S+/sign-in/set-up/[A-Za-z0-9_-]{43}\b")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sqlite_url: str) -> Path:
    monkeypatch.setenv("TRAINYARD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRAINYARD_DATABASE_URL", sqlite_url)
    return tmp_path / "home"


def invoke(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


class TestSetupLink:
    @pytest.mark.usefixtures("home")
    def test_each_call_prints_a_new_link(self) -> None:
        first, second = invoke("setup-link"), invoke("setup-link")

        links = [LINK.findall(result.stdout) for result in (first, second)]
        assert [len(found) for found in links] == [1, 1]
        assert links[0] != links[1]
        assert links[0][0].startswith("http://127.0.0.1:8080/sign-in/set-up/")

    def test_there_is_none_after_an_administrator_has_a_password(
        self, home: Path, sqlite_url: str
    ) -> None:
        database = Database(sqlite_url)
        ensure_first_key(database, home)
        set_first_password(database, "correct horse 5")
        database.dispose()

        result = invoke("setup-link")

        assert result.exit_code == 1
        assert "an administrator has a password" in result.stderr


class TestServer:
    def test_a_server_without_an_administrator_prints_a_link_that_works(
        self, tmp_path: Path, sqlite_url: str
    ) -> None:
        with a_server(tmp_path / "home", sqlite_url) as server:
            (link,) = LINK.findall(server.text)
            answer = httpx2.get(link, headers={"Accept": "text/html"}, timeout=30)

            assert answer.status_code == 200
            assert link.startswith(server.url)

    @pytest.mark.usefixtures("home")
    @pytest.mark.parametrize("command", ["server", "up"])
    def test_a_password_file_that_cannot_be_read_ends_the_start_with_78(
        self, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TRAINYARD_ADMIN_PASSWORD_FILE", str(tmp_path / "none"))

        result = invoke(command, "--port", "0")

        assert result.exit_code == 78
        assert "TRAINYARD_ADMIN_PASSWORD_FILE" in result.stderr
