"""Secrets are read from files that no other user can read or change."""

import os
from pathlib import Path

import pytest

from app.configuration import BadConfiguration, load_settings

URL = "postgresql://trainyard:hunter2@db.internal/trainyard"
KEY = "of all servers, with more than 32 characters"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINYARD_HOME", str(tmp_path / "home"))


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file with a database's URL that the environment names."""
    path = tmp_path / "database-url"
    path.write_text(URL + "\n")
    path.chmod(0o600)
    monkeypatch.setenv("TRAINYARD_DATABASE_URL_FILE", str(path))
    return path


def refusal() -> str:
    with pytest.raises(BadConfiguration) as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)
    return str(refused.value)


class TestSecretFiles:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("DATABASE_URL", URL),
            ("BROKER_URL", "redis://:hunter2@redis.internal/0"),
            ("STORE_URL", "s3://bucket?secret=hunter2"),
            ("SECRET_KEY", KEY),
        ],
    )
    @pytest.mark.parametrize("end", ["", "\n", "\r\n"])
    def test_each_secret_can_be_in_a_file_with_or_without_a_line_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, end: str
    ) -> None:
        path = tmp_path / "secret"
        path.write_bytes((value + end).encode())
        path.chmod(0o600)
        monkeypatch.setenv(f"TRAINYARD_{name}_FILE", str(path))

        found = getattr(load_settings(), name.lower())

        assert (found if isinstance(found, str) else found.get_secret_value()) == value

    def test_a_secret_that_is_given_twice_is_refused(
        self, secret: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TRAINYARD_DATABASE_URL", URL)

        assert "TRAINYARD_DATABASE_URL_FILE" in refusal()
        assert secret.exists()

    @pytest.mark.usefixtures("secret")
    def test_a_secret_file_has_precedence_over_the_configuration_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = tmp_path / "trainyard.toml"
        config.write_text("database_url = 'sqlite:///other.db'\n")
        monkeypatch.setenv("TRAINYARD_CONFIG", str(config))

        assert load_settings().database_url == URL

    @pytest.mark.parametrize(
        ("content", "named"),
        [
            pytest.param(b"", "is empty", id="empty"),
            pytest.param(b" \n", "is empty", id="blank"),
            pytest.param(b"\xff\xfe", "UTF-8", id="not-text"),
            pytest.param(b"a\0b", "text file", id="NUL"),
            pytest.param(b"a" * 70_000, "larger than", id="huge"),
        ],
    )
    def test_a_file_without_a_secret_is_refused(
        self, secret: Path, content: bytes, named: str
    ) -> None:
        secret.write_bytes(content)

        assert named in refusal()

    def test_a_missing_file_is_refused(self, secret: Path) -> None:
        secret.unlink()

        assert f"TRAINYARD_DATABASE_URL_FILE: {secret} cannot be read" in refusal()

    @pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
    def test_what_is_no_file_is_refused_without_waiting(self, secret: Path, make: object) -> None:
        secret.unlink()
        assert callable(make)
        make(secret)

        assert "TRAINYARD_DATABASE_URL_FILE" in refusal()

    @pytest.mark.parametrize("mode", [0o604, 0o644, 0o444])
    def test_p5_a_secret_that_every_user_can_read_is_refused_with_the_cure(
        self, secret: Path, mode: int
    ) -> None:
        secret.chmod(mode)

        assert f"chmod 600 {secret}" in refusal()

    @pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
    def test_p5_a_secret_that_others_can_change_is_refused(self, secret: Path, mode: int) -> None:
        secret.chmod(mode)

        assert "can be changed" in refusal()

    @pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640])
    def test_a_secret_for_the_owner_and_a_group_is_read(self, secret: Path, mode: int) -> None:
        secret.chmod(mode)

        assert load_settings().database_url == URL

    def test_a_mounted_secret_of_another_user_is_read_although_all_can_read_it(
        self, secret: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secret.chmod(0o444)
        monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)

        assert load_settings().database_url == URL

    def test_a_secret_behind_a_link_is_read_as_kubernetes_mounts_it(
        self, secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        link = tmp_path / "link"
        link.symlink_to(secret)
        monkeypatch.setenv("TRAINYARD_DATABASE_URL_FILE", str(link))

        assert load_settings().database_url == URL


class TestConfigurationFile:
    @pytest.fixture
    def config(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        path = tmp_path / "trainyard.toml"
        monkeypatch.setenv("TRAINYARD_CONFIG", str(path))
        return path

    @pytest.mark.parametrize(
        "text",
        [
            f"database_url = '{URL}'",
            "broker_url = 'redis://:hunter2@redis.internal/0'",
            "store_url = 's3://bucket?secret=hunter2'",
            f"secret_key = 'hunter2 {KEY}'",
        ],
    )
    def test_p5_a_file_with_a_secret_that_every_user_can_read_is_refused(
        self, config: Path, text: str
    ) -> None:
        config.write_text(text)
        config.chmod(0o644)

        message = refusal()

        assert text.partition(" ")[0] in message
        assert f"chmod 600 {config}" in message

    @pytest.mark.parametrize(
        "text",
        ["port = 8471", "database_url = 'postgresql://db/trainyard'", "store_url = 's3://bucket'"],
    )
    def test_a_file_without_a_secret_can_be_read_by_all(self, config: Path, text: str) -> None:
        config.write_text(text)
        config.chmod(0o644)

        load_settings()

    def test_p5_a_file_that_every_user_can_change_is_refused(self, config: Path) -> None:
        config.write_text("port = 8471")
        config.chmod(0o666)

        assert "can be changed" in refusal()

    def test_a_file_that_cannot_be_read_is_refused(self, config: Path) -> None:
        config.write_bytes(b"\xff\xff = 1")
        config.chmod(0o600)

        assert "TRAINYARD_CONFIG" in refusal()

    @pytest.mark.parametrize(
        ("text", "meant"),
        [
            ("database-url = 'x'", "database-url: there is no such setting; did you mean database"),
            ("[timing]\nlease_second = 3", "did you mean timing.lease_seconds?"),
        ],
    )
    def test_a_misspelt_key_is_refused_with_the_one_that_was_meant(
        self, config: Path, text: str, meant: str
    ) -> None:
        config.write_text(text)
        config.chmod(0o600)

        assert meant in refusal()
