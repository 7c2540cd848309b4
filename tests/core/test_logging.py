"""Exceptions in log lines."""

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from app.core.logging import first_line


class TestFirstLine:
    @pytest.mark.parametrize(
        ("message", "line"), [("", ""), ("away", "away"), ("away\nfor long", "away")]
    )
    def test_the_first_line_is_the_message_up_to_its_first_line_break(
        self, message: str, line: str
    ) -> None:
        assert first_line(ValueError(message)) == line

    def test_the_first_line_leaves_out_the_statement_that_sqlalchemy_adds(self) -> None:
        engine = create_engine("sqlite://")

        with engine.connect() as connection, pytest.raises(OperationalError) as failed:
            connection.execute(text("SELECT secret FROM missing"))
        engine.dispose()

        assert first_line(failed.value) == "(sqlite3.OperationalError) no such table: missing"
