"""The SQL statements of requests, without those of background threads and of keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from sqlalchemy import event

from app.core.database import Database

OF_A_KEY = ("api_keys", "memberships")
"""The tables that every request reads for its key."""


@dataclass
class Asked:
    """The SQL statements of some requests."""

    statements: list[str]

    @property
    def reads(self) -> int:
        return sum(each.startswith(("SELECT", "WITH")) for each in self.statements)

    @property
    def writes(self) -> int:
        return sum(each.startswith(("INSERT", "UPDATE", "DELETE")) for each in self.statements)


@contextmanager
def sql_on(database: Database) -> Iterator[Asked]:
    """Record the statements of requests, but not those of the server's background threads."""
    asked = Asked([])

    def note(*seen: object) -> None:
        statement = str(seen[2])
        is_of_a_request = "request_id" in structlog.contextvars.get_contextvars()
        if is_of_a_request and not any(table in statement for table in OF_A_KEY):
            asked.statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
