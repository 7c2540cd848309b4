"""Queries and writes of workers: one row per slot, with its offer and its last heartbeat."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, partial
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy import Select, insert, select, update
from sqlalchemy.orm import Session, undefer

from app.core.database import database_now
from app.core.ids import new_id
from app.core.plain_text import shown
from app.fleet.tables import Worker

Word = Annotated[str, Field(max_length=100), AfterValidator(partial(shown, limit=100))]
"""Text of an installed package: what people cannot see is escaped."""

_shown_error = partial(shown, limit=500)


class ReportedPlugin(BaseModel):
    """A trainer plugin that is installed for a slot, as the slot's process reported it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Word = Field(description="Name of its entry point; jobs give it as trainer.name.")
    version: Word = Field(description="Version of the package that provides it.")
    tasks: tuple[Word, ...] = Field(default=(), description="Tasks that it can train.")
    options_schema: dict[str, JsonValue] = Field(
        default_factory=dict, description="JSON Schema of trainer.options."
    )
    error: Annotated[str, Field(max_length=500), AfterValidator(_shown_error)] | None = Field(
        default=None, description="Reason why it cannot be used; null if it can."
    )


@dataclass(frozen=True)
class KnownPlugin:
    """A usable plugin, combined from the reports of all slots.

    `tasks` and `options_schema` are those of the first report; reports of live slots come first,
    newer before older ones. `versions` have the same order. `slots` is the number of live slots
    that have the plugin.
    """

    name: str
    versions: tuple[str, ...]
    tasks: tuple[str, ...]
    options_schema: dict[str, JsonValue]
    slots: int


@dataclass(frozen=True)
class Registration:
    """The description of a slot that its process reports at its start; see the table `workers`."""

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
    """Insert or update the slot's row for a new incarnation; return the slot's permanent id.

    Two processes never register the same slot: the caller holds the slot's lock on its machine.
    """
    values: dict[str, Any] = {
        "incarnation": registration.incarnation,
        "host": registration.host,
        "queues": list(registration.queues),
        "gpus": registration.gpus,
        "devices": registration.devices,
        "plugins": [plugin.model_dump(mode="json") for plugin in registration.plugins],
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
    """Return the names of the plugins that can run jobs."""
    return tuple(plugin.name for plugin in plugins if plugin.error is None)


def record_heartbeat(session: Session, worker_id: str, incarnation: str) -> bool:
    """Record a heartbeat of the slot. Return False if a newer incarnation has taken the slot."""
    statement = (
        update(Worker)
        .where(Worker.id == worker_id, Worker.incarnation == incarnation)
        .values(heartbeat_at=database_now())
        .returning(Worker.id)
    )
    return session.scalars(statement).one_or_none() is not None


def mark_stopped(session: Session, worker_id: str, incarnation: str) -> None:
    """Record that the slot's process is ending, unless a newer incarnation has taken the slot."""
    session.execute(
        update(Worker)
        .where(Worker.id == worker_id, Worker.incarnation == incarnation)
        .values(stopped_at=database_now(), heartbeat_at=database_now())
    )


def all_workers(session: Session) -> Sequence[Worker]:
    """Return every slot that ever registered, by node and slot, with its reported plugins."""
    statement = select(Worker).options(undefer(Worker.plugins))
    return session.scalars(statement.order_by(Worker.node, Worker.slot)).all()


def live_workers(session: Session, *, silent: timedelta) -> Sequence[Worker]:
    """Return the slots that have not stopped and whose last heartbeat is newer than `silent`.

    Their `plugins` are not loaded, only `plugin_names`.
    """
    return session.scalars(_live_workers(silent)).all()


def known_plugins(session: Session, *, silent: timedelta) -> dict[str, KnownPlugin]:
    """Return the usable plugins that any slot has reported, live or not, by name."""
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


@cache  # every status of a waiting job runs this, and building it takes longer than running it
def _live_workers(silent: timedelta) -> Select[Worker]:
    return (
        select(Worker)
        .where(Worker.stopped_at.is_(None), Worker.heartbeat_at > database_now(-silent))
        .order_by(Worker.id)
    )
