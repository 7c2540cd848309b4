"""Concurrent callers of the same read share one result, or many questions share one read.

A caller never gets a result that is older than its call.
"""

import asyncio
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Any, Generic, TypeVar

from anyio import CapacityLimiter, to_thread

Question = TypeVar("Question", bound=Hashable)
Answer = TypeVar("Answer")


class SharedReads:
    """Shares reads, so that many clients that poll the same thing cost little more than one.

    A caller that comes while the same read is running waits for the next read, which it shares with
    all callers that came meanwhile. Every read starts after its callers came, so no result has to
    be invalidated. Use an instance from one event loop only.

    Args:
        threads: those that read; None: those of requests.
    """

    def __init__(self, threads: CapacityLimiter | None = None) -> None:
        self._threads = threads
        self._next: dict[Hashable, asyncio.Task[Any]] = {}
        self._running: dict[Hashable, asyncio.Task[Any]] = {}

    async def answer(self, key: Hashable, read: Callable[[], Answer]) -> Answer:
        """Run `read` on a thread, or join another caller's read of the same key; return its result.

        Raises:
            Exception: the shared read raised it; every caller that shares the read gets it.
        """
        task: asyncio.Task[Answer] | None = self._next.get(key)
        if task is None:
            task = asyncio.create_task(self._read(key, read))
            self._next[key] = task
        return await asyncio.shield(task)  # a cancelled caller must not cancel it for the others

    async def _read(self, key: Hashable, read: Callable[[], Answer]) -> Answer:
        earlier = self._running.get(key)
        if earlier is not None:
            await asyncio.wait([earlier])
        self._running[key] = self._next.pop(key)
        try:
            return await to_thread.run_sync(read, limiter=self._threads)
        finally:
            del self._running[key]


class BatchedReads(Generic[Question, Answer]):
    """Answers different questions with one read.

    Questions that come while a read is running wait for the next read, which answers them together.
    Every read starts after its questions came. Use an instance from one event loop only.

    Args:
        read: answers questions on a thread of requests; it may leave some without an answer.
    """

    def __init__(self, read: Callable[[Collection[Question]], Mapping[Question, Answer]]) -> None:
        self._read = read
        self._next: tuple[set[Question], asyncio.Task[Mapping[Question, Answer]]] | None = None
        self._running: asyncio.Task[Any] | None = None

    async def answer(self, question: Question) -> Answer | None:
        """Return the answer of the read that answers the question; None if it left it.

        Raises:
            Exception: the read raised it; everyone who asked the read gets it.
        """
        if self._next is None:
            asked: set[Question] = set()
            self._next = asked, asyncio.create_task(self._answers(asked))
        questions, task = self._next
        questions.add(question)
        answers = await asyncio.shield(task)  # a cancelled caller must not cancel it for the others
        return answers.get(question)

    async def _answers(self, questions: Collection[Question]) -> Mapping[Question, Answer]:
        if self._running is not None:
            await asyncio.wait([self._running])
        own = self._running = asyncio.current_task()
        self._next = None
        try:
            return await to_thread.run_sync(self._read, questions)
        finally:
            if self._running is own:
                self._running = None
