"""What follows from an attempt: success, another attempt, or the end of the delivery or webhook."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from app.webhooks.tables import DeliveryState, DisabledReason

GONE: Final = 410

FIRST_DELAY: Final = timedelta(seconds=10)
FACTOR: Final = 4
LONGEST_DELAY: Final = timedelta(hours=4)
JITTER: Final = 0.2
"""Each delay is up to this part shorter or longer, so that hooks of one receiver spread out."""

GIVE_UP_AFTER: Final = timedelta(hours=24)
DISABLE_AFTER: Final = timedelta(days=3)
"""A webhook is disabled when nothing but failures came back for this time."""


def delay_after(attempts: int, uniform: Callable[[float, float], float]) -> timedelta:
    """Return the time until the next attempt: 10 s, 40 s, 160 s, … up to 4 hours.

    Args:
        attempts: the number of attempts so far, at least 1.
        uniform: returns a random number between two numbers, as `random.uniform`.
    """
    delay = FIRST_DELAY
    for _ in range(attempts - 1):
        delay = min(delay * FACTOR, LONGEST_DELAY)
        if delay == LONGEST_DELAY:
            break
    return delay * uniform(1 - JITTER, 1 + JITTER)


@dataclass(frozen=True)
class AttemptFacts:
    """What is known when an attempt has ended, by the database's clock.

    Attributes:
        now: the end of the attempt.
        give_up_at: after which the delivery has no further attempt.
        failing_since: first failed attempt of the webhook after its last success.
    """

    now: datetime
    give_up_at: datetime
    failing_since: datetime | None


@dataclass(frozen=True)
class AttemptVerdict:
    """What follows from an attempt.

    Attributes:
        state: of the delivery.
        failing_since: the new value of the webhook.
        disable: why the webhook is disabled; None: it is not.
    """

    state: DeliveryState
    failing_since: datetime | None
    disable: DisabledReason | None = None


def verdict_of(
    facts: AttemptFacts, *, succeeded: bool, status: int | None, delay: timedelta
) -> AttemptVerdict:
    """Return what follows from an attempt.

    Args:
        facts: what is known.
        succeeded: whether the receiver accepted the message.
        status: of the answer; None without one.
        delay: until the next attempt, if one follows.
    """
    if succeeded:
        return AttemptVerdict(DeliveryState.DELIVERED, None)
    since = facts.failing_since or facts.now
    if status == GONE:
        return AttemptVerdict(DeliveryState.FAILED, since, DisabledReason.GONE)
    is_last = facts.now + delay > facts.give_up_at
    state = DeliveryState.FAILED if is_last else DeliveryState.PENDING
    is_lost = facts.now - since > DISABLE_AFTER
    return AttemptVerdict(state, since, DisabledReason.FAILING if is_lost else None)
