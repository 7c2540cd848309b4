"""Errors of quotas."""

from app.core.errors import Forbidden, NotFound, TooManyRequests

WHO_CAN_RAISE = "An administrator of this instance can raise it."


class QueueFull(TooManyRequests):
    """The project or the user has as many waiting jobs as its quota allows."""

    slug, title = "queue-full", "The queue is full"

    def __init__(self, whose: str, limit: int, used: int) -> None:
        super().__init__(
            f"The {whose} has {used} waiting jobs; its quota queued_jobs is {limit}. Wait until "
            f"some have started, or cancel some. {WHO_CAN_RAISE}",
            extra={"quota": "queued_jobs", "of": whose, "limit": limit, "used": used},
        )


class QuotaExceeded(Forbidden):
    """The request needs more bytes or seconds than a quota of the project or the user allows."""

    slug, title = "quota-exceeded", "A quota is used up"

    def __init__(self, quota: str, whose: str, limit: int, used: int) -> None:
        super().__init__(
            f"The quota {quota} of the {whose} is {limit}, and {used} of it are used. "
            f"{WHO_CAN_RAISE}",
            extra={"quota": quota, "of": whose, "limit": limit, "used": used},
        )


class QuotasNotFound(NotFound):
    """There is no such project or user, or the caller may not see its quotas."""

    slug, title = "quotas-not-found", "No such quotas"

    def __init__(self) -> None:
        super().__init__("You see no project or user with this id.")
