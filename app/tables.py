"""Imports every table of the schema, so that `METADATA` is complete for Alembic and tests."""

from app.accounts import tables as accounts
from app.artifacts import tables as artifacts
from app.audit import tables as audit
from app.core.database import Base
from app.datasets import tables as datasets
from app.events import tables as events
from app.fleet import tables as fleet
from app.jobs import tables as jobs
from app.models import tables as models
from app.quotas import tables as quotas
from app.uploads import tables as uploads
from app.webhooks import tables as webhooks

METADATA = Base.metadata

__all__ = [
    "METADATA",
    "accounts",
    "artifacts",
    "audit",
    "datasets",
    "events",
    "fleet",
    "jobs",
    "models",
    "quotas",
    "uploads",
    "webhooks",
]
