"""The JSON models of what has happened to a job: its events and its attempts."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field, JsonValue

from app.events.tables import EventRow, Level
from app.jobs.end_reasons import EndReason
from app.jobs.tables import Attempt


class EventView(BaseModel):
    """One event of the log; `seq` counts from 1 without gaps."""

    seq: int = Field(description="Number of the event.", examples=[41])
    type: str = Field(description="What happened, as noun.verb.", examples=["epoch.finished"])
    level: Level = Field(description="Severity of the event.")
    data: dict[str, JsonValue] = Field(
        description='An event that a person made has `actor`: `{"user": "ada"}`, or '
        '`{"key": "ci-nightly"}` with the label of the key.',
        examples=[{"epoch": 12}],
    )
    created_at: datetime = Field(description="When it happened, by the database's clock.")

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
        default=None,
        exclude_if=lambda name: name is None,
        description="Name of the user.",
        examples=["ada"],
    )
    key: str | None = Field(
        default=None,
        exclude_if=lambda label: label is None,
        description="Label of the key.",
        examples=["ci-nightly"],
    )


class AttemptView(BaseModel):
    """One attempt of a worker to run the job. `exit_code` is negative for a signal."""

    number: int = Field(description="Number of the attempt, from 1.", examples=[1])
    worker: str = Field(
        description="Id of the slot that ran it.", examples=["wrk_01JZ8QD3W5X0A1B2C3D4E5F6G7"]
    )
    worker_name: str | None = Field(
        description="Host and slot at the time, such as gpu-a/0. null: not known.",
        examples=["gpu-a/0"],
    )
    started_at: datetime = Field(description="When it began.")
    ended_at: datetime | None = Field(description="When it ended. null: it runs.")
    first_epoch: int | None = Field(
        description="The first epoch that it trains. null: its trainer has not started.",
        examples=[1],
    )
    last_epoch: int | None = Field(
        description="The last epoch that it finished. null while it runs, or if it finished none.",
        examples=[100],
    )
    end_reason: EndReason | None = Field(description="Why it ended. null: it runs.")
    actor: ActorView | None = Field(
        description="Who ended it, by a pause, a stop or a cancel. null: no person did."
    )
    exit_code: int | None = Field(
        description="Exit status of the trainer. null: it runs, or no trainer was started.",
        examples=[0],
    )
    message: str | None = Field(
        description="What the trainer or the worker said about its end. null: nothing.",
        examples=[None],
    )
    resumed: str = Field(
        description="How it continued: `none` from the beginning, `exact` with the training state, "
        "`plain` with Ultralytics' own resume.",
        examples=["none"],
        json_schema_extra={"enum": ["none", "exact", "plain"]},
    )
    resumed_from: int | None = Field(
        description="The epoch after which it resumed. null: it started from the beginning.",
        examples=[None, 30],
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
