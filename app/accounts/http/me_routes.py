"""`/v1/me`: the caller, their preferences, their password, and their browser sessions."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request

from app.accounts.authentication import Principal, authenticate, signed_in
from app.accounts.browser.sessions import sessions_of
from app.accounts.browser.sign_in import PasswordChange, change_password, end_session
from app.accounts.browser.users import change_preferences, user_with_id
from app.accounts.http.session_routes import attempts_of
from app.accounts.http.views import Me, MeChange, OwnPasswordRequest, SessionView
from app.core.context import InContext
from app.core.errors import NotFound
from app.core.pages import WholeList
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute

router = APIRouter(
    prefix="/v1/me",
    tags=["sessions"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 422, 429, 503),
)
Caller = Annotated[Principal, Depends(authenticate)]
SignedInUser = Annotated[Principal, Depends(signed_in)]


@router.get("")
def read_me(context: InContext, principal: Caller) -> Me:
    """Return the caller: name, role, projects and preferences. Every key may do this."""
    with context.database.read() as unit:
        return Me.of(user_with_id(unit.session, principal.user_id), principal)


@router.patch("", responses=responses_for(413, 415))
def change_me(change: MeChange, context: InContext, principal: SignedInUser) -> Me:
    """Change the caller's preferences. Requires a browser session."""
    if change.theme is None and change.keys is None:
        return read_me(context, principal)
    with context.database.write() as unit:
        user = change_preferences(
            unit.session, principal.user_id, theme=change.theme, shortcuts=change.keys
        )
        return Me.of(user, principal)


@router.put("/password", status_code=204, responses=responses_for(413, 415, 422, 507))
def change_my_password(
    body: OwnPasswordRequest, request: Request, context: InContext, principal: SignedInUser
) -> None:
    """Change the caller's password, and end their other sessions. Requires a browser session."""
    current = body.current_password
    change = PasswordChange(
        user_id=principal.user_id,
        current=None if current is None else current.get_secret_value(),
        new=body.password.get_secret_value(),
    )
    change_password(context.database, attempts_of(request), principal.actor(), change)


@router.get("/sessions")
def list_my_sessions(context: InContext, principal: SignedInUser) -> WholeList[SessionView]:
    """List the browser sessions of the user, newest first. Requires a browser session."""
    idle = context.settings.accounts.session_idle
    with context.database.read() as unit:
        rows = sessions_of(unit.session, principal.user_id, idle=idle)
    data = [SessionView.of(row, principal.session_id) for row in rows]
    return WholeList(data=data)


@router.delete("/sessions/{session_id}", status_code=204, responses=responses_for(404, 422))
def delete_my_session(
    session_id: Annotated[str, Path(max_length=40, description="Id of the session.")],
    context: InContext,
    principal: SignedInUser,
) -> None:
    """End a browser session of the user, on every server. Requires a browser session."""
    if not end_session(context.database, principal.actor(), principal.user_id, session_id):
        raise NotFound("You have no session with this id.")
