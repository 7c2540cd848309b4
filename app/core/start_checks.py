"""Checks of database and broker before a server or a worker starts.

What will not change by itself ends the process with one line and status 78: a missing setting, a
refused password, a database that is not migrated. What may change is waited for: a database or
broker that does not respond, a host name that does not resolve yet.
"""

from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from redis import AuthenticationError, Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from app.configuration import BadConfiguration
from app.core.broker import broker_url, socket_path
from app.core.database import Database
from app.core.database_errors import MIGRATE, VARIABLE, DatabaseUnreachable, explained
from app.core.logging import get_logger
from app.core.migrations import current_revision, head_revision, is_known_revision
from app.settings import Settings

BROKER: Final = "broker_url (TRAINYARD_BROKER_URL)"
ANSWER_SECONDS: Final = 5.0

log = get_logger(__name__)


def check_database(settings: Settings) -> None:
    """Check that the database responds and has the schema of this release.

    Raises:
        BadConfiguration: it does not exist, refuses the login, or has another schema.
        DatabaseUnreachable: it does not respond.
    """
    url = settings.effective_database_url
    _refuse_missing_file(url)
    try:
        database = Database(url, pool_size=1)
        try:
            revision = current_revision(database)
        finally:
            database.dispose()
    except SQLAlchemyError as error:
        raise explained(error) or error from None
    if revision == head_revision():
        return
    if revision is None:
        raise BadConfiguration(f"{VARIABLE}: the database has no tables; {MIGRATE}")
    if is_known_revision(revision):
        raise BadConfiguration(
            f"{VARIABLE}: the database is at revision {revision}, and this release needs "
            f"{head_revision()}; {MIGRATE}"
        )
    raise BadConfiguration(
        f"{VARIABLE}: a later release has migrated the database to revision {revision}; run that "
        "release, or a later one"
    )


def check_database_patiently(settings: Settings) -> bool:
    """Like `check_database`, but return False, with a warning, if it does not respond.

    Raises:
        BadConfiguration: it does not exist, refuses the login, or has another schema.
    """
    try:
        check_database(settings)
    except DatabaseUnreachable as error:
        log.warning("database.unreachable", error=error.detail)
        return False
    return True


def check_broker(settings: Settings) -> None:
    """Check that the broker accepts our login; log a warning if it does not respond.

    Raises:
        BadConfiguration: it refuses the login, or the URL is invalid.
    """
    try:
        client = _client(broker_url(settings))
    except ValueError:
        raise BadConfiguration(f"{BROKER}: is not the URL of a Redis server") from None
    if client is None:
        return
    try:
        client.ping()
    except AuthenticationError:
        raise BadConfiguration(f"{BROKER}: the broker refuses the password or the user") from None
    except (RedisError, OSError) as error:
        log.warning("broker.unreachable", setting=BROKER, error=type(error).__name__)
    finally:
        client.close()


def require_broker(settings: Settings) -> None:
    """Refuse a worker that would never be told about jobs.

    Raises:
        BadConfiguration: the database is not the home's, no broker is set, and the home has no
            broker of `trainyard up` either.
    """
    if settings.database_url is None or settings.broker_url is not None:
        return
    if not socket_path(settings.home).exists():
        raise BadConfiguration(
            f"{BROKER}: is not set, so this worker would never be told about jobs; set it to that "
            "of the servers"
        )


def _refuse_missing_file(url: str) -> None:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in {None, "", ":memory:"}:
        return
    if not Path(str(parsed.database)).exists():  # connecting would create it
        raise BadConfiguration(
            f"{VARIABLE}: there is no database at {parsed.database}; set it, or --home, to that of "
            f"the instance, or {MIGRATE}"
        )


def _client(url: str) -> Redis | None:
    """Return a client of the broker; None if its URL is for something that only Celery knows."""
    parts, no_retry = urlsplit(url), Retry(NoBackoff(), 0)
    if parts.scheme in {"redis", "rediss"}:
        return Redis.from_url(
            url,
            retry=no_retry,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
        )
    if parts.scheme == "redis+socket":
        return Redis(
            unix_socket_path=unquote(parts.path),
            password=parts.password and unquote(parts.password),
            retry=no_retry,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
        )
    return None
