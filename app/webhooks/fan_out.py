"""Turns events of the log into deliveries, each event once for each webhook that asks for it.

One cursor for all webhooks moves in the transaction that inserts the deliveries. One server reads
at a time; the others find the cursor's row locked and leave it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydantic import JsonValue
from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from app.accounts.tables import Project
from app.core.crash_points import CrashPoint, crash_point
from app.core.database import Database
from app.datasets.tables import Dataset
from app.events.log import LogPosition, LogRow, newest_sealed, read_log
from app.jobs.tables import Job
from app.webhooks.bodies import body_of
from app.webhooks.deliveries import insert_deliveries, new_delivery
from app.webhooks.event_types import is_chosen
from app.webhooks.tables import Webhook, WebhookCursor, WebhookState

ROWS_AT_ONCE: Final = 100
"""With 20 webhooks and bodies of 20 KiB, at most 40 MiB in one transaction."""


@dataclass(frozen=True)
class Names:
    """Names by id, for the bodies."""

    projects: dict[str, str]
    jobs: dict[str, str]
    datasets: dict[str, str]


def fan_out(database: Database, *, path_prefix: str = "") -> bool:
    """Insert the deliveries of the next events of the log.

    Args:
        database: with the log.
        path_prefix: begins the paths in the bodies.

    Returns:
        Whether the log has more to read now.
    """
    with database.read() as unit:
        if not _has_news(unit.session):
            return False
    with database.write() as unit:
        return _read_on(unit.session, path_prefix)


def _has_news(session: Session) -> bool:
    """Return whether the log may have events for an enabled webhook."""
    first = _first_position(session)
    if first is None:
        return False
    cursor = session.scalars(select(WebhookCursor)).one()
    newest = newest_sealed(session)
    is_same = cursor.generation in {"", newest.generation}
    return not is_same or newest > max(_position(cursor), first)


def _read_on(session: Session, path_prefix: str) -> bool:
    statement = select(WebhookCursor).with_for_update(skip_locked=True)
    cursor, first = session.scalars(statement).one_or_none(), _first_position(session)
    if cursor is None or first is None:
        return False
    # The positions of webhooks are of the log that the cursor was in.
    first = replace(first, generation=cursor.generation)
    page = read_log(session, max(_position(cursor), first), project_ids=None, limit=ROWS_AT_ONCE)
    if page.gap:
        _skip_to(session, page.sealed_to)
    else:
        _insert_chosen(session, page.rows, path_prefix)
    reached = page.sealed_to
    moved = update(WebhookCursor).values(
        generation=reached.generation,
        log_transaction=reached.transaction_id,
        log_position=reached.position,
    )
    session.execute(moved)
    crash_point(CrashPoint.DELIVERIES_BEFORE_COMMIT)
    return page.has_more


def _first_position(session: Session) -> LogPosition | None:
    """Return up to where no enabled webhook wants events; None if no webhook is enabled."""
    columns = (Webhook.after_transaction, Webhook.after_position)
    enabled = select(*columns).where(Webhook.state == WebhookState.ENABLED)
    found = session.execute(enabled.order_by(*columns).limit(1)).first()
    return None if found is None else LogPosition(*found)


def _position(cursor: WebhookCursor) -> LogPosition:
    return LogPosition(cursor.log_transaction, cursor.log_position, cursor.generation)


def _skip_to(session: Session, at: LogPosition) -> None:
    """Begin again behind `at`: the database was restored, and its log is another one."""
    values = {"after_transaction": at.transaction_id, "after_position": at.position}
    session.execute(update(Webhook).values(values))


def _insert_chosen(session: Session, rows: Sequence[LogRow], path_prefix: str) -> None:
    by_project = _enabled_webhooks(session, {row.project_id for row in rows})
    pairs = [
        (row, hook)
        for row in rows
        for hook in by_project.get(row.project_id, ())
        if row.at > LogPosition(hook.after_transaction, hook.after_position)
        and is_chosen(row.type, hook.events)
    ]
    if not pairs:
        return
    chosen = {row.at: row for row, _ in pairs}
    names = _names_in(session, chosen.values())
    bodies = {at: _body(row, names, path_prefix) for at, row in chosen.items()}
    values = [
        new_delivery(hook.id, row.type, bodies[row.at], at=(row.at.transaction_id, row.at.position))
        for row, hook in pairs
    ]
    insert_deliveries(session, values)


def _enabled_webhooks(session: Session, project_ids: Collection[str]) -> dict[str, list[Webhook]]:
    """Return the enabled webhooks by project; they are not deleted before this transaction ends."""
    statement = (
        select(Webhook)
        .where(Webhook.project_id.in_(project_ids), Webhook.state == WebhookState.ENABLED)
        .order_by(Webhook.id)
        .with_for_update(read=True, key_share=True)
    )
    found: dict[str, list[Webhook]] = {}
    for hook in session.scalars(statement) if project_ids else ():
        found.setdefault(hook.project_id, []).append(hook)
    return found


def _names_in(session: Session, rows: Collection[LogRow]) -> Names:
    projects = {row.project_id for row in rows}
    jobs = {row.job_id for row in rows if row.job_id}
    datasets = {row.dataset_id for row in rows if row.dataset_id}
    of_project = select(Project.id, Project.name).where(Project.id.in_(projects))
    of_job = select(Job.id, Job.name).where(Job.id.in_(jobs))
    of_dataset = select(Dataset.id, Dataset.name).where(Dataset.id.in_(datasets))
    return Names(
        projects=_by_id(session, of_project),
        jobs=_by_id(session, of_job) if jobs else {},
        datasets=_by_id(session, of_dataset) if datasets else {},
    )


def _by_id(session: Session, statement: Select[str, str]) -> dict[str, str]:
    return {found[0]: found[1] for found in session.execute(statement)}


def _body(row: LogRow, names: Names, path_prefix: str) -> str:
    about = {
        "project": names.projects.get(row.project_id),
        "level": row.level.value,
        **_job_of(row, names, path_prefix),
        **_dataset_of(row, names, path_prefix),
    }
    return body_of(row.type, row.created_at, about, details=row.data)


def _job_of(row: LogRow, names: Names, path_prefix: str) -> dict[str, JsonValue]:
    if row.job_id is None:
        return {}
    path = f"{path_prefix}/v1/jobs/{row.job_id}"
    return {
        "job": {"id": row.job_id, "name": names.jobs.get(row.job_id), "path": path},
        "seq": row.seq,
    }


def _dataset_of(row: LogRow, names: Names, path_prefix: str) -> dict[str, JsonValue]:
    if row.dataset_id is None:
        return {}
    name, path = names.datasets.get(row.dataset_id), f"{path_prefix}/v1/datasets/{row.dataset_id}"
    return {
        "dataset": {"id": row.dataset_id, "name": name, "version": row.version_id, "path": path}
    }
