"""Count what code does, while it does it: calls of a function, and statements to the database."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

import pytest
from sqlalchemy import event

from app.core.database import Database

STATEMENT = re.compile(r"(INSERT) INTO (\w+)|(UPDATE) (\w+)|(DELETE|SELECT)\b.*?FROM (\w+)")


@contextmanager
def counted(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the list of the arguments of each call in the block."""
    calls: list[tuple[Any, ...]] = []
    function = getattr(module, name)

    def count(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 -- any function
        calls.append(arguments)
        return function(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(module, name, count)
        yield calls


PERIODIC: Final = (
    "audit-keeper",
    "collector",
    "event log watch",
    "key-uses",
    "reconciler",
    "scrubber",
    "session-keeper",
    "webhook-sender",
)
"""Names of threads of a server that ask the database now and then, whatever a test does."""


@contextmanager
def statements_to(database: Database) -> Iterator[list[str]]:
    """Yield the list of the statements in the block: verb and table, such as `UPDATE jobs`.

    Those of periodic threads of a server in this process are left out.
    """
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        found = STATEMENT.match(" ".join(statement.split()))
        is_periodic = threading.current_thread().name.startswith(PERIODIC)
        if found is not None and not is_periodic:  # not BEGIN
            statements.append(" ".join(filter(None, found.groups())))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
