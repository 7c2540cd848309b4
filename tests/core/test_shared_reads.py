"""Reads that callers share, and the age of their answers."""

import asyncio
import threading
from collections.abc import Callable, Collection, Mapping
from itertools import count

import pytest

from app.core.shared_reads import BatchedReads, SharedReads

pytestmark = pytest.mark.unit


class HeldRead:
    """A read that numbers its answers and waits for a permit before each."""

    def __init__(self) -> None:
        self.began = count(1)
        self.may_end = threading.Semaphore(0)

    def __call__(self) -> int:
        number = next(self.began)
        assert self.may_end.acquire(timeout=10)
        return number


async def asking(
    reads: SharedReads, read: Callable[[], int], callers: int
) -> list[asyncio.Task[int]]:
    """Start the callers' reads, and return once every caller waits for its answer."""
    tasks = [asyncio.create_task(reads.answer("job", read)) for _ in range(callers)]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


class TestSharedReads:
    def test_callers_during_a_read_share_the_next_one(self) -> None:
        async def scene() -> list[int]:
            reads, read = SharedReads(), HeldRead()
            first = await asking(reads, read, callers=1)
            later = await asking(reads, read, callers=5)
            read.may_end.release(2)
            return list(await asyncio.gather(*first, *later))

        answers = asyncio.run(scene())

        assert answers == [1, 2, 2, 2, 2, 2]

    def test_a_caller_after_the_answer_gets_a_new_one(self) -> None:
        async def scene() -> list[int]:
            reads, read = SharedReads(), HeldRead()
            read.may_end.release(2)
            return [await reads.answer("job", read), await reads.answer("job", read)]

        answers = asyncio.run(scene())

        assert answers == [1, 2]

    def test_different_questions_do_not_wait_for_each_other(self) -> None:
        async def scene() -> int:
            reads, held = SharedReads(), HeldRead()
            waiting = await asking(reads, held, callers=1)
            answer = await asyncio.wait_for(reads.answer("other", lambda: 7), timeout=5)
            held.may_end.release()
            await asyncio.gather(*waiting)
            return answer

        answer = asyncio.run(scene())

        assert answer == 7

    def test_a_failure_reaches_everyone_who_shared_it_and_nobody_else(self) -> None:
        def fail() -> int:
            raise LookupError

        async def scene() -> tuple[list[BaseException | int], int]:
            reads = SharedReads()
            failed = await asyncio.gather(
                *(reads.answer("job", fail) for _ in range(3)), return_exceptions=True
            )
            return list(failed), await reads.answer("job", lambda: 1)

        failed, after = asyncio.run(scene())

        assert [type(each) for each in failed] == [LookupError] * 3
        assert after == 1

    def test_a_caller_that_leaves_takes_the_answer_from_nobody(self) -> None:
        async def scene() -> list[int]:
            reads, read = SharedReads(), HeldRead()
            leaving, *staying = await asking(reads, read, callers=3)
            leaving.cancel()
            read.may_end.release()
            return list(await asyncio.gather(*staying))

        answers = asyncio.run(scene())

        assert answers == [1, 1]


class HeldBatches:
    """A read that notes what it is asked, and waits for a permit before each answer."""

    def __init__(self) -> None:
        self.asked: list[set[str]] = []
        self.may_end = threading.Semaphore(0)

    def __call__(self, questions: Collection[str]) -> Mapping[str, int]:
        self.asked.append(set(questions))
        number = len(self.asked)
        assert self.may_end.acquire(timeout=10)
        return {each: number for each in questions if each != "unknown"}


async def asking_each(reads: BatchedReads[str, int], *names: str) -> list[asyncio.Task[int | None]]:
    """Ask all questions, and return once every caller waits for its answer."""
    tasks = [asyncio.create_task(reads.answer(name)) for name in names]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


class TestBatchedReads:
    def test_questions_during_a_read_are_answered_together_by_the_next_one(self) -> None:
        read = HeldBatches()

        async def scene() -> list[int | None]:
            reads = BatchedReads(read)
            first = await asking_each(reads, "a")
            later = await asking_each(reads, "a", "b", "unknown")
            read.may_end.release(2)
            return list(await asyncio.gather(*first, *later))

        answers = asyncio.run(scene())

        assert answers == [1, 2, 2, None]
        assert read.asked == [{"a"}, {"a", "b", "unknown"}]

    def test_a_failure_reaches_those_who_asked_the_read_and_nobody_else(self) -> None:
        def read(questions: Collection[str]) -> Mapping[str, int]:
            if "bad" in questions:
                raise LookupError
            return dict.fromkeys(questions, 7)

        async def scene() -> tuple[list[BaseException | int | None], int | None]:
            reads = BatchedReads(read)
            failed = await asyncio.gather(
                reads.answer("bad"), reads.answer("good"), return_exceptions=True
            )
            return list(failed), await reads.answer("good")

        failed, later = asyncio.run(scene())

        assert [type(each) for each in failed] == [LookupError, LookupError]
        assert later == 7

    def test_a_caller_who_leaves_does_not_end_the_read_for_the_others(self) -> None:
        read = HeldBatches()

        async def scene() -> int | None:
            leaving, staying = await asking_each(BatchedReads(read), "a", "a")
            leaving.cancel()
            read.may_end.release()
            return await staying

        answer = asyncio.run(scene())

        assert answer == 1
