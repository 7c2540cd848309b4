"""Authentication: resolve keys and sessions to principals, and check the scope of a route.

A bearer key comes first; the session cookie counts only without one. Every request looks its
credential up, so that a request that begins after a revocation was answered is refused by every
server.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final

import structlog
from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from app.accounts.browser.attempts import Attempts
from app.accounts.browser.cookies import token_in
from app.accounts.browser.errors import SessionRequired
from app.accounts.browser.origins import SAFE_METHODS, require_own_source
from app.accounts.browser.session_keeper import SessionKeeper
from app.accounts.browser.sessions import holder_of_session
from app.accounts.errors import (
    InsufficientRole,
    InsufficientScope,
    ProjectArchived,
    UnknownProject,
)
from app.accounts.key_uses import KeyUses
from app.accounts.keys import ALL_SCOPES, KeyText, parse_key
from app.accounts.repository import KeyHolder, ProjectRole, holders_of
from app.accounts.tables import MemberRole
from app.audit.record import Actor, acting
from app.core.access_log import client_address
from app.core.database import Database
from app.core.errors import FieldError, Unauthenticated
from app.core.head_checks import HeadCheck
from app.core.shared_reads import BatchedReads

bearer = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", description="An API key of this instance."
)


@dataclass(frozen=True)
class Principal:
    """The caller: the user, the scopes of the credential, and the projects it may be used for.

    Attributes:
        user_id: of the user.
        user_name: of the user.
        is_administrator: whether the caller administers the instance. It gives no access to
            projects that the user is not a member of. A key for one project never does it.
        scopes: what the credential may be used for.
        projects: name, id and role of each project.
        credential: public id of the key, or id of the browser session.
        bound_project_id: the one project that the key may be used for; None for all of the user's.
        expires_at: when the key ends; None for never, and for a browser session.
        session_id: of the browser session; None for a key.
        key_label: the label of the key; None for a browser session.
    """

    user_id: str
    user_name: str
    is_administrator: bool
    scopes: frozenset[str]
    projects: tuple[ProjectRole, ...]
    credential: str
    bound_project_id: str | None = None
    expires_at: datetime | None = None
    session_id: str | None = None
    key_label: str | None = None

    @property
    def event_actor(self) -> dict[str, str]:
        """The caller as events and attempts name it: the label of the key, or else the user."""
        return {"user": self.user_name} if self.key_label is None else {"key": self.key_label}

    @property
    def project_ids(self) -> frozenset[str]:
        """Ids of the caller's projects; every query for this caller is limited to them."""
        return frozenset(project.id for project in self.projects)

    @property
    def project_names(self) -> dict[str, str]:
        """Project names by id."""
        return {project.id: project.name for project in self.projects}

    def project_id(
        self,
        name: str,
        *,
        pointer: str = "/project",
        role: MemberRole = MemberRole.VIEWER,
    ) -> str:
        """Return the id of the project `name`, in which the caller has at least this role.

        Args:
            name: of the project.
            pointer: the field that an error names as wrong.
            role: that the request requires.

        Raises:
            UnknownProject: the caller has no project with this name.
            InsufficientRole, ProjectArchived: as `require_role`.
        """
        for project in self.projects:
            if project.name == name:
                self.require_role(project.id, role)
                return project.id
        message = "You have no project with this name."
        raise UnknownProject(message, errors=[FieldError(pointer, "unknown-project", message)])

    def require_role(self, project_id: str, role: MemberRole) -> None:
        """Refuse a caller whose role in a project of theirs does not include `role`.

        Raises:
            InsufficientRole: the role does not allow it.
            ProjectArchived: the project is archived, where no more than reading is possible.
        """
        found = next((each for each in self.projects if each.id == project_id), None)
        if found is None or not found.role.includes(role):
            raise InsufficientRole(role, project=None if found is None else found.name)
        if found.is_archived and role is not MemberRole.VIEWER:
            raise ProjectArchived(found.name)

    def require_owner_or_admin(self, project_id: str, owner_id: str) -> None:
        """Refuse a caller who may not delete an object of `owner_id` in a project of theirs.

        Members delete what is their own, and admins of the project everything.

        Raises:
            InsufficientRole, ProjectArchived: as `require_role`.
        """
        is_own = owner_id == self.user_id
        self.require_role(project_id, MemberRole.MEMBER if is_own else MemberRole.ADMIN)

    def require_administrator(self) -> None:
        """Refuse a caller who does not administer the instance.

        Raises:
            InsufficientRole: the user is no administrator.
        """
        if not self.is_administrator:
            raise InsufficientRole("administrator")

    def actor(self) -> Actor:
        """Return the caller of the running request as the audit log records it."""
        return Actor(
            user_id=self.user_id,
            user_name=self.user_name,
            credential=self.credential,
            address=client_address.get(),
            request_id=structlog.contextvars.get_contextvars().get("request_id"),
        )


