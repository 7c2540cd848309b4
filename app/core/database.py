"""Engine, units of work, column types and the database clock, for SQLite and PostgreSQL.

Only `Database.write` commits, when its block ends without an exception. No other code commits.
"""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    Engine,
    Float,
    Insert,
    MetaData,
    String,
    TypeDecorator,
    create_engine,
    event,
    literal,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection, ExceptionContext, make_url
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement, FunctionElement, TextClause

from app.core.writers import Writers, patience

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

READ_ONLY_SQL_TRANSACTION = "25006"
SQLITE_TIME_FORMAT = "%Y-%m-%d %H:%M:%S.%f"
SQLITE_BUSY_SECONDS = 10.0
POOL_TIMEOUT_SECONDS = 5.0
_ANNOUNCED = "announced"
_BUSY_TIMEOUT = "busy timeout"

NoFreeConnection = PoolTimeout
"""Raised when the pool has had no connection for as long as a caller waits."""

OUTAGE = (OperationalError, InterfaceError, InternalError, NoFreeConnection)
"""Exceptions that are raised while the database is unreachable, restarting or failing over."""


class Base(DeclarativeBase):
    """Base class of every table; migrations rely on its names for constraints and indexes."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time: `timestamptz` on PostgreSQL, sortable text with milliseconds on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:  # noqa: ANN401 -- SQLAlchemy's signature
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(23))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:  # noqa: ANN401
        if value is None:
            return None
        if value.tzinfo is None:
            message = "a stored time must have a time zone"
            raise ValueError(message)
        if dialect.name == "sqlite":
            return value.astimezone(UTC).strftime(SQLITE_TIME_FORMAT)[:-3]
        return value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ANN401
        if value is None:
            return None
        if dialect.name == "sqlite":
            return datetime.fromisoformat(value).replace(tzinfo=UTC)
        return value.astimezone(UTC)  # type: ignore[no-any-return]


Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""A JSON document without a defined key order; `jsonb` on PostgreSQL."""

OrderedJson = JSON(none_as_null=True)
"""A JSON document with a stable key order, such as a row of results.csv; `jsonb` sorts keys."""


class database_now(FunctionElement[datetime]):  # noqa: N801 -- reads as the SQL function it is
    """The database's time when the statement runs, plus an offset. Leases use no other clock.

    SQLite 3.40 returns NULL for `unixepoch('subsec')`; `strftime` with `%f` works on every version.
    """

    type = UtcDateTime()
    inherit_cache = True
    name = "database_now"

    def __init__(self, offset: timedelta = timedelta()) -> None:
        super().__init__(literal(offset.total_seconds(), Float()))


