"""Exceptions in log lines."""

import subprocess
import sys

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


class TestTerminals:
    @pytest.mark.parametrize("is_terminal", [True, False])
    def test_text_of_users_never_controls_a_terminal(self, *, is_terminal: bool) -> None:
        program = (
            "import logging, sys; from app.core.logging import configure_logging, get_logger;"
            f"sys.stderr.isatty = lambda: {is_terminal}; configure_logging();"
            "log = get_logger('a'); name = 'x\\x1b[2J\\u202e';"
            "log.warning('job.named', name=name);"
            "logging.getLogger('b').error('named %s', name)\n"
            "try: raise ValueError(name)\n"
            "except ValueError: log.exception('failed')"
        )

        finished = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )

        assert finished.stderr.count("u202e") == 3
        assert "\x1b[2J" not in finished.stderr
        assert "\u202e" not in finished.stderr
