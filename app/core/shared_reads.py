"""One read for all who ask the same at the same time, and for nobody who asked after it began."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from fastapi.concurrency import run_in_threadpool

Answer = TypeVar("Answer")


class SharedReads:
    """Lets many clients that poll one thing cost hardly more than one.

    Who asks while the same read is under way waits for the next one, which all who came meanwhile
    share: every answer is at least as new as the question, so nothing has to be invalidated.
    For one event loop.
    """

    def __init__(self) -> None:
        self._due: dict[Hashable, asyncio.Task[Any]] = {}
        self._under_way: dict[Hashable, asyncio.Task[Any]] = {}

    async def answer(self, key: Hashable, read: Callable[[], Answer]) -> Answer:
        """Return what `read` returns, or another caller's `read` of the same key, run on a thread.

        Raises:
            Exception: what the shared read raised, to everyone who shared it.
        """
        task: asyncio.Task[Answer] | None = self._due.get(key)
        if task is None:
            task = asyncio.create_task(self._read(key, read))
            self._due[key] = task
        return await asyncio.shield(task)  # a caller that leaves takes it from nobody else

    async def _read(self, key: Hashable, read: Callable[[], Answer]) -> Answer:
        earlier = self._under_way.get(key)
        if earlier is not None:
            await asyncio.wait([earlier])
        self._under_way[key] = self._due.pop(key)
        try:
            return await run_in_threadpool(read)
        finally:
            del self._under_way[key]
