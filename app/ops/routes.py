"""`/livez`, `/readyz` and `/version`, without authentication."""

import os
import shutil
from enum import StrEnum

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.core.context import Context, InContext
from app.core.declared_headers import declared
from app.core.migrations import is_current
from app.core.problems import RETRY_AFTER_SECONDS
from app.version import VERSION

router = APIRouter(tags=["operations"])
MIN_FREE_BYTES = 256 * 1024 * 1024


class Readiness(StrEnum):
    """Whether a part of the server is ready."""

    READY = "ready"
    NOT_READY = "not_ready"


class Alive(BaseModel):
    """The process is alive."""

    status: str = Field(description="Always `alive`.", examples=["alive"])


class Ready(BaseModel):
    """Whether requests can be served, and the readiness of each part of the server."""

    status: Readiness = Field(description="`ready` if every part is ready.")
    checks: dict[str, Readiness] = Field(
        description="The readiness of each part of the server.",
        examples=[{"server": "ready", "database": "ready", "store": "ready"}],
    )


class Version(BaseModel):
    """The installed version."""

    version: str = Field(description="Version of the server.", examples=["0.5.0"])


@router.get("/livez")
async def read_liveness() -> Alive:
    """Report that the process is alive, without checking anything else."""
    return Alive(status="alive")


@router.get(
    "/readyz",
    responses={
        503: {
            "model": Ready,
            "description": "Requests cannot be served now.",
            **declared("Retry-After"),
        }
    },
)
def read_readiness(context: InContext, response: Response) -> Ready:
    """Report whether database, schema and store are usable and the server is not shutting down.

    The broker is not checked: without it, jobs only wait.
    """
    checks = {
        "server": _verdict(not context.draining.is_set()),
        "database": _verdict(_database_answers(context)),
        "store": _verdict(_store_is_writable(context)),
    }
    ready = all(verdict is Readiness.READY for verdict in checks.values())
    if not ready:
        response.status_code = 503
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return Ready(status=_verdict(ready), checks=checks)


@router.get("/version")
async def read_version() -> Version:
    """Report the running version."""
    return Version(version=VERSION)


def _verdict(ready: bool) -> Readiness:  # noqa: FBT001 -- maps a bool
    return Readiness.READY if ready else Readiness.NOT_READY


def _database_answers(context: Context) -> bool:
    try:
        with context.database.read() as unit:
            unit.session.execute(text("SELECT 1"))
        return is_current(context.database)
    except SQLAlchemyError:
        return False


def _store_is_writable(context: Context) -> bool:
    """Return whether home and a local store are writable and have free space.

    A remote store is not checked here; its errors appear when it is used.
    """
    folders = {context.settings.home, context.store.local_root or context.settings.home}
    return all(
        os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > MIN_FREE_BYTES
        for folder in folders
    )
