"""What the feed and joining watchers read, from the database."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from app.accounts.access import CredentialAccess, access_of_keys, access_of_sessions
from app.core.database import Database, UnitOfWork
from app.events.log import LogPage, LogPosition, PositionSeal, newest_sealed, read_log
from app.stream.items import LogItem, View
from app.stream.log_items import LogItems
from app.stream.repository import StateRows, current_state
from app.stream.watcher import Credential, CredentialKind

FEED_ROWS = 1000
PAGE_ROWS = 200


@dataclass(frozen=True)
class Rows:
    """Items of the log in order, and up to where the log was read.

    Attributes:
        items: of the rows that were read.
        sealed_to: the position from which the next read continues.
        has_more: whether there is more to read.
        gap: whether rows may be missing, because the position is not one of this log.
    """

    items: tuple[LogItem, ...]
    sealed_to: LogPosition
    has_more: bool = False
    gap: bool = False


class Source(Protocol):
    """What the hub reads."""

    def newest(self) -> LogPosition:
        """Return the newest position of the log."""

    def rows_after(self, after: LogPosition) -> Rows:
        """Return the next rows of all projects."""

    def page_after(self, after: LogPosition, view: View) -> Rows:
        """Return the next rows that a view may contain."""

    def state(self) -> StateRows:
        """Return what runs and waits."""

    def access_of(self, credentials: Collection[Credential]) -> Mapping[Credential, View]:
        """Return what the valid ones of these credentials may see."""

    def seal(self, at: LogPosition) -> str:
        """Return a position as clients have it."""


class DatabaseSource:
    """Reads from the database, in one transaction each.

    Args:
        database: with the log.
        seal: seals positions.
        silent: the age of a heartbeat from which a slot counts as silent.
        idle: after which an unused session ends.
    """

    def __init__(
        self, database: Database, seal: PositionSeal, *, silent: timedelta, idle: timedelta
    ) -> None:
        self._database = database
        self._seal = seal
        self._items = LogItems(seal)
        self._silent = silent
        self._idle = idle

    def newest(self) -> LogPosition:
        """Return the newest position of the log. One statement."""
        with self._database.read() as unit:
            return newest_sealed(unit.session)

    def rows_after(self, after: LogPosition) -> Rows:
        """Return the next rows of all projects. One statement if there are none."""
        with self._database.read() as unit:
            page = read_log(unit.session, after, project_ids=None, limit=FEED_ROWS)
            return self._rows_of(unit, page)

    def page_after(self, after: LogPosition, view: View) -> Rows:
        """Return the next rows of the view's projects."""
        projects, job_id = view.projects, view.job_id
        with self._database.read() as unit:
            page = read_log(
                unit.session, after, project_ids=projects, limit=PAGE_ROWS, job_id=job_id
            )
            return self._rows_of(unit, page)

    def state(self) -> StateRows:
        """Return what runs and waits. Four statements."""
        with self._database.read() as unit:
            return current_state(unit.session, silent=self._silent)

    def access_of(self, credentials: Collection[Credential]) -> Mapping[Credential, View]:
        """Return what the valid ones of these credentials may see. At most two statements."""
        self._items.forget_names()
        keys, sessions = (
            [each.id for each in credentials if each.kind is kind] for kind in CredentialKind
        )
        found: dict[Credential, View] = {}
        with self._database.read() as unit:
            if keys:
                access = access_of_keys(unit.session, keys)
                found |= _views(CredentialKind.KEY, access)
            if sessions:
                access = access_of_sessions(unit.session, sessions, idle=self._idle)
                found |= _views(CredentialKind.SESSION, access)
        return found

    def seal(self, at: LogPosition) -> str:
        """Return a position as clients have it."""
        return self._seal.seal(at)

    def _rows_of(self, unit: UnitOfWork, page: LogPage) -> Rows:
        items = self._items.of(unit, page.rows)
        return Rows(tuple(items), page.sealed_to, page.has_more, page.gap)


def _views(kind: CredentialKind, access: Mapping[str, CredentialAccess]) -> dict[Credential, View]:
    return {
        Credential(kind, each): View.of(found.project_ids, found.scopes)
        for each, found in access.items()
    }
