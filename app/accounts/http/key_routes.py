"""`/v1/keys`: API keys, which act for their users within scopes, project and time."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Self

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, Field

from app.accounts import manage_keys as manage
from app.accounts.authentication import Principal, authenticate, needs
from app.accounts.issue_key import IssuedKey
from app.accounts.key_repository import ListedKey, key_page, visible_key
from app.accounts.requests import KeyReport, KeyRequest, RotationRequest
from app.accounts.tables import KeyKind
from app.core.context import InContext
from app.core.declared_headers import declared
from app.core.pages import Cursor, Page, PageSize
from app.core.path_prefix import link
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute

router = APIRouter(
    prefix="/v1/keys",
    tags=["keys"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 422, 503),
)
Caller = Annotated[Principal, Depends(authenticate)]
Reader = Annotated[Principal, Depends(needs("keys:read"))]
Writer = Annotated[Principal, Depends(needs("keys:write"))]
KeyId = Annotated[
    str,
    Path(
        description="Id of the key (key_…), or the last part of its prefix.",
        examples=["key_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
    ),
]
MADE: Final[dict[int | str, dict[str, Any]]] = {201: declared("Location")}
PAGE_KIND: Final = "keys:-created"


class KeyView(BaseModel):
    """A key, without its secret."""

    id: str = Field(description="Id of the key.", examples=["key_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    label: str = Field(description="Its purpose, for people.", examples=["ci-nightly"])
    prefix: str = Field(
        description="The beginning of the key's text, by which people know it.",
        examples=["trainyard_user_3fK9x2Lm7Qa1"],
    )
    kind: KeyKind = Field(description="The kind of caller that it is for.")
    project: str | None = Field(
        description="The one project that it may be used for. null: all of its owner's.",
        examples=[None, "line-4"],
    )
    scopes: list[str] = Field(
        description="What it may be used for.", examples=[["jobs:read", "jobs:write"]]
    )
    owner: str = Field(description="Name of the user for whom it acts.", examples=["ada"])
    created_at: datetime = Field(description="When it was created.")
    last_used_at: datetime | None = Field(description="To the minute. null: never used.")
    expires_at: datetime | None = Field(
        description="When it ends. null: it does not end by itself.",
        examples=[None, "2027-02-28T08:00:00Z"],
    )
    never_expires: bool = Field(
        description="Whether it is valid until it is revoked.", examples=[True]
    )
    revoked_at: datetime | None = Field(
        description="When it was revoked. null: it was not.", examples=[None]
    )
    replaces: str | None = Field(
        description="Id of the key that was rotated.",
        examples=[None, "key_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
    )

    @classmethod
    def of(cls, listed: ListedKey) -> Self:
        """Return the view of a key."""
        return cls(**listed.fields())


class NewKeyView(KeyView):
    """A new key with its text, which is never shown again."""

    key: str = Field(
        description="Send it as Authorization: Bearer <key>.",
        examples=["trainyard_user_3fK9x2Lm7Qa1_…"],
    )

    @classmethod
    def issued(cls, issued: IssuedKey) -> Self:
        """Return the view of a new key."""
        return cls(**issued.listed.fields(), key=issued.text)


class KeyListQuery(BaseModel):
    """The page of a list of keys."""

    cursor: Cursor = None
    limit: PageSize = 50


@router.get("")
def list_keys(
    context: InContext, principal: Reader, query: Annotated[KeyListQuery, Query()]
) -> Page[KeyView]:
    """List your keys, those bound to projects that you administer, or all as an administrator.

    Newest first; ended keys are listed too.
    """
    after = context.cursors.open(PAGE_KIND, query.cursor) if query.cursor else None
    with context.database.read() as unit:
        found = key_page(
            unit.session,
            manage.keys_seen_by(principal),
            after=None if after is None else str(after[0]),
            limit=query.limit + 1,
        )
    return Page.of(
        found,
        query.limit,
        seal=lambda listed: context.cursors.seal(PAGE_KIND, [listed.row.id]),
        view=KeyView.of,
    )


@router.post("", status_code=201, responses=responses_for(413, 415, 507) | MADE)
def create_key(
    body: KeyRequest, response: Response, context: InContext, principal: Writer
) -> NewKeyView:
    """Create a key for yourself. It has at most the scopes, project and time of your credential."""
    return _shown_once(response, manage.create_key(context.database, principal, body))


@router.post("/revoke", status_code=204, responses=responses_for(413, 415, 507))
def revoke_known_key(body: KeyReport, context: InContext, principal: Caller) -> None:
    """Revoke a key by its text, such as one that you found. Any valid key may do this.

    The response is the same for text that is no key.
    """
    manage.revoke_reported_key(context.database, principal.actor(), body.key)


@router.get("/{key_id}", responses=responses_for(404))
def read_key(key_id: KeyId, context: InContext, principal: Reader) -> KeyView:
    """Read one key, by its id or by the last part of its prefix."""
    with context.database.read() as unit:
        return KeyView.of(visible_key(unit.session, manage.keys_seen_by(principal), key_id))


@router.post(
    "/{key_id}/rotate", status_code=201, responses=responses_for(404, 409, 413, 415, 507) | MADE
)
def rotate_key(
    key_id: KeyId,
    body: RotationRequest,
    response: Response,
    context: InContext,
    principal: Writer,
) -> NewKeyView:
    """Replace one of your keys by a new one with the same rights; the old one ends after a while.

    The new key is valid as long as the old one was when it was created.
    """
    overlap = timedelta(seconds=body.overlap_seconds)
    return _shown_once(
        response, manage.rotate_key(context.database, principal, key_id, overlap=overlap)
    )


@router.delete("/{key_id}", status_code=204, responses=responses_for(404, 507))
def revoke_key(key_id: KeyId, context: InContext, principal: Writer) -> None:
    """Revoke a key: yours, one bound to a project that you administer, or any as administrator.

    Every request that begins after the response is refused, on every server.
    """
    manage.revoke_key(context.database, manage.keys_seen_by(principal), principal.actor(), key_id)


def _shown_once(response: Response, issued: IssuedKey) -> NewKeyView:
    response.headers["Location"] = link(f"/v1/keys/{issued.listed.row.id}")
    response.headers["Cache-Control"] = "no-store"
    return NewKeyView.issued(issued)
