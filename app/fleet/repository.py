"""Rows of the workers: who is there, what each slot offers, and when it was last heard of."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Select, insert, select, update
from sqlalchemy.orm import Session

from app.core.database import database_now
from app.core.ids import new_id
from app.fleet.tables import Worker


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
    plugins: tuple[str, ...] = ()


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
        "plugins": list(registration.plugins),
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
    """Return every slot ever seen, by node and slot."""
    return session.scalars(select(Worker).order_by(Worker.node, Worker.slot)).all()


def live_workers(session: Session, *, silent: timedelta) -> Sequence[Worker]:
    """Return the slots whose process has not stopped and was heard of within `silent`."""
    return session.scalars(_live_workers(silent)).all()


@cache  # every status of a waiting job asks this, and building it takes longer than running it
def _live_workers(silent: timedelta) -> Select[Worker]:
    return (
        select(Worker)
        .where(Worker.stopped_at.is_(None), Worker.heartbeat_at > database_now(-silent))
        .order_by(Worker.id)
    )
