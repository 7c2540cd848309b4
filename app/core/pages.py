"""Pages of lists, with cursors: positions in the list, sealed so that clients cannot forge them."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from app.core.errors import BadRequest

MAX_PAGE = 200
SEAL_BYTES = 12
SHOWN_CLASSES = 20
"""The class names that a row of a list shows; a route of its own has all of them."""

Row = TypeVar("Row")
Item = TypeVar("Item")
PageSize = Annotated[
    int, Query(ge=1, le=MAX_PAGE, description="Maximum number of items to return.")
]
Cursor = Annotated[
    str | None,
    Query(max_length=2000, description="`next` of the page before. Default: the first page."),
]


class BadCursor(BadRequest):
    """The cursor does not come from this server, or belongs to another list or order."""

    slug, title = "bad-cursor", "Unknown cursor"


def _add_description(schema: dict[str, Any]) -> None:
    """Describe a page of any item; a page with further fields has a description of its own."""
    schema.setdefault("description", Page.__doc__)


def _describe_list(schema: dict[str, Any]) -> None:
    """Describe a whole list of any item, whose fields are always there."""
    schema["description"] = WholeList.__doc__
    schema["required"] = list(schema["properties"])
    for field in schema["properties"].values():
        field.pop("default", None)


class Page(BaseModel, Generic[Item]):
    """One page of a list; `next` is the cursor of the next page."""

    model_config = ConfigDict(json_schema_extra=_add_description)

    data: list[Item] = Field(description="The items of this page.")
    next: str | None = Field(
        description="Cursor of the next page; send it as `cursor`. null: this is the last page.",
        examples=[None],
    )
    has_more: bool = Field(description="Whether more items follow.", examples=[False])

    @classmethod
    def of(
        cls,
        rows: Sequence[Row],
        limit: int,
        *,
        seal: Callable[[Row], str],
        view: Callable[[Row], Item],
    ) -> "Page[Item]":
        """Return the page of the first `limit` rows.

        Args:
            rows: up to `limit` + 1 rows in order; the additional one shows that there are more.
            limit: the maximum number of rows in a page.
            seal: returns the cursor for the rows after a given row.
            view: converts a row to an item of the response.
        """
        shown, has_more = rows[:limit], len(rows) > limit
        return Page(
            data=[view(row) for row in shown],
            next=seal(shown[-1]) if has_more else None,
            has_more=has_more,
        )


class WholeList(BaseModel, Generic[Item]):
    """A list that is always whole: it has no pages, so there is no cursor to ask for the next."""

    model_config = ConfigDict(json_schema_extra=_describe_list)

    data: list[Item] = Field(description="All items.")
    next: None = Field(
        default=None, description="Always null, as on the last page of a list.", examples=[None]
    )
    has_more: Literal[False] = Field(
        default=False, description="Always false, as on the last page of a list."
    )


class CursorSeal:
    """Seals and opens cursors: the position of a row, with a keyed hash of position and list."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def seal(self, kind: str, position: list[str | float | None]) -> str:
        """Return the cursor for `position`; `kind` identifies the list and its order."""
        body = json.dumps(position, separators=(",", ":"), allow_nan=False).encode()
        return base64.urlsafe_b64encode(self._mark(kind, body) + body).decode().rstrip("=")

    def open(self, kind: str, cursor: str) -> list[str | float | None]:
        """Return the position in a cursor.

        Raises:
            BadCursor: no server of this instance made the cursor, or it is for another list.
        """
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        except ValueError:
            raise BadCursor("The cursor does not come from this server.") from None
        mark, body = raw[:SEAL_BYTES], raw[SEAL_BYTES:]
        if not hmac.compare_digest(mark, self._mark(kind, body)):
            raise BadCursor("The cursor does not come from this server, or is for another list.")
        position: list[str | float | None] = json.loads(body)
        return position

    def _mark(self, kind: str, body: bytes) -> bytes:
        message = kind.encode() + b"\0" + body
        return hmac.new(self._secret, message, hashlib.sha256).digest()[:SEAL_BYTES]
