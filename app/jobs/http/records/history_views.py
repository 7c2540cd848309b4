"""The JSON models of what has happened to a job: its events and its attempts."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field, JsonValue

from app.events.tables import EventRow, Level
from app.jobs.end_reasons import EndReason
from app.jobs.tables import Attempt


class EventView(BaseModel):
    """One event of the log; `seq` counts from 1 without gaps."""

    seq: int
    type: str
    level: Level
    data: dict[str, JsonValue] = Field(
        description='An event that a person made has `actor`: `{"user": "ada"}`, or '
        '`{"key": "ci-nightly"}` with the label of the key.'
    )
    created_at: datetime

    @classmethod
    def of(cls, row: EventRow) -> Self:
        """Return the view of one row."""
        seq = row.seq or 0  # only events of datasets have none
        return cls(
            seq=seq, type=row.type, level=row.level, data=row.data, created_at=row.created_at
        )


class ActorView(BaseModel):
    """Who did something: a user in the browser, or a key."""

    user: str | None = Field(
        default=None, exclude_if=lambda name: name is None, description="Name of the user."
    )
    key: str | None = Field(
        default=None, exclude_if=lambda label: label is None, description="Label of the key."
    )


class AttemptView(BaseModel):
    """One attempt of a worker to run the job. `exit_code` is negative for a signal."""

    number: int
    worker: str
    worker_name: str | None = Field(
        description="Host and slot at the time, such as gpu-a/0. null: not known."
    )
    started_at: datetime
    ended_at: datetime | None
    first_epoch: int | None = Field(
        description="The first epoch that it trains. null: its trainer has not started."
    )
    last_epoch: int | None = Field(
        description="The last epoch that it finished. null while it runs, or if it finished none."
    )
    end_reason: EndReason | None
    actor: ActorView | None = Field(
        description="Who ended it, by a pause, a stop or a cancel. null: no person did."
    )
    exit_code: int | None
    message: str | None
    resumed: str
    resumed_from: int | None = Field(
        description="The epoch after which it resumed. null: it started from the beginning."
    )

    @classmethod
    def of(cls, row: Attempt) -> Self:
        """Return the view of one row."""
        return cls(
            number=row.number,
            worker=row.worker_id,
            worker_name=row.worker_name,
            started_at=row.started_at,
            ended_at=row.ended_at,
            first_epoch=row.first_epoch,
            last_epoch=row.last_epoch,
            end_reason=row.end_reason,
            actor=None if row.actor is None else ActorView(**row.actor),
            exit_code=row.exit_code,
            message=row.message,
            resumed=row.resumed,
            resumed_from=row.resumed_from,
        )
