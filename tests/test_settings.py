"""What an operator can set, and what is never shown of it."""

from pathlib import Path

from app.settings import Settings

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
