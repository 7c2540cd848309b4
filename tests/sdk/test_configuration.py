"""Which server the client uses, and to whom it sends which key."""

import json
import os
import stat
from pathlib import Path

import pytest
from trainyard import ConfigurationError
from trainyard.configuration import find_server, store_login

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def a_running_server(url: str) -> None:
    home = Path(os.environ["TRAINYARD_HOME"])
    home.mkdir()
    (home / "server.json").write_text(json.dumps({"url": url, "pid": os.getpid()}))
    (home / "api-key").write_text("local-key\n")


class TestOrder:
    def test_without_any_source_the_ways_are_named(self) -> None:
        with pytest.raises(ConfigurationError, match="TRAINYARD_URL"):
            find_server()

    def test_each_source_counts_more_than_the_next(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a_running_server("http://127.0.0.1:1")
        found = [find_server().url]
        store_login("https://stored.example", "key")
        found.append(find_server().url)
        (folder / "trainyard.toml").write_text('url = "https://project.example"\n')
        found.append(find_server().url)
        monkeypatch.setenv("TRAINYARD_URL", "https://environment.example/")
        found.append(find_server().url)
        found.append(find_server("https://argument.example").url)

        names = ["environment", "argument"]
        assert found[:3] == [
            "http://127.0.0.1:1",
            "https://stored.example",
            "https://project.example",
        ]
        assert found[3:] == [f"https://{name}.example" for name in names]


class TestKeys:
    def test_a_stored_key_goes_only_to_its_server(self, folder: Path) -> None:
        store_login("https://stored.example", "key of stored")
        (folder / "trainyard.toml").write_text('url = "https://other.example"\n')

        assert find_server().key is None
        assert find_server("https://stored.example/").key == "key of stored"

    def test_the_key_of_the_server_of_this_machine_goes_to_no_other(self) -> None:
        a_running_server("http://127.0.0.1:8471")

        assert find_server().key == "local-key"
        assert find_server("https://other.example").key is None

    def test_only_its_user_can_read_a_stored_key(self) -> None:
        path = store_login("https://stored.example", "key")

        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_a_key_is_not_shown(self) -> None:
        assert "secret" not in repr(find_server("https://a.example", "secret"))

    def test_several_logins_are_kept(self) -> None:
        store_login("https://one.example", "1")
        store_login("https://two.example", "2")

        assert find_server("https://one.example").key == "1"
        assert find_server().key == "2"

    def test_a_key_in_the_file_of_a_project_is_refused(self, folder: Path) -> None:
        (folder / "trainyard.toml").write_text('url = "https://a.example"\nkey = "secret"\n')

        with pytest.raises(ConfigurationError, match="repositories"):
            find_server()


class TestAddresses:
    @pytest.mark.parametrize("url", ["server:80", "ftp://a", "https://me:pw@a", "https://a?key=1"])
    def test_what_is_no_address_is_refused(self, url: str) -> None:
        with pytest.raises(ConfigurationError):
            find_server(url)
