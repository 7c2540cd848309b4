"""The rows of the event log as clients see them, by polling and in the stream."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, Field, JsonValue

from app.events.log import LogRow, PositionSeal
from app.events.repository import DATASET_EVENT
from app.events.tables import Level


class DatasetState(StrEnum):
    """The state of a version of a dataset, or that the whole dataset was removed."""

    VALIDATING = "validating"
    READY = "ready"
    INVALID = "invalid"
    REMOVED = "removed"


class JobEventView(BaseModel):
    """An event of a job."""

    job: str = Field(description="Id of the job.", examples=["job_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    project: str = Field(description="Name of the job's project.", examples=["default"])
    seq: int = Field(
        description="Number of the event; counts from 1 within the job.", examples=[41]
    )
    type: str = Field(description="What happened, as noun.verb.", examples=["epoch.finished"])
    level: Level = Field(description="Severity of the event.")
    data: dict[str, JsonValue] = Field(
        description="Details, which depend on the type.", examples=[{"epoch": 12}]
    )
    created_at: datetime = Field(description="When it happened, by the database's clock.")


class DatasetEventView(BaseModel):
    """A state of a version of a dataset."""

    id: str = Field(description="Id of the dataset.", examples=["ds_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    version: str | None = Field(
        description="Id of the version; null if the dataset was removed.",
        examples=["dsv_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
    )
    project: str = Field(description="Name of the dataset's project.", examples=["default"])
    state: DatasetState = Field(
        description="The state of the version from this moment on.", examples=["ready"]
    )
    attempt: int | None = Field(
        description="Number of the verification, if an earlier one of the version broke off.",
        examples=[None, 2],
    )
    created_at: datetime = Field(description="When it happened, by the database's clock.")


class JobEventItem(BaseModel):
    """A row of the log about a job."""

    kind: Literal["event"] = Field(description="Name of the event in the stream.")
    id: str = Field(
        description="Position behind this row, to continue from with `after`.", examples=["MTIzNDU"]
    )
    data: JobEventView = Field(description="The same document as in the stream.")


class DatasetEventItem(BaseModel):
    """A row of the log about a dataset."""

    kind: Literal["dataset"] = Field(description="Name of the event in the stream.")
    id: str = Field(
        description="Position behind this row, to continue from with `after`.", examples=["MTIzNDU"]
    )
    data: DatasetEventView = Field(description="The same document as in the stream.")


EventItem = Annotated[JobEventItem | DatasetEventItem, Field(discriminator="kind")]


class EventPage(BaseModel):
    """Rows of the log in order, and where to continue."""

    data: list[EventItem] = Field(description="Rows of the log, oldest first.")
    next: str = Field(
        description="Position behind everything that was read: the next `after`.",
        examples=["MTIzNDY"],
    )
    has_more: bool = Field(
        description="Whether the log goes on behind `next`; `data` may be empty all the same.",
        examples=[False],
    )
    gap: bool = Field(
        description="true: rows behind `after` may be missing. Read all lists again, then continue "
        "from `next`.",
        examples=[False],
    )


def event_item(row: LogRow, *, project: str, seal: PositionSeal) -> JobEventItem | DatasetEventItem:
    """Return a row as polling answers it; `kind`, `id` and `data` are also those of the stream.

    Args:
        row: of the log.
        project: the name of its project.
        seal: seals the position of the row.
    """
    sealed = seal.seal(row.at)
    if row.job_id is None or row.seq is None:
        return DatasetEventItem(kind="dataset", id=sealed, data=_dataset_view(row, project))
    view = JobEventView(
        job=row.job_id,
        project=project,
        seq=row.seq,
        type=row.type,
        level=row.level,
        data=row.data,
        created_at=row.created_at,
    )
    return JobEventItem(kind="event", id=sealed, data=view)


def _dataset_view(row: LogRow, project: str) -> DatasetEventView:
    attempt = row.data.get("attempt")
    return DatasetEventView(
        id=row.dataset_id or "",
        version=row.version_id,
        project=project,
        state=DatasetState(row.type.removeprefix(DATASET_EVENT)),
        attempt=attempt if isinstance(attempt, int) else None,
        created_at=row.created_at,
    )