@compiles(database_now, "sqlite")
def _database_now_sqlite(element: database_now, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401
    seconds = compiler.process(element.clauses, **kw)
    return f"strftime('%Y-%m-%d %H:%M:%f', 'now', {seconds} || ' seconds')"


@compiles(database_now, "postgresql")
def _database_now_postgresql(element: database_now, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401
    seconds = compiler.process(element.clauses, **kw)
    return f"(clock_timestamp() + make_interval(secs => {seconds}))"


Rows = Mapping[str, object] | Sequence[Mapping[str, object]]
ExcludedRow = ReadOnlyColumnCollection[str, ColumnElement[Any]]


def upsert(
    session: Session,
    table: type[Base],
    rows: Rows,
    *,
    key: Sequence[str],
    where: ColumnElement[bool] | TextClause | None = None,
    update: Callable[[ExcludedRow], Mapping[str, object]] | None = None,
) -> Insert:
    """Return the statement that inserts rows, or updates the rows that already have their key.

    Args:
        session: a session of the database that will run the statement.
        table: the mapped class of the rows.
        rows: column values of one row, or of several rows with different keys.
        key: the columns of a unique constraint or index, or of the primary key.
        where: the condition of a unique index that is partial.
        update: called once with the columns of the row that could not be inserted (`excluded` in
            SQL); returns the columns to change in the existing row. Default: all columns of `rows`
            except the key.
    """
    # Both dialects use the same ON CONFLICT, but SQLAlchemy has a separate construct for each.
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    inserted = dialect.insert(table).values(rows)
    new = inserted.excluded
    named = rows if isinstance(rows, Mapping) else rows[0]
    replaced = {column: new[column] for column in named if column not in key}
    changes = replaced if update is None else update(new)
    statement: Insert = inserted.on_conflict_do_update(
        index_elements=key, index_where=where, set_=changes
    )
    return statement


def announce(session: Session, topic: str) -> None:
    """Wake the readers of a topic (`app.core.wake_ups`) once the session's transaction commits."""
    session.info.setdefault(_ANNOUNCED, set()).add(topic)


class UnitOfWork:
    """One transaction: its session, and callbacks that run after the commit."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._callbacks: list[Callable[[], None]] = []

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Run `callback` right after the commit; a rollback discards it.

        It runs on the request's thread, so it must not block. Let it pass work to another thread
        (`queue.put`).
        """
        self._callbacks.append(callback)

    def run_callbacks(self) -> None:
        """Run the callbacks in the order of registration. Called by `Database.write`."""
        for callback in self._callbacks:
            callback()


class Database:
    """The engine of one database, with one kind of unit of work to read and one to write.

    `read` sees one snapshot on both databases. On PostgreSQL, each statement of `write` sees what
    was committed before that statement, so a row is current when a wait for its lock ends.

    If the database is unreachable or locked, statements fail within seconds, so that no thread
    waits forever. At most half of the connections' number of requests write or wait at once.
    `patient` is for migrations, whose statements may take long.
    """

    def __init__(self, url: str, *, pool_size: int = 40, patient: bool = False) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _create_engine(url, pool_size, patient=patient)
        self._read_engine = self.engine.execution_options(
            **({} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"})
        )
        self._write_engine = self.engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")
        self._writers = Writers(max(1, pool_size // 2))
        # SQLite allows one writer at a time; the others poll with growing pauses. Waiting for a
        # lock of this process is fair and several times faster.
        self._write_turn = _Turn() if self.is_sqlite else nullcontext()
        self._publish: Callable[[str], None] | None = None

    def announce_to(self, publish: Callable[[str], None]) -> None:
        """Call `publish` after each commit with every topic that was announced in it.

        It runs on the request's thread, so it must not block.
        """
        self._publish = publish

    @contextmanager
    def read(self) -> Iterator[UnitOfWork]:
        """Open a consistent snapshot for reading; changes are rolled back."""
        with Session(self._read_engine, expire_on_commit=False, autoflush=False) as session:
            yield UnitOfWork(session)

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        """Open a transaction that commits when the block ends, and rolls back if it raises.

        On SQLite it begins IMMEDIATE: a deferred transaction that reads and then writes can fail
        with "database is locked" immediately, regardless of the busy timeout.
        """
        with (
            self._writers.admitted(),
            self._write_turn,
            Session(self._write_engine, expire_on_commit=False) as session,
        ):
            unit = UnitOfWork(session)
            with session.begin():
                yield unit
        unit.run_callbacks()
        if self._publish is not None:
            for topic in session.info.get(_ANNOUNCED, ()):
                self._publish(topic)

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


class _Turn:
    """A lock with the same timeout as the database's own lock, or what a request has left."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with _longest_wait() as seconds:
            if not self._lock.acquire(timeout=seconds):
                message = f"The database was locked for more than {seconds:g} seconds."
                raise NoFreeConnection(message)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _create_engine(url: str, pool_size: int, *, patient: bool) -> Engine:
    def serialize(value: object) -> str:
        return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))

    options: dict[str, Any] = {
        "pool_size": pool_size,
        "max_overflow": 0,
        "pool_timeout": POOL_TIMEOUT_SECONDS,
        "json_serializer": serialize,
        "hide_parameters": True,  # tracebacks in the log must not show users' text and hashes
    }
    if make_url(url).get_backend_name() != "sqlite":
        return _create_postgresql_engine(url, options, patient=patient)
    options["connect_args"] = {"timeout": SQLITE_BUSY_SECONDS, "check_same_thread": False}
    engine = create_engine(url, **options)
    event.listen(engine, "connect", _prepare_sqlite_connection)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _create_postgresql_engine(url: str, options: dict[str, Any], *, patient: bool) -> Engine:
    from app.core import postgres  # noqa: PLC0415 -- needs psycopg, which is an extra

    options["pool_pre_ping"] = True
    options["connect_args"] = postgres.DEAD_PEER_OPTIONS
    engine = create_engine(url, **options)
    event.listen(engine, "handle_error", _disconnect_from_standby)
    if not patient:
        postgres.bound_answers(engine)
        postgres.bound_idle_transactions(engine)
    return engine


def _disconnect_from_standby(context: ExceptionContext) -> None:
    """Drop every pooled connection when a write reaches a standby, as happens after a failover.

    Otherwise they would stay connected to the standby, which refuses every write.
    """
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY_SQL_TRANSACTION:
        context.is_disconnect = True


def _prepare_sqlite_connection(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    # The driver sends BEGIN too late, at the first write; `_begin_sqlite` sends it instead.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    with _longest_wait() as seconds:
        milliseconds = round(seconds * 1000)
        if connection.info.get(_BUSY_TIMEOUT) != milliseconds:
            cursor = connection.connection.cursor()
            cursor.execute(f"PRAGMA busy_timeout={milliseconds}")
            cursor.close()
            connection.info[_BUSY_TIMEOUT] = milliseconds
        connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))


def _longest_wait() -> AbstractContextManager[float]:
    """Return the seconds to wait for SQLite's lock; a request has only a limited time in all."""
    own = patience()
    return nullcontext(SQLITE_BUSY_SECONDS) if own is None else own.spent()
