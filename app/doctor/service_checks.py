"""Checks of what an instance needs beside its processes: database, broker, store, clocks."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from app.core.broker import socket_path
from app.core.database import Database, database_now
from app.core.errors import TrainyardError
from app.core.migrations import current_revision, head_revision
from app.core.storage import ArtifactStore
from app.doctor.results import CheckResult, error, fine, warning
from app.fleet.tables import Worker
from app.settings import Settings, is_loopback
from app.version import VERSION

CLOCK_TOLERANCE_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 3.0
NETWORK_FILESYSTEMS: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "ceph"})
NO_OBJECT: Final = "0" * 64


def check_database(settings: Settings) -> Iterator[CheckResult]:
    """Check that the database answers, has this release's schema and is safe to reach."""
    database = Database(settings.effective_database_url, pool_size=1)
    try:
        if database.is_sqlite and not Path(database.url.database or "").exists():
            yield fine("database", "There is none yet; the first start makes it.")
            return
        yield from _check_schema(database)
        if database.is_sqlite:
            yield from _check_sqlite_folder(Path(database.url.database or ""))
        else:
            yield from _check_encryption(database)
        yield from _check_clock(database)
        yield from _check_workers(database, settings)
    except SQLAlchemyError as failure:
        kind = type(failure).__name__
        yield error(
            "database",
            f"The database does not answer ({kind}).",
            "Start it, or correct TRAINYARD_DATABASE_URL; the server's log has the details.",
        )
    finally:
        database.dispose()


def _check_schema(database: Database) -> Iterator[CheckResult]:
    found, needed = current_revision(database), head_revision()
    if found == needed:
        yield fine("database", f"It answers and is at revision {found}.")
    elif found is None:
        yield error("database", "It has no tables yet.", "Run `trainyard migrate`.")
    else:
        yield error(
            "database",
            f"It is at revision {found}; this release needs {needed}.",
            "Run `trainyard migrate`, or install the release that migrated it.",
        )


def _check_sqlite_folder(path: Path) -> Iterator[CheckResult]:
    kind = filesystem_of(path, Path("/proc/self/mounts"))
    if kind in NETWORK_FILESYSTEMS:
        yield error(
            "database",
            f"The SQLite file is on a network file system ({kind}), whose locks can fail.",
            "Move the home to a local disk, or use PostgreSQL.",
        )


def filesystem_of(path: Path, mounts: Path) -> str | None:
    """Return the kind of file system that `path` is on, or None if it is not known.

    Args:
        path: an absolute path; it need not exist.
        mounts: the kernel's table of mounts.
    """
    try:
        lines = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:  # not Linux
        return None
    parents = {str(path), *map(str, path.parents)}
    above = [(len(words[1]), words[2]) for words in lines if words[1] in parents]
    return max(above)[1] if above else None


def _check_encryption(database: Database) -> Iterator[CheckResult]:
    if is_loopback(database.url.host or "localhost"):
        return
    own = text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    with database.read() as unit:
        encrypted = unit.session.scalar(own)
    if not encrypted:
        yield warning(
            "database",
            "The connection to PostgreSQL is not encrypted.",
            "Add ?sslmode=verify-full to TRAINYARD_DATABASE_URL, unless the network is your own.",
        )


def _check_clock(database: Database) -> Iterator[CheckResult]:
    before = time.monotonic()
    with database.read() as unit:
        now = unit.session.scalar(select(database_now()))
    waited = time.monotonic() - before
    if now is None:
        return
    apart = abs((datetime.now(UTC) - now).total_seconds())
    if apart > CLOCK_TOLERANCE_SECONDS + waited:
        yield warning(
            "clock",
            f"This machine's clock and the database's are {apart:.0f} s apart.",
            "Leases are not affected, but times in logs and certificates are: run an NTP client.",
        )
    else:
        yield fine("clock", f"It is within {CLOCK_TOLERANCE_SECONDS:g} s of the database's clock.")


def _check_workers(database: Database, settings: Settings) -> Iterator[CheckResult]:
    alive = select(Worker.host, Worker.slot, Worker.version).where(
        Worker.stopped_at.is_(None),
        Worker.heartbeat_at > database_now(-settings.timing.worker_silence),
    )
    with database.read() as unit:
        workers = unit.session.execute(alive.order_by(Worker.host, Worker.slot)).all()
    others = [f"{host} {slot} ({found})" for host, slot, found in workers if found != VERSION]
    if others:
        yield error(
            "workers",
            f"Workers of another release are running: {', '.join(others)}.",
            f"Install {VERSION} on every machine, and start them again.",
        )
    elif workers:
        yield fine("workers", f"{len(workers)} slots are served.")
    else:
        yield warning("workers", "No slot is served; jobs wait.", "Start `trainyard worker`.")


def check_broker(settings: Settings) -> Iterator[CheckResult]:
    """Check that the broker answers; without it, jobs wait but nothing is lost."""
    embedded = settings.broker_url is None
    if embedded and not socket_path(settings.home).exists():
        yield fine("broker", "The embedded broker is not running; `trainyard up` starts it.")
        return
    client = _broker_client(settings)
    try:
        client.ping()
        memory = client.info("memory")
    except RedisError as failure:
        yield error(
            "broker",
            f"It does not answer ({type(failure).__name__}).",
            "Start it, or correct TRAINYARD_BROKER_URL. Jobs wait until it answers.",
        )
        return
    finally:
        client.close()
    policy = memory.get("maxmemory_policy", "noeviction")
    if memory.get("maxmemory") and policy != "noeviction":
        yield warning(
            "broker",
            f"It drops messages when its memory is full (maxmemory-policy {policy}).",
            "Set maxmemory-policy to noeviction; dropped messages start jobs minutes later.",
        )
    else:
        yield fine("broker", "It answers.")


def _broker_client(settings: Settings) -> Redis:
    url = f"unix://{socket_path(settings.home)}"
    if settings.broker_url is not None:
        url = settings.broker_url.get_secret_value()
    client: Redis = Redis.from_url(
        url,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )
    return client


def check_store(settings: Settings) -> Iterator[CheckResult]:
    """Check that the artifact store answers."""
    try:
        ArtifactStore.from_settings(settings).exists(NO_OBJECT)
    except (TrainyardError, OSError, ValueError) as failure:
        yield error(
            "store",
            f"It does not answer ({type(failure).__name__}).",
            "Correct TRAINYARD_STORE_URL, and check the credentials in the environment.",
        )
    else:
        yield fine("store", "It answers.")
