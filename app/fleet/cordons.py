"""Drain, cordon and uncordon slots: which of them take no more jobs.

The database holds it, so it survives restarts of the worker and of servers, and every claim asks.
"""

from typing import Final

from sqlalchemy import select, update

from app.audit.record import Actor, record_change
from app.core.database import Database
from app.fleet.errors import WorkerNotFound
from app.fleet.tables import Cordon, Worker

PAST: Final = {
    Cordon.CORDONED: "worker.cordoned",
    Cordon.DRAINING: "worker.drained",
    None: "worker.uncordoned",
}
"""Each change as the audit log names it."""


def set_cordon(database: Database, actor: Actor, worker_id: str, cordon: Cordon | None) -> None:
    """Set whether a slot takes jobs, and what happens to its running one.

    When it returns, every claim of the slot has ended or will be refused. Repeating it changes
    nothing.

    Raises:
        WorkerNotFound: there is no slot with this id.
    """
    locked = select(Worker).where(Worker.id == worker_id).with_for_update()
    with database.write() as unit:
        worker = unit.session.scalars(locked).first()
        if worker is None:
            raise WorkerNotFound
        if worker.cordon is cordon:
            return
        same = update(Worker).where(Worker.id == worker_id)
        unit.session.execute(same.values(cordon=cordon))
        record_change(
            unit.session,
            actor,
            PAST[cordon],
            target=worker_id,
            details={"host": worker.host, "slot": worker.slot},
        )
