"""Which stored objects are damaged, and how far the servers have come with looking for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import case, delete, or_, select, update
from sqlalchemy.orm import Session

from app.artifacts.tables import DamagedObject, ScrubPass
from app.core.database import database_now, upsert

MOST_LISTED: Final = 10_000
ROW: Final = 1


@dataclass(frozen=True)
class HeldPass:
    """A pass that this server may go on with: the last digest that was hashed."""

    after: str
    objects: int


def record_damage(session: Session, news: Mapping[str, bool]) -> None:
    """Record which objects are damaged (False) and which are whole again (True), by digest."""
    rows = [
        {"sha256": sha256, "noticed_at": database_now()}
        for sha256, is_whole in sorted(news.items())
        if not is_whole
    ]
    if rows:
        kept = {"noticed_at": DamagedObject.noticed_at}
        session.execute(
            upsert(session, DamagedObject, rows, key=("sha256",), update=lambda _: kept)
        )
    forget_damage(session, [sha256 for sha256, is_whole in news.items() if is_whole])


def forget_damage(session: Session, digests: list[str]) -> None:
    """Forget the damage of objects that are whole again, or gone."""
    if digests:
        session.execute(delete(DamagedObject).where(DamagedObject.sha256.in_(digests)))


def damaged_digests(session: Session) -> list[str]:
    """Return the digests of damaged objects, those noticed first before the others."""
    statement = select(DamagedObject.sha256).order_by(DamagedObject.noticed_at)
    return list(session.scalars(statement.limit(MOST_LISTED)))


def hold_pass(
    session: Session, holder: str, *, period: timedelta, length: timedelta
) -> HeldPass | None:
    """Begin a pass that is due, or go on with the current one, for `length`.

    Return None if no pass is due, or if another server holds it.
    """
    now = database_now()
    first = {
        "id": ROW,
        "holder": holder,
        "held_until": database_now(length),
        "started_at": now,
        "after": "",
        "objects": 0,
    }
    session.execute(
        upsert(session, ScrubPass, [first], key=("id",), update=lambda new: {"id": new.id})
    )
    is_due = ScrubPass.started_at <= database_now(-period)
    is_next = (ScrubPass.finished_at >= ScrubPass.started_at) & is_due
    is_unfinished = ScrubPass.finished_at.is_(None) | (ScrubPass.finished_at < ScrubPass.started_at)
    held = session.execute(
        update(ScrubPass)
        .where(
            ScrubPass.id == ROW,
            or_(ScrubPass.holder == holder, ScrubPass.held_until < now),
            is_unfinished | is_due,
        )
        .values(
            holder=holder,
            held_until=database_now(length),
            started_at=case((is_next, now), else_=ScrubPass.started_at),
            after=case((is_next, ""), else_=ScrubPass.after),
            objects=case((is_next, 0), else_=ScrubPass.objects),
        )
        .returning(ScrubPass.after, ScrubPass.objects)
    ).one_or_none()
    return None if held is None else HeldPass(*held)


def note_progress(
    session: Session, holder: str, reached: HeldPass, *, length: timedelta, is_end: bool
) -> bool:
    """Note how far a pass has come; return False if another server has taken it over."""
    values = {
        "after": reached.after,
        "objects": reached.objects,
        "held_until": database_now(length),
        **({"finished_at": database_now()} if is_end else {}),
    }
    statement = update(ScrubPass).where(ScrubPass.id == ROW, ScrubPass.holder == holder)
    return session.execute(statement.values(values).returning(ScrubPass.id)).first() is not None
