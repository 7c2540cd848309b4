"""PostgreSQL connections that fail instead of hanging when the server or network does not respond.

libpq waits for a response as long as the connection seems alive. A connection to a frozen host or
through a proxy seems alive forever: its thread would hang, and after some time every thread.
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
"""Interval at which psycopg checks for interrupts while it waits for the server."""

DEAD_PEER_OPTIONS = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""libpq's options: a connection fails after 25 seconds if the network drops every packet."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that closes if the server does not respond within `ANSWER_SECONDS`."""

    def wait(
        self,
        gen: PQGen[Result],
        interval: float = POLL_SECONDS,
        timeout: float | None = ANSWER_SECONDS,
    ) -> Result:
        """Wait for the server. Called by psycopg for each exchange (3.3.9, connection.py:479).

        Raises:
            psycopg.OperationalError: the server did not respond in time. The connection is closed,
                because a late response would be read as the response to the next query.
        """
        try:
            return super().wait(gen, interval=interval, timeout=timeout)
        except psycopg.errors._WaitTimeout as error:  # noqa: SLF001 -- it has no public name
            self.close()
            message = f"The database did not respond within {timeout:g} seconds."
            raise psycopg.OperationalError(message) from error


def bound_answers(engine: Engine) -> None:
    """Make every connection of `engine` a `BoundedConnection`."""

    def connect(
        _dialect: Dialect, _entry: ConnectionPoolEntry, _args: list[Any], options: dict[str, Any]
    ) -> BoundedConnection:
        return BoundedConnection.connect(**options)

    event.listen(engine, "do_connect", connect)


def bound_idle_transactions(engine: Engine) -> None:
    """Configure the server to end transactions of frozen or disconnected processes.

    This releases their row locks.
    """

    def prepare(connection: psycopg.Connection[Any], _entry: ConnectionPoolEntry) -> None:
        # A statement, because poolers such as PgBouncer refuse it as a startup option.
        previous, connection.autocommit = connection.autocommit, True
        setting = f"SET idle_in_transaction_session_timeout = '{IDLE_TRANSACTION_SECONDS}s'"
        connection.execute(setting)
        connection.autocommit = previous

    event.listen(engine, "connect", prepare)
