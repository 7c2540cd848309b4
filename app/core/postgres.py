"""Connections to PostgreSQL that end rather than hang, whatever becomes of server or network.

libpq waits for an answer as long as the connection seems alive, and one to a frozen host or behind
a proxy seems so for ever: a thread would hang with it, and in time every thread.
"""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Dialect, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

Result = TypeVar("Result")

ANSWER_SECONDS = 10.0
CONNECT_SECONDS = 5
IDLE_TRANSACTION_SECONDS = 30
POLL_SECONDS = 0.1
"""Between two looks of psycopg whether the process was told to end."""

DEAD_PEER_OPTIONS = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""libpq's: a PostgreSQL behind a network that swallows everything is given up in 25 seconds."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection whose every wait for the server ends after `ANSWER_SECONDS`, and it with it."""

    def wait(
        self,
        gen: PQGen[Result],
        interval: float = POLL_SECONDS,
        timeout: float | None = ANSWER_SECONDS,
    ) -> Result:
        """Called by psycopg for each exchange with the server (3.3.9, connection.py:479).

        Raises:
            psycopg.OperationalError: no answer came; the connection is closed, since that answer
                could still come and would be taken for one to the next question.
        """
        try:
            return super().wait(gen, interval=interval, timeout=timeout)
        except psycopg.errors._WaitTimeout as error:  # noqa: SLF001 -- it has no public name
            self.close()
            message = f"The database did not answer within {timeout:g} seconds."
            raise psycopg.OperationalError(message) from error


def bound_answers(engine: Engine) -> None:
    """Let every connection of `engine` give up a server that does not answer."""

    def connect(
        _dialect: Dialect, _entry: ConnectionPoolEntry, _args: list[Any], options: dict[str, Any]
    ) -> BoundedConnection:
        return BoundedConnection.connect(**options)

    event.listen(engine, "do_connect", connect)


def bound_idle_transactions(engine: Engine) -> None:
    """Let the server end a transaction whose process is frozen or cut off, and free its rows."""

    def prepare(connection: psycopg.Connection[Any], _entry: ConnectionPoolEntry) -> None:
        # A statement rather than a start-up option, which poolers such as PgBouncer refuse.
        was, connection.autocommit = connection.autocommit, True
        setting = f"SET idle_in_transaction_session_timeout = '{IDLE_TRANSACTION_SECONDS}s'"
        connection.execute(setting)
        connection.autocommit = was

    event.listen(engine, "connect", prepare)
