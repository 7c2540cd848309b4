"""The messages of an event stream, and their schema in the OpenAPI document."""

from enum import StrEnum
from typing import Any, Final

from fastapi.sse import _SSE_EVENT_SCHEMA
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from app.core.declared_headers import declared
from app.datasets.packs.progress import VerificationStep
from app.events.views import DatasetEventView, DatasetState, JobEventView
from app.fleet.tables import Presence


class StreamHello(BaseModel):
    """`hello`: the first message."""

    server: str = Field(description="Version of the server.", examples=["0.5.0"])
    after: str = Field(
        description="The position after which the events of this stream begin.",
        examples=["MTIzNDU"],
    )
    gap: bool = Field(
        description="true: the requested position is unknown or older than what is kept, so "
        "events are missing. Read again what you show."
    )


class StreamRunningJob(BaseModel):
    """The progress of a running job. Epochs and batches count from 1; null: no batch has ended."""

    epoch: int | None = Field(description="The current epoch.", examples=[31])
    epochs: int | None = Field(description="The last epoch as far as is known.", examples=[36])
    batch: int | None = Field(description="Finished batches of the epoch.", examples=[9])
    batches: int | None = Field(description="Batches of an epoch.", examples=[13])
    done: float = Field(description="Finished share of all epochs, from 0 to 1.", examples=[0.8526])
    eta_seconds: float | None = Field(
        description="Seconds to the end of the last epoch; null unless training or validating.",
        examples=[211.5],
    )
    losses: dict[str, float | None] = Field(
        description="Running means of the epoch's losses.",
        examples=[{"box_loss": 1.21, "cls_loss": 0.94, "dfl_loss": 1.07}],
    )
    log_bytes: int = Field(
        description="Size of the log of the running attempt; read on with Range: bytes=<size>-.",
        examples=[48211],
    )


class StreamTick(BaseModel):
    """`tick`: the running jobs that changed since the last tick; at most one a second."""

    jobs: dict[str, StreamRunningJob] = Field(description="By id of the job.", examples=[{}])


class StreamSlot(BaseModel):
    """`fleet`: a slot came, went, took or left a job. Only for callers with `workers:read`."""

    worker: str = Field(description="Id of the slot.", examples=["wrk_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    state: Presence = Field(description="Whether the slot is live.")
    busy: bool = Field(description="Whether it runs a job, also one that you may not see.")
    job: str | None = Field(
        description="The job that it runs, if you may see it.",
        examples=["job_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
    )


class QueueCounts(BaseModel):
    """Jobs of the caller's projects in a queue."""

    queued: int = Field(examples=[4], description="Waiting jobs.")
    running: int = Field(examples=[3], description="Running jobs.")


class StreamQueues(BaseModel):
    """`fleet`: the counts of the queues that changed; at most one a second."""

    queues: dict[str, QueueCounts] = Field(
        description="By name of the queue.", examples=[{"default": {"queued": 4, "running": 3}}]
    )


class StreamVerification(BaseModel):
    """`dataset`: the verification of a version went on; at most one a second."""

    id: str = Field(description="Id of the dataset.", examples=["ds_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    version: str = Field(
        description="Id of the version.", examples=["dsv_01JZ8QD3W5X0A1B2C3D4E5F6G7"]
    )
    state: DatasetState = Field(
        examples=[DatasetState.VALIDATING], description="The state of the version."
    )
    step: VerificationStep | None = Field(description="What is done now; null: it waits.")
    done: float | None = Field(
        description="Share of the step that is done, from 0 to 1.", examples=[0.42]
    )


class ByeReason(StrEnum):
    """Why the server ends a stream. Connect again after a shutdown only."""

    SHUTDOWN = "shutdown"
    SIGNED_OUT = "signed_out"
    REVOKED = "revoked"


class StreamBye(BaseModel):
    """`bye`: the last message of a stream that the server ends."""

    reason: ByeReason = Field(description="Why the stream ends.")


MESSAGES: Final[dict[str, tuple[type[BaseModel], ...]]] = {
    "hello": (StreamHello,),
    "tick": (StreamTick,),
    "event": (JobEventView,),
    "fleet": (StreamSlot, StreamQueues),
    "dataset": (DatasetEventView, StreamVerification),
    "bye": (StreamBye,),
}
"""The models of the data of each message."""


def message_schemas() -> dict[str, Any]:
    """Return the schemas of all models of messages by name, for the OpenAPI document."""
    models = [(model, "serialization") for group in MESSAGES.values() for model in group]
    template = "#/components/schemas/{model}"
    _, document = models_json_schema(models, ref_template=template)  # type: ignore[arg-type] # a list of pairs
    schemas: dict[str, Any] = document["$defs"]
    return schemas


def _schema_of(event: str, models: tuple[type[BaseModel], ...]) -> dict[str, Any]:
    content = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    schema = {"anyOf": content} if len(content) > 1 else content[0]
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}
    properties = {**_SSE_EVENT_SCHEMA["properties"], "data": data, "event": {"const": event}}
    return {"type": "object", "required": ["data", "event"], "properties": properties}


def stream_answer(*events: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entry of a stream of these messages, as FastAPI describes a generator."""
    schemas = [_schema_of(event, MESSAGES[event]) for event in events]
    return {
        200: {
            "description": "Server-sent events until the client leaves or the server says bye. "
            "The first bytes are `retry: 1000`; a comment `: ping` follows every 15 seconds.",
            "content": {"text/event-stream": {"itemSchema": {"anyOf": schemas}}},
            **declared("X-Accel-Buffering"),
        }
    }
