"""Authentication: resolve bearer keys to principals and check the scope that a route needs."""

import hmac
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.accounts.errors import InsufficientScope, UnknownProject
from app.accounts.keys import KeyText, parse_key
from app.accounts.repository import KeyHolder, holder_of
from app.core.database import Database
from app.core.errors import FieldError, Unauthenticated

CACHE_SECONDS: Final = 5.0
CACHE_ENTRIES: Final = 10_000
bearer = HTTPBearer(auto_error=False, description="An API key of this instance.")


@dataclass(frozen=True)
class Principal:
    """The caller: the user, the scopes of the key, and the user's projects as (name, id)."""

    user_id: str
    scopes: frozenset[str]
    projects: tuple[tuple[str, str], ...]

    @property
    def project_ids(self) -> frozenset[str]:
        """Ids of the caller's projects; every query for this caller is limited to them."""
        return frozenset(project_id for _, project_id in self.projects)

    @property
    def project_names(self) -> dict[str, str]:
        """Project names by id."""
        return {project_id: name for name, project_id in self.projects}

    def project_id(self, name: str, *, pointer: str = "/project") -> str:
        """Return the id of the project `name`; an error names `pointer` as the wrong field.

        Raises:
            UnknownProject: the caller has no project with this name.
        """
        for known, project_id in self.projects:
            if known == name:
                return project_id
        message = "You have no project with this name."
        raise UnknownProject(message, errors=[FieldError(pointer, "unknown-project", message)])


class Authenticator:
    """Resolves bearer keys to principals and caches each result for `CACHE_SECONDS`.

    A revoked or expired key may therefore still be accepted for up to that time.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, tuple[float, KeyHolder]] = {}
        self._lock = threading.Lock()

    async def principal_for(self, text: str) -> Principal:
        """Return the principal of the key `text`.

        Raises:
            Unauthenticated: the key is malformed, unknown, revoked or expired. The response is the
                same in all these cases.
        """
        key = parse_key(text)
        holder = self._remembered(key) if key else None
        if key and holder is None:
            holder = await run_in_threadpool(self._look_up, key)
        if key is None or holder is None:
            raise Unauthenticated("Send a valid API key as Authorization: Bearer <key>.")
        if not hmac.compare_digest(holder.secret_sha256, key.secret_sha256):
            raise Unauthenticated("Send a valid API key as Authorization: Bearer <key>.")
        return Principal(holder.user_id, holder.scopes, holder.projects)

    def _remembered(self, key: KeyText) -> KeyHolder | None:
        until, holder = self._known.get(key.public_id, (0.0, None))
        return holder if until > time.monotonic() else None

    def _look_up(self, key: KeyText) -> KeyHolder | None:
        with self._database.read() as unit:
            holder = holder_of(unit.session, key.public_id)
        if holder is not None:
            with self._lock:
                if len(self._known) >= CACHE_ENTRIES:
                    self._known.clear()
                self._known[key.public_id] = (time.monotonic() + CACHE_SECONDS, holder)
        return holder


async def authenticate(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Principal:
    """Return the caller of the request. Every router under `/v1` depends on this.

    Raises:
        Unauthenticated: the request has no valid key.
    """
    if credentials is None:
        raise Unauthenticated("Send an API key as Authorization: Bearer <key>.")
    authenticator: Authenticator = request.app.state.authenticator
    return await authenticator.principal_for(credentials.credentials)


def needs(scope: str) -> Callable[[Principal], Coroutine[Any, Any, Principal]]:
    """Return a dependency that requires `scope` and returns the caller.

    The dependency raises `InsufficientScope` if the key does not have the scope.
    """

    async def with_scope(principal: Annotated[Principal, Depends(authenticate)]) -> Principal:
        if scope not in principal.scopes:
            raise InsufficientScope(scope)
        return principal

    return with_scope
