"""Run another request's actions at a chosen place of a request: right before one SQL statement."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import event

from app.core.database import Database

REQUEST_THREAD = "AnyIO worker thread"
PLANNING = "workers.stopped_at IS NULL"
"""Part of the statement that reads the live slots, which every plan of a job needs."""
KEY_LOOKUP = "FROM idempotency_keys"


@contextmanager
def interleaved(
    database: Database, acts: Mapping[str, Callable[[], object]], *, times: int | None = None
) -> Iterator[None]:
    """Run an action before each statement of a request that contains the action's text.

    Args:
        database: the database of the server.
        acts: actions by a part of the statement; their own statements cause no further action.
        times: the maximum number of actions; None means no limit.
    """
    acting, left = threading.Lock(), [times]

    def before(*seen: object) -> None:
        found = [act for text, act in acts.items() if text in str(seen[2])]
        if not found or threading.current_thread().name != REQUEST_THREAD or left == [0]:
            return
        if not acting.acquire(blocking=False):
            return
        try:
            if left[0] is not None:
                left[0] -= 1
            found[0]()
        finally:
            acting.release()

    event.listen(database.engine, "before_cursor_execute", before)
    try:
        yield
    finally:
        event.remove(database.engine, "before_cursor_execute", before)
