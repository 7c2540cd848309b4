"""Run the migrations on the connection that `app.core.migrations` passes to Alembic.

For a developer's `alembic revision --autogenerate` it opens the database itself, and writes types
and CHECKs in full, so that later changes of the application do not change a migration.
"""

from textwrap import wrap
from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import CheckConstraint, Connection, Enum
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.elements import conv
from sqlalchemy.types import JSON

from app.core.database import NAMING_CONVENTION, Database, UtcDateTime
from app.quotas.counters import without_counters
from app.settings import Settings
from app.tables import METADATA


def render_item(kind: str, item: object, _: AutogenContext) -> str | Literal[False]:
    """Return the code of an item for autogenerate; False leaves it to Alembic."""
    if isinstance(item, CheckConstraint):
        return _render_check(item)
    if kind != "type":
        return False
    if isinstance(item, UtcDateTime):
        return "TIME"
    if isinstance(item, JSON):
        on_postgresql = item.dialect_impl(postgresql.dialect())
        return "JSON" if isinstance(on_postgresql, JSONB) else "ORDERED_JSON"
    if isinstance(item, Enum):
        return f"sa.String(length={item.length})"
    return False


def _render_check(constraint: CheckConstraint) -> str:
    text = constraint.sqltext.compile(
        dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True, "include_table": False}
    )
    name = str(constraint.name)
    if not isinstance(constraint.name, conv):  # an Enum's CHECK gets its full name in the DDL only
        name = NAMING_CONVENTION["ck"] % {
            "table_name": constraint.table.name,
            "constraint_name": name,
        }
    lines = wrap(str(text), width=80, drop_whitespace=False, break_on_hyphens=False)
    written = "\n".join(repr(line) for line in lines)
    return f"sa.CheckConstraint({written}, name=op.f({name!r}))"


def run(connection: Connection) -> None:
    """Migrate `connection` to the requested revision, in its open transaction."""
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        render_item=render_item,
        render_as_batch=bool(context.script.get_heads()),  # SQLite cannot alter a table in place
        transactional_ddl=True,
        compare_type=True,
    )
    if _changes_nothing():
        context.run_migrations()
        return
    with without_counters(connection):
        context.run_migrations()


def _changes_nothing() -> bool:
    """Return whether the database has the requested revision, or none is requested."""
    try:
        target = context.get_revision_argument()
    except KeyError:  # autogenerate
        return True
    wanted = (target,) if isinstance(target, str) else tuple(target or ())
    return context.get_context().get_current_heads() == wanted


handed_in = context.config.attributes.get("connection")
if handed_in is not None:
    run(handed_in)
else:
    with Database(Settings().effective_database_url, patient=True).engine.begin() as own:
        run(own)
