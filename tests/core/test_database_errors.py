"""Errors of databases are permanent or pass, and are explained without a password."""

import sqlite3

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from app.configuration import BadConfiguration
from app.core.database_errors import DatabaseUnreachable, explained

HOST = 'connection to server at "10.0.0.7", port 5432 failed'


class TestExplained:
    @pytest.mark.parametrize(
        "message",
        [
            f'{HOST}: FATAL:  password authentication failed for user "trainyard"',
            f"{HOST}: fe_sendauth: no password supplied",
            f'{HOST}: FATAL:  no pg_hba.conf entry for host "10.0.0.8", user "u", no encryption',
            f'{HOST}: FATAL:  role "u" does not exist',
            f'{HOST}: FATAL:  database "x" does not exist',
            f"{HOST}: server does not support SSL, but SSL was required",
            f"{HOST}: SSL error: certificate verify failed",
        ],
    )
    def test_a_login_that_is_refused_once_is_refused_again(self, message: str) -> None:
        error = OperationalError(
            "SELECT 1", {"a": "hunter2"}, psycopg.OperationalError(f"{message}\nmore lines")
        )

        found = explained(error)

        assert isinstance(found, BadConfiguration)
        assert message.split(maxsplit=1)[0] in str(found)
        assert "\n" not in str(found)
        assert "hunter2" not in str(found)

    @pytest.mark.parametrize(
        "cause",
        [
            psycopg.OperationalError(f"{HOST}: Connection refused"),
            psycopg.OperationalError("failed to resolve host 'db.internal': Name not known"),
            psycopg.OperationalError(f"{HOST}: FATAL:  the database system is starting up"),
            psycopg.OperationalError(f"{HOST}: FATAL:  sorry, too many clients already"),
            psycopg.errors.ConnectionTimeout("connection timeout expired"),
            psycopg.errors.AdminShutdown("terminating connection"),
            sqlite3.OperationalError("database is locked"),
        ],
        ids=str,
    )
    def test_an_outage_passes(self, cause: Exception) -> None:
        assert isinstance(explained(OperationalError("", {}, cause)), DatabaseUnreachable)

    @pytest.mark.parametrize(
        "cause",
        [
            sqlite3.OperationalError("no such table: jobs"),
            psycopg.errors.UndefinedTable('relation "jobs" does not exist'),
        ],
        ids=["sqlite", "postgresql"],
    )
    def test_missing_tables_are_made_by_migrate(self, cause: Exception) -> None:
        found = explained(ProgrammingError("", {}, cause))

        assert isinstance(found, BadConfiguration)
        assert "trainyard migrate" in str(found)

    def test_a_statement_that_breaks_a_rule_is_a_bug(self) -> None:
        assert explained(IntegrityError("", {}, sqlite3.IntegrityError("UNIQUE"))) is None
