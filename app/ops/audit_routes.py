"""`/v1/audit`: the audit log, for administrators."""

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from app.accounts.authentication import Principal, authenticate, needs
from app.audit.repository import records_before
from app.audit.tables import AuditRecord
from app.core.context import InContext
from app.core.pages import Cursor, Page, PageSize
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute

router = APIRouter(
    prefix="/v1/audit",
    tags=["audit"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 422, 503),
)
Reader = Annotated[Principal, Depends(needs("audit:read"))]
LIST: Final = "audit:id"


class AuditRecordView(BaseModel):
    """A change, a sign-in or a change of credentials, as it was when it happened."""

    id: str = Field(
        description="Id of the record; ids grow with time.",
        examples=["aud_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
    )
    happened_at: datetime = Field(description="When it happened.")
    action: str = Field(description="What happened, as noun.verb.", examples=["key.created"])
    target: str = Field(
        description="Id or name of what was changed.", examples=["key_01JZ8QD3W5X0A1B2C3D4E5F6G7"]
    )
    project_id: str | None = Field(
        description="Project of the target; null: of no project.",
        examples=["prj_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
    )
    user_id: str | None = Field(
        description="Who did it; null: a command on the server's machine.",
        examples=["usr_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
    )
    user_name: str | None = Field(description="Name of the user at that time.", examples=["ada"])
    credential: str = Field(
        description="Public id of the key, id of the session, or `command`.",
        examples=["key_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
    )
    address: str | None = Field(
        description="Network address of the client.", examples=["192.0.2.7"]
    )
    request_id: str | None = Field(
        description="Id of the request, as in the logs.",
        examples=["req_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
    )
    details: dict[str, str | int | bool | None] = Field(
        description="Further facts.", examples=[{"label": "ci-nightly"}]
    )
    position: int | None = Field(
        description="Position in the chain of hashes; null: not yet.", examples=[1207]
    )
    sha256: str | None = Field(
        description="Hash of this record and of the one before it.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )

    @classmethod
    def of(cls, record: AuditRecord) -> "AuditRecordView":
        """Return the view of a record."""
        fields = {name: getattr(record, name) for name in cls.model_fields if name != "sha256"}
        return cls(**fields, sha256=record.sha256.hex() if record.sha256 else None)


class AuditQuery(BaseModel):
    """Filter and page of the audit log."""

    project_id: str | None = Field(
        default=None,
        max_length=40,
        pattern="^[0-9A-Za-z_]+$",  # PostgreSQL refuses text with a NUL
        description="Id of a project; only its records.",
    )
    cursor: Cursor = None
    limit: PageSize = 50


@router.get("")
def list_audit_records(
    context: InContext, principal: Reader, query: Annotated[AuditQuery, Query()]
) -> Page[AuditRecordView]:
    """List what was changed and who did it, newest first. Administrators only."""
    principal.require_administrator()
    after = context.cursors.open(LIST, query.cursor) if query.cursor else None
    with context.database.read() as unit:
        records = records_before(
            unit.session,
            None if after is None else str(after[0]),
            project_id=query.project_id,
            limit=query.limit + 1,
        )
    return Page.of(
        records,
        query.limit,
        seal=lambda record: context.cursors.seal(LIST, [record.id]),
        view=AuditRecordView.of,
    )