class Authenticator:
    """Resolves the credentials of requests to principals, and notes that they are used.

    Args:
        database: with keys and sessions.
        attempts: counts wrong keys and writing requests.
        uses: notes when keys are used.
        keeper: notes when sessions are used.
        idle: after which an unused session ends.
    """

    def __init__(
        self,
        database: Database,
        attempts: Attempts,
        uses: KeyUses,
        keeper: SessionKeeper,
        *,
        idle: timedelta,
    ) -> None:
        self._database = database
        self._attempts = attempts
        self._uses = uses
        self._keeper = keeper
        self._idle = idle
        self._holders = BatchedReads(self._read_holders)

    async def caller_of(self, request: Request) -> Principal:
        """Return the caller of a request.

        Raises:
            Unauthenticated: there is no credential, or it is malformed, unknown, ended or expired,
                or its user is disabled. The response is the same in all these cases.
            CrossSiteRequest: a page of another site may have sent the session cookie.
            RateLimited: too many wrong keys came from the address, or the caller writes too often.
        """
        if len(request.headers.getlist("authorization")) > 1:
            raise Unauthenticated("Send one header Authorization; a proxy may have judged another.")
        credentials = await bearer(request)
        token = token_in(request)
        if credentials is not None:
            principal = await self._holder_of_key(credentials.credentials)
        elif token is not None:
            require_own_source(request)
            principal = await run_in_threadpool(self._holder_of_session, token)
        else:
            raise Unauthenticated("Send an API key as Authorization: Bearer <key>, or sign in.")
        if request.method not in SAFE_METHODS:
            await run_in_threadpool(self._attempts.write, principal.credential)
        return principal

    def principals_of(
        self, session: Session, keys: Collection[KeyText]
    ) -> Mapping[KeyText, Principal]:
        """Return the callers with those of the keys that are valid, and note their use.

        One statement. Wrong keys are not counted.
        """
        holders = holders_of(session, keys)
        for key in holders:
            self._uses.note(key.public_id)
        return {key: _principal(key, holder) for key, holder in holders.items()}

    async def _holder_of_key(self, text: str) -> Principal:
        key = parse_key(text)
        principal = None if key is None else await self._holders.answer(key)
        if principal is None:
            await run_in_threadpool(self._attempts.wrong_key, client_address.get())
            raise Unauthenticated("Send a valid API key as Authorization: Bearer <key>.")
        return principal

    def _read_holders(self, keys: Collection[KeyText]) -> Mapping[KeyText, Principal]:
        with self._database.read() as unit:
            return self.principals_of(unit.session, keys)

    def _holder_of_session(self, token: str) -> Principal:
        with self._database.read() as unit:
            holder = holder_of_session(unit.session, token, idle=self._idle)
        if holder is None:
            raise Unauthenticated("The session has ended; sign in again.")
        if holder.is_seen_late:
            self._keeper.note(holder.session_id)
        return Principal(
            user_id=holder.user_id,
            user_name=holder.user_name,
            is_administrator=holder.is_administrator,
            scopes=frozenset(ALL_SCOPES),
            projects=holder.projects,
            credential=holder.session_id,
            session_id=holder.session_id,
        )


def _principal(key: KeyText, holder: KeyHolder) -> Principal:
    return Principal(
        user_id=holder.user_id,
        user_name=holder.user_name,
        is_administrator=holder.is_administrator,
        scopes=holder.scopes,
        projects=holder.projects,
        credential=key.public_id,
        bound_project_id=holder.bound_project_id,
        expires_at=holder.expires_at,
        key_label=holder.label,
    )


class _Authenticate(HeadCheck):
    """The dependency `authenticate`."""

    async def __call__(
        self,
        request: Request,
        _: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    ) -> Principal:
        """Return the caller of the request."""
        return await _caller_of(request)

    async def check_head(self, request: Request) -> None:
        """Refuse a request without a valid credential."""
        await _caller_of(request)


authenticate: Final = _Authenticate()
"""Returns the caller of the request, or raises `Unauthenticated`. Every router depends on it."""


async def _caller_of(request: Request) -> Principal:
    """Return the caller; it is looked up once per request."""
    known: Principal | None = getattr(request.state, "principal", None)
    if known is not None:
        return known
    authenticator: Authenticator = request.app.state.authenticator
    principal = await authenticator.caller_of(request)
    request.state.principal = principal
    acting.set(principal.actor())
    return principal


@dataclass(frozen=True)
class ScopeCheck(HeadCheck):
    """A dependency that requires a scope and returns the caller.

    It raises `InsufficientScope` if the key does not have the scope.
    """

    scope: str

    async def __call__(self, principal: Annotated[Principal, Depends(authenticate)]) -> Principal:
        """Return the caller."""
        if self.scope not in principal.scopes:
            raise InsufficientScope(self.scope)
        return principal

    async def check_head(self, request: Request) -> None:
        """Refuse a request whose key does not have the scope."""
        await self(await _caller_of(request))


def needs(scope: str) -> ScopeCheck:
    """Return the dependency of a route that requires `scope`."""
    return ScopeCheck(scope)


async def caller_after_wait(request: Request, scope: str) -> Principal:
    """Look the caller up again, after the request has waited: the key may have been revoked.

    Raises:
        Unauthenticated: the credential is no longer valid.
        InsufficientScope: the key no longer has the scope.
    """
    request.state.principal = None
    return await needs(scope)(await _caller_of(request))


class _SignedIn(HeadCheck):
    """The dependency `signed_in`."""

    async def __call__(self, principal: Annotated[Principal, Depends(authenticate)]) -> Principal:
        """Return the caller."""
        if principal.session_id is None:
            raise SessionRequired
        return principal

    async def check_head(self, request: Request) -> None:
        """Refuse a request with a key."""
        await self(await _caller_of(request))


signed_in: Final = _SignedIn()
"""Returns the caller of a request with a session, or raises `SessionRequired`."""
