"""Waiting for a condition with a deadline: tests never sleep for a time."""

import time
from collections.abc import Callable
from threading import Event
from typing import TypeVar

Value = TypeVar("Value")

FIRST_PAUSE_SECONDS = 0.005
LONGEST_PAUSE_SECONDS = 0.1


def eventually(
    condition: Callable[[], Value],
    *,
    within: float,
    message: str | Callable[[], str] = "the condition stayed false",
) -> Value:
    """Call `condition` until it returns a truthy value, and return that value.

    Args:
        condition: called with pauses that grow from 5 ms to 100 ms; an exception ends the wait
            at once.
        within: deadline in seconds, on the monotonic clock.
        message: the expectation; a function is called only after the wait has failed, so that it
            can show the last state.

    Raises:
        AssertionError: the deadline has passed; the text contains the last value.
    """
    deadline = time.monotonic() + within
    pause = FIRST_PAUSE_SECONDS
    never = Event()
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            said = message if isinstance(message, str) else message()
            raise AssertionError(f"{said} (waited {within:g} s, last answer: {answer!r})")
        never.wait(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
