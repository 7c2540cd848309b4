"""Slots as rows, for tests of what they may take."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from sqlalchemy import update

from app.core.database import Database, database_now
from app.core.ids import new_id
from app.fleet.repository import Registration, ReportedPlugin, register_worker
from app.fleet.tables import Cordon, Worker


def a_slot(
    database: Database,
    slot: str = "cpu",
    *,
    queues: tuple[str, ...] = ("default",),
    gpus: int = 0,
    plugins: tuple[str, ...] = (),
    cordon: Cordon | None = None,
) -> str:
    """Register a live slot; return its id."""
    registration = Registration(
        node="nod_1",
        slot=slot,
        incarnation=new_id("inc"),
        host="here (pid 7)",
        queues=queues,
        gpus=gpus,
        version="0.5.0",
        plugins=tuple(ReportedPlugin(name=name, version="1") for name in plugins),
    )
    with database.write() as unit:
        worker_id = register_worker(unit.session, registration)
    if cordon is not None:
        change_slot(database, worker_id, cordon=cordon)
    return worker_id


def change_slot(database: Database, worker_id: str, **columns: object) -> None:
    """Change columns of a slot, as an earlier request or its process did."""
    with database.write() as unit:
        unit.session.execute(update(Worker).where(Worker.id == worker_id).values(**columns))


def silence(database: Database, worker_id: str, *, days: float) -> None:
    """Let the last heartbeat of a slot be long ago."""
    change_slot(database, worker_id, heartbeat_at=database_now(-timedelta(days=days)))


def _path_to(action: str, before: Cordon | None) -> Callable[[Database], str]:
    return lambda database: f"/v1/workers/{a_slot(database, cordon=before)}/{action}"


SLOT_PATHS: Final = {
    ("POST", f"/v1/workers/{{worker_id}}/{action}"): _path_to(action, before)
    for action, before in (("drain", None), ("cordon", None), ("uncordon", Cordon.CORDONED))
}
"""Each route that changes a slot, and what makes a slot to change and returns the path to it."""
