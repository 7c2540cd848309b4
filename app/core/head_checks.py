"""Checks of a request's head, which run before anything else of the request is read or judged.

A dependency that is a `HeadCheck` runs twice: first, before the body, `Accept` and `Content-Type`
are looked at, and later as the dependency that it is. A stranger therefore learns nothing but that
a key is needed, and cannot make the server read or parse a body.
"""

from abc import ABC, abstractmethod

from fastapi.dependencies.models import Dependant
from starlette.requests import Request


class HeadCheck(ABC):
    """A dependency of a route that can refuse a request by its head alone."""

    @abstractmethod
    async def check_head(self, request: Request) -> None:
        """Raise an error to refuse the request. Called by `StrictRoute`; must not read the body."""


def head_checks_of(dependant: Dependant) -> tuple[HeadCheck, ...]:
    """Return the head checks among all dependencies of a route, in the order in which they run."""
    found: dict[HeadCheck, None] = {}
    for each in dependant.dependencies:
        found |= dict.fromkeys(head_checks_of(each))
        call: object = each.call
        if isinstance(call, HeadCheck):
            found[call] = None
    return tuple(found)
