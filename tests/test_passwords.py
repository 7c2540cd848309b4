"""A password that is given apart from its URL ends in the URL, and is shown nowhere."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import make_url

from app.configuration import BadConfiguration, load_settings
from app.core.broker import broker_url
from app.settings import Settings

SECRET = "supersecret"
DATABASE = "postgresql://trainyard@postgres:5432/trainyard"
BROKER = "redis://redis:6379/0"


class TestPasswords:
    @given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40))
    def test_every_password_arrives_as_it_was_given(self, password: str) -> None:
        settings = Settings.model_validate(
            {"database_url": DATABASE, "database_password": password}
        )

        url = make_url(settings.effective_database_url)
        assert (url.username, url.password, url.host) == ("trainyard", password, "postgres")

    def test_a_broker_needs_no_user(self) -> None:
        settings = Settings.model_validate({"broker_url": BROKER, "broker_password": "a:b@c/d"})

        assert broker_url(settings) == "redis://:a%3Ab%40c%2Fd@redis:6379/0"

    def test_a_broker_with_a_separate_password_is_not_an_open_one(self) -> None:
        with pytest.raises(ValidationError, match="without a password"):
            Settings.model_validate({"broker_url": BROKER})

        Settings.model_validate({"broker_url": BROKER, "broker_password": "x"})

    @pytest.mark.parametrize(
        ("variables", "message"),
        [
            ({"BROKER_PASSWORD": SECRET}, "broker_password is set, but broker_url is not"),
            (
                {"BROKER_PASSWORD": SECRET, "BROKER_URL": f"redis://:{SECRET}@redis"},
                "broker_url contains a password and broker_password is set",
            ),
            ({"DATABASE_PASSWORD": SECRET}, "database_password is set, but database_url is not"),
            (
                {"DATABASE_PASSWORD": SECRET, "DATABASE_URL": f"postgresql://[{SECRET}"},
                "database_url is not a URL",
            ),
        ],
    )
    def test_a_password_that_does_not_fit_is_refused_and_not_shown(
        self, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
    ) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(f"TRAINYARD_{name}", value)

        with pytest.raises(BadConfiguration) as refusal:
            load_settings()

        assert message in str(refusal.value)
        assert SECRET not in str(refusal.value)

    def test_passwords_come_from_files(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        secret = tmp_path / "password"
        secret.write_text(f"{SECRET}\n")
        secret.chmod(0o600)
        monkeypatch.setenv("TRAINYARD_DATABASE_URL", DATABASE)
        monkeypatch.setenv("TRAINYARD_DATABASE_PASSWORD_FILE", str(secret))

        settings = load_settings()

        assert make_url(settings.effective_database_url).password == SECRET
        assert SECRET not in repr(settings)
