"""Rows of the workers: who is there, what each slot offers, and when it was last heard of."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy import Select, insert, select, update
from sqlalchemy.orm import Session, undefer

from app.core.database import database_now
from app.core.ids import new_id
from app.fleet.tables import Worker

Word = Annotated[str, Field(max_length=100)]


class ReportedPlugin(BaseModel):
    """A trainer plugin that is installed beside a slot, as its own process described it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Word = Field(description="Of its entry point; what jobs say in trainer.name.")
    version: Word = Field(description="Of the package that brings it.")
    tasks: tuple[Word, ...] = Field(default=(), description="What it can train.")
    options_schema: dict[str, JsonValue] = Field(
        default_factory=dict, description="JSON Schema of trainer.options."
    )
    error: Annotated[str, Field(max_length=500)] | None = Field(
        default=None, description="Why it cannot be used; null: it can."
    )


@dataclass(frozen=True)
class KnownPlugin:
    """What all slots together say of a usable plugin: the newest report of a live one counts.

    `versions` are in that order; `slots` counts the live slots that have it.
    """

    name: str
    versions: tuple[str, ...]
    tasks: tuple[str, ...]
    options_schema: dict[str, JsonValue]
    slots: int


@dataclass(frozen=True)
class Registration:
    """What a slot says of itself as its process starts; see the columns of `workers`."""

    node: str
    slot: str
    incarnation: str
    host: str
    queues: tuple[str, ...]
    gpus: int
    version: str
    devices: list[dict[str, JsonValue]] = field(default_factory=list)
    plugins: tuple[ReportedPlugin, ...] = ()


def register_worker(session: Session, registration: Registration) -> str:
    """Write the slot's row for a new incarnation and return the slot's id, which stays its own.

    Two processes never register one slot: the caller holds the slot's lock on its machine.
    """
    values: dict[str, Any] = {
        "incarnation": registration.incarnation,
        "host": registration.host,
        "queues": list(registration.queues),
        "gpus": registration.gpus,
        "devices": registration.devices,
        "plugins": [each.model_dump(mode="json") for each in registration.plugins],
        "plugin_names": list(usable_names(registration.plugins)),
        "version": registration.version,
        "started_at": database_now(),
        "heartbeat_at": database_now(),
        "stopped_at": None,
    }
    same_slot = (Worker.node == registration.node, Worker.slot == registration.slot)
    known = session.scalars(
        update(Worker).where(*same_slot).values(**values).returning(Worker.id)
    ).one_or_none()
    if known is not None:
        return known
    worker_id = new_id("wrk")
    session.execute(
        insert(Worker).values(
            id=worker_id, node=registration.node, slot=registration.slot, **values
        )
    )
    return worker_id


def usable_names(plugins: Sequence[ReportedPlugin]) -> tuple[str, ...]:
    """Return the names of those that jobs can be given to."""
    return tuple(each.name for each in plugins if each.error is None)


def record_heartbeat(session: Session, worker_id: str, incarnation: str) -> bool:
    """Say that the slot's process lives; False where another incarnation has taken the slot."""
    statement = (
        update(Worker)
        .where(Worker.id == worker_id, Worker.incarnation == incarnation)
        .values(heartbeat_at=database_now())
        .returning(Worker.id)
    )
    return session.scalars(statement).one_or_none() is not None


def mark_stopped(session: Session, worker_id: str, incarnation: str) -> None:
    """Say that the slot's process ends now; a later incarnation's row is left alone."""
    session.execute(
        update(Worker)
        .where(Worker.id == worker_id, Worker.incarnation == incarnation)
        .values(stopped_at=database_now(), heartbeat_at=database_now())
    )


def all_workers(session: Session) -> Sequence[Worker]:
    """Return every slot ever seen, by node and slot, with what it said of its plugins."""
    every = select(Worker).options(undefer(Worker.plugins)).order_by(Worker.node, Worker.slot)
    return session.scalars(every).all()


def live_workers(session: Session, *, silent: timedelta) -> Sequence[Worker]:
    """Return the slots whose process has not stopped and was heard of within `silent`.

    Their `plugins` are not read, only `plugin_names`.
    """
    return session.scalars(_live_workers(silent)).all()


def known_plugins(session: Session, *, silent: timedelta) -> dict[str, KnownPlugin]:
    """Return what any slot, there or gone, last said of its usable plugins, by name."""
    live = {row.id for row in live_workers(session, silent=silent)}
    newest_first = sorted(
        all_workers(session), key=lambda row: (row.id in live, row.started_at), reverse=True
    )
    reports: dict[str, list[tuple[ReportedPlugin, bool]]] = {}
    for row in newest_first:
        for plugin in map(ReportedPlugin.model_validate, row.plugins):
            if plugin.error is None:
                reports.setdefault(plugin.name, []).append((plugin, row.id in live))
    return {name: _known(reports[name]) for name in sorted(reports)}


def _known(reports: Sequence[tuple[ReportedPlugin, bool]]) -> KnownPlugin:
    newest = reports[0][0]
    return KnownPlugin(
        name=newest.name,
        versions=tuple(dict.fromkeys(plugin.version for plugin, _ in reports)),
        tasks=newest.tasks,
        options_schema=newest.options_schema,
        slots=sum(is_live for _, is_live in reports),
    )


@cache  # every status of a waiting job asks this, and building it takes longer than running it
def _live_workers(silent: timedelta) -> Select[Worker]:
    return (
        select(Worker)
        .where(Worker.stopped_at.is_(None), Worker.heartbeat_at > database_now(-silent))
        .order_by(Worker.id)
    )
