"""Queries and writes of workers: one row per slot, with its offer and its last heartbeat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, partial
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy import ColumnElement, Select, and_, delete, func, insert, select, update
from sqlalchemy.orm import Session, load_only, undefer

from app.core.database import database_now
from app.core.ids import new_id
from app.core.plain_text import shown
from app.fleet.errors import WorkerNotFound
from app.fleet.tables import Cordon, Worker, slot_name
from app.fleet.use import MeasuredUse

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
    values = _columns(registration)
    same = update(Worker).where(*_same_slot(registration))
    known = session.scalars(same.values(values).returning(Worker.id)).one_or_none()
    if known is not None:
        return known
    worker_id = new_id("wrk")
    session.execute(insert(Worker).values(id=worker_id, **values))
    return worker_id


def _same_slot(registration: Registration) -> tuple[ColumnElement[bool], ...]:
    return (Worker.node == registration.node, Worker.slot == registration.slot)


def _columns(registration: Registration) -> dict[str, Any]:
    return {
        "node": registration.node,
        "slot": registration.slot,
        "incarnation": registration.incarnation,
        "host": registration.host,
        "queues": list(registration.queues),
        "gpus": registration.gpus,
        "devices": registration.devices,
        "plugins": [plugin.model_dump(mode="json") for plugin in registration.plugins],
        "plugin_names": list(usable_names(registration.plugins)),
        "version": registration.version,
        "use": None,
        "use_means": None,
        "started_at": database_now(),
        "heartbeat_at": database_now(),
        "stopped_at": None,
    }


def usable_names(plugins: Sequence[ReportedPlugin]) -> tuple[str, ...]:
    """Return the names of the plugins that can run jobs."""
    return tuple(plugin.name for plugin in plugins if plugin.error is None)


def record_heartbeat(
    session: Session, worker_id: str, incarnation: str, used: MeasuredUse | None = None
) -> bool:
    """Record a heartbeat of the slot, and what it uses.

    Return False if a newer incarnation has taken the slot, or the slot was forgotten.
    """
    values: dict[str, Any] = {"heartbeat_at": database_now()}
    if used is not None:
        values |= {"use": used.now.model_dump(mode="json"), "use_means": list(used.means)}
    statement = (
        update(Worker)
        .where(Worker.id == worker_id, Worker.incarnation == incarnation)
        .values(values)
        .returning(Worker.id)
    )
    return session.scalars(statement).one_or_none() is not None


def remember_worker(session: Session, worker_id: str, registration: Registration) -> bool:
    """Insert the row of a living slot again that was forgotten while its database was away.

    Return False if a newer incarnation has taken the slot.
    """
    if session.scalars(select(Worker.id).where(*_same_slot(registration))).first() is not None:
        return False
    session.execute(insert(Worker).values(id=worker_id, **_columns(registration)))
    return True


def forget_workers(session: Session, *, after: timedelta, limit: int) -> Sequence[str]:
    """Delete slots that stopped, or fell silent, longer than `after` ago; return their ids.

    A cordoned slot is kept, because its cordon must hold when it returns. Attempts keep the id.
    """
    forgotten = _forgotten(after).order_by(Worker.id).limit(limit)
    statement = delete(Worker).where(Worker.id.in_(forgotten)).returning(Worker.id)
    return session.scalars(statement.execution_options(synchronize_session=False)).all()


def count_forgotten(session: Session, *, after: timedelta) -> int:
    """Return how many slots `forget_workers` would delete in all."""
    return session.scalar(select(func.count()).select_from(_forgotten(after).subquery())) or 0


def _forgotten(after: timedelta) -> Select[str]:
    return select(Worker.id).where(
        Worker.heartbeat_at < database_now(-after), Worker.cordon.is_(None)
    )


def lock_slot(session: Session, worker_id: str) -> Worker | None:
    """Return a registered slot, whose cordon stays as it is until the transaction ends.

    A claim asks it first. A cordon waits for the claims that it finds, and no later one succeeds.
    """
    statement = (
        select(Worker)
        .options(load_only(Worker.host, Worker.slot, Worker.cordon))
        .where(Worker.id == worker_id)
        .with_for_update(read=True)
        .execution_options(populate_existing=True)
    )
    return session.scalars(statement).first()


def takes_work(session: Session, worker_id: str) -> bool:
    """Return whether a slot is not cordoned, which stays so until the transaction ends."""
    slot = lock_slot(session, worker_id)
    return slot is None or slot.cordon is None


def mark_stopped(session: Session, worker_id: str, incarnation: str) -> None:
    """Record that the slot's process is ending, unless a newer incarnation has taken the slot."""
    session.execute(
        update(Worker)
        .where(Worker.id == worker_id, Worker.incarnation == incarnation)
        .values(stopped_at=database_now(), heartbeat_at=database_now())
    )


def all_workers(session: Session) -> Sequence[Worker]:
    """Return every slot that is not forgotten, by node and slot, with its reported plugins."""
    statement = select(Worker).options(undefer(Worker.plugins))
    return session.scalars(statement.order_by(Worker.node, Worker.slot)).all()


def live_workers(session: Session, *, silent: timedelta) -> Sequence[Worker]:
    """Return the slots that have not stopped and whose last heartbeat is newer than `silent`.

    Their `plugins` are not loaded, only `plugin_names`.
    """
    return session.scalars(_live_workers(silent)).all()


@dataclass(frozen=True)
class KnownSlot:
    """A slot that is not forgotten: what it offers, and whether it is live."""

    id: str
    name: str
    queues: Sequence[str]
    gpus: int
    devices: Sequence[Mapping[str, JsonValue]]
    plugin_names: Sequence[str]
    cordon: Cordon | None
    is_live: bool


def known_slots(session: Session, *, silent: timedelta) -> list[KnownSlot]:
    """Return every slot that is not forgotten, by id, with what `all_workers` has more left out.

    Every submit and every status of a waiting job reads them.
    """
    return [
        KnownSlot(row.id, slot_name(row.host, row.slot), *row[3:])
        for row in session.connection().execute(_known_slots(silent))
    ]


def live_ids(session: Session, *, silent: timedelta) -> Sequence[str]:
    """Return the ids of the live slots."""
    return session.scalars(_live_workers(silent).with_only_columns(Worker.id)).all()


def visible_worker(session: Session, worker_id: str) -> Worker:
    """Return one slot, with its reported plugins.

    Raises:
        WorkerNotFound: there is no slot with this id.
    """
    statement = select(Worker).options(undefer(Worker.plugins)).where(Worker.id == worker_id)
    worker = session.scalars(statement).first()
    if worker is None:
        raise WorkerNotFound
    return worker


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


@cache  # building it takes longer than running it
def _known_slots(silent: timedelta) -> Select[*tuple[Any, ...]]:
    offered = (Worker.queues, Worker.gpus, Worker.devices, Worker.plugin_names, Worker.cordon)
    return select(Worker.id, Worker.host, Worker.slot, *offered, _is_live(silent)).order_by(
        Worker.id
    )


@cache  # building it takes longer than running it
def _live_workers(silent: timedelta) -> Select[Worker]:
    return select(Worker).where(_is_live(silent)).order_by(Worker.id)


def _is_live(silent: timedelta) -> ColumnElement[bool]:
    return and_(Worker.stopped_at.is_(None), Worker.heartbeat_at > database_now(-silent))
