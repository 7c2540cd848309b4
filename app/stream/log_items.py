"""Rows of the log as items."""

from collections.abc import Collection, Iterable

from app.accounts.keys import KeyScope
from app.core.database import UnitOfWork
from app.events.log import LogRow, PositionSeal
from app.events.views import event_item
from app.stream.items import LogItem
from app.stream.rendering import rendered
from app.stream.repository import project_names


class LogItems:
    """Renders rows of the log, and keeps the names of projects for it.

    Args:
        seal: seals positions.
    """

    def __init__(self, seal: PositionSeal) -> None:
        self._seal = seal
        self._names: dict[str, str] = {}

    def forget_names(self) -> None:
        """Read the names of projects again: one may have changed."""
        self._names = {}

    def of(self, unit: UnitOfWork, rows: Iterable[LogRow]) -> list[LogItem]:
        """Return the items of rows. One statement if there is a project that is not yet known."""
        rows = list(rows)
        names = self._names_of(unit, {row.project_id for row in rows})
        return [self._item(row, names.get(row.project_id, "")) for row in rows]

    def _names_of(self, unit: UnitOfWork, project_ids: Collection[str]) -> dict[str, str]:
        known = self._names
        missing = [each for each in project_ids if each not in known]
        if missing:
            known = self._names = known | project_names(unit.session, missing)
        return known

    def _item(self, row: LogRow, project: str) -> LogItem:
        shown = event_item(row, project=project, seal=self._seal)
        scope = KeyScope.JOBS_READ if shown.kind == "event" else KeyScope.DATASETS_READ
        data = rendered(shown.kind, shown.data, id_=shown.id)
        return LogItem(row.at, row.project_id, scope, row.job_id, data)
