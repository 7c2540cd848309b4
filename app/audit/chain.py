"""The chain of hashes over the audit log: a changed, removed or inserted record breaks it.

The hash of a record is SHA-256 over the hash of the record before it and over its own columns as
canonical JSON. Someone who can write to the database can make the whole chain again; the newest
hash that servers write to their logs every hour, or that an operator noted, shows that.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from app.audit.tables import AuditChain, AuditRecord
from app.core.database import Database, database_now

AT_ONCE: Final = 500
_END: Final = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")
HASHED: Final = (
    "id",
    "happened_at",
    "action",
    "target",
    "project_id",
    "user_id",
    "user_name",
    "credential",
    "address",
    "request_id",
    "details",
    "position",
)


@dataclass(frozen=True)
class ChainEnd:
    """The newest record of the chain: its position (0: there is none) and its hash."""

    position: int
    sha256: bytes

    def __str__(self) -> str:
        return f"{self.position}:{self.sha256.hex()}"

    @classmethod
    def parse(cls, text: str) -> "ChainEnd":
        """Return the end in text as `str` writes it.

        Raises:
            ValueError: the text has another form.
        """
        found = _END.fullmatch(text)
        if found is None:
            message = "an end of the chain is POSITION:HASH"
            raise ValueError(message)
        return cls(int(found[1]), bytes.fromhex(found[2]))


@dataclass(frozen=True)
class Verification:
    """What a check of the chain found.

    Attributes:
        checked: the number of records.
        end: the newest record of the chain.
        fault: the first fault in words; None if the chain is whole.
    """

    checked: int
    end: ChainEnd
    fault: str | None


def hash_of(before: bytes, record: AuditRecord, position: int) -> bytes:
    """Return the hash of a record at a position, after a record with the hash `before`."""
    columns = {name: getattr(record, name) for name in HASHED}
    columns |= {"position": position, "happened_at": record.happened_at.isoformat()}
    text = json.dumps(columns, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(before + text.encode()).digest()


def seal_records(database: Database) -> int:
    """Append up to `AT_ONCE` new records to the chain; return their number.

    One server at a time does this: the row of the chain is locked.
    """
    with database.read() as unit:
        if not unit.session.scalar(select(exists().where(AuditRecord.position.is_(None)))):
            return 0
    with database.write() as unit:
        session = unit.session
        chain = session.scalars(select(AuditChain).with_for_update()).one()
        new = select(AuditRecord).where(AuditRecord.position.is_(None)).order_by(AuditRecord.id)
        records = session.scalars(new.limit(AT_ONCE)).all()
        for record in records:
            chain.last_position += 1
            chain.last_sha256 = hash_of(chain.last_sha256, record, chain.last_position)
            record.position, record.sha256 = chain.last_position, chain.last_sha256
    return len(records)


def remove_records(database: Database, *, after: timedelta) -> int:
    """Remove up to `AT_ONCE` of the oldest records; return their number.

    The chain begins with the hash of the newest removed record, so the others still verify. A
    record is removed only if every record before it is.
    """
    with database.write() as unit:
        session = unit.session
        chain = session.scalars(select(AuditChain).with_for_update()).one()
        end = chain.removed_position + AT_ONCE
        oldest = select(AuditRecord).where(AuditRecord.position <= end)
        records = session.scalars(oldest.order_by(AuditRecord.position)).all()
        now = session.scalar(select(database_now()))
        count = 0
        for record in records:
            if now is None or record.happened_at >= now - after or record.sha256 is None:
                break
            count += 1
        if count:
            last = records[count - 1]
            assert last.position is not None  # noqa: S101 -- the statement selects by it
            assert last.sha256 is not None  # noqa: S101 -- set together with the position
            values = {"removed_position": last.position, "removed_sha256": last.sha256}
            session.execute(update(AuditChain).values(**values))
            session.execute(delete(AuditRecord).where(AuditRecord.position <= last.position))
    return count


def chain_end(session: Session) -> ChainEnd:
    """Return the newest record of the chain."""
    chain = session.scalars(select(AuditChain)).one()
    return ChainEnd(chain.last_position, chain.last_sha256)


def verify_chain(session: Session, *, noted: ChainEnd | None = None) -> Verification:
    """Check every record that is in the chain.

    Args:
        session: of one snapshot.
        noted: an earlier end of the chain that must still be in it, unless it was removed.
    """
    chain = session.scalars(select(AuditChain)).one()
    removed = ChainEnd(chain.removed_position, chain.removed_sha256)
    last = ChainEnd(chain.last_position, chain.last_sha256)
    found, checked = removed, 0
    for record in _in_order(session):
        fault, found = _next_of(found, record, noted)
        if fault is not None:
            return Verification(checked, found, fault)
        checked += 1
    if found != last:
        fault = f"Records after position {found.position} are missing."
    elif noted is not None and noted.position > found.position:
        fault = f"The noted record at position {noted.position} is missing."
    else:
        fault = None
    return Verification(checked, found, fault)


def _next_of(
    before: ChainEnd, record: AuditRecord, noted: ChainEnd | None
) -> tuple[str | None, ChainEnd]:
    """Return the fault of a record, if any, and the end of the chain with it."""
    position = before.position + 1
    if record.position != position:
        return f"The record at position {position} is missing.", before
    here = ChainEnd(position, hash_of(before.sha256, record, position))
    if record.sha256 != here.sha256:
        return f"The record {record.id} at position {position} was changed.", before
    if noted is not None and noted.position == position and noted != here:
        return f"The record at position {position} has another hash than the noted one.", before
    return None, here


def _in_order(session: Session) -> Iterator[AuditRecord]:
    """Yield the records of the chain by position, a page at a time."""
    last = 0
    while True:
        page = select(AuditRecord).where(AuditRecord.position > last)
        records = session.scalars(page.order_by(AuditRecord.position).limit(AT_ONCE)).all()
        yield from records
        if len(records) < AT_ONCE:
            return
        last = records[-1].position or 0
        session.expunge_all()
