"""The settings of an operator, and the values that are never shown."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings
from app.settings.units import GIB
from app.settings.verification import VerificationSettings, default_processes

SECRET = "hunter2"


class TestRepresentation:
    def test_no_url_or_key_is_shown_that_may_hold_a_password(self, tmp_path: Path) -> None:
        settings = Settings.model_validate(
            {
                "home": tmp_path,
                "database_url": f"postgresql://trainyard:{SECRET}@db/trainyard",
                "broker_url": f"redis://:{SECRET}@broker",
                "store_url": f"s3://bucket?secret={SECRET}",
                "secret_key": SECRET * 8,
            }
        )

        assert SECRET not in repr(settings)


class TestBrokerUrl:
    @pytest.mark.parametrize(
        "url",
        [
            f"rediss://:{SECRET}@broker.internal:6379/0",
            "redis://127.0.0.1:6379/0",
            "redis://[::1]:6379/0",
            "redis://localhost/0",
            "redis+socket:///run/broker.sock?virtual_host=0",
        ],
    )
    def test_q8_a_broker_url_that_others_cannot_use_is_accepted(self, url: str) -> None:
        broker = Settings.model_validate({"broker_url": url}).broker_url

        assert broker is not None
        assert broker.get_secret_value() == url

    @pytest.mark.parametrize(
        "url", ["redis://broker:6379/0", "redis://10.0.0.7/0", "rediss://someone@broker/0"]
    )
    def test_q8_a_broker_elsewhere_without_a_password_is_refused_unless_allowed(
        self, url: str
    ) -> None:
        with pytest.raises(ValidationError, match="insecure_broker"):
            Settings.model_validate({"broker_url": url})

        assert Settings.model_validate({"broker_url": url, "insecure_broker": True}).broker_url

    def test_q8_a_refusal_does_not_repeat_the_password(self) -> None:
        with pytest.raises(ValidationError) as refusal:
            Settings.model_validate({"broker_url": f"redis://:{SECRET}@\u2100broker/0"})

        assert SECRET not in str(refusal.value.errors(include_input=False))


class TestVerificationProcesses:
    @pytest.mark.parametrize(
        ("cores", "gib", "processes"),
        [(1, 1, 1), (1, 4, 2), (2, 8, 2), (8, 16, 4), (8, 4, 2), (64, 256, 32)],
    )
    def test_the_default_is_half_of_the_cores_and_fits_into_the_memory(
        self, cores: int, gib: int, processes: int
    ) -> None:
        assert default_processes(cores, gib * GIB) == processes

    def test_a_number_that_is_set_is_used_on_every_machine(self) -> None:
        assert VerificationSettings(processes=7).effective_processes == 7


class TestDatabaseUrl:
    @pytest.mark.parametrize(
        "url",
        [
            "sqlite:////srv/trainyard.db",
            "sqlite://",
            "postgresql://trainyard:p%40ss%2Fword@db.internal:5432/trainyard",
            "postgres://db/trainyard?sslmode=verify-full",
            "postgresql+psycopg://u@[::1]:5432/x",
            "postgresql:///trainyard?host=/var/run/postgresql",
        ],
    )
    def test_a_database_url_is_accepted(self, url: str) -> None:
        assert Settings.model_validate({"database_url": url}).database_url == url

    @pytest.mark.parametrize(
        "url",
        [
            "mysql://db/trainyard",
            "db.internal",
            "",
            f"postgresql://u:p@{SECRET}@db/x",
            f"postgresql://u:p/{SECRET}@db/x",
            f"postgresql://u:{SECRET}",
        ],
    )
    def test_a_url_that_would_be_misread_is_refused_without_its_password(self, url: str) -> None:
        with pytest.raises(ValidationError, match="%40") as refusal:
            Settings.model_validate({"database_url": url})

        assert SECRET not in str(refusal.value.errors(include_input=False))
