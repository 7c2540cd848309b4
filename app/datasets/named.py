"""Datasets by name: what a person writes instead of an id."""

import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.datasets.errors import AmbiguousDatasetName, UnknownDataset
from app.datasets.tables import Dataset, DatasetVersion

REFERENCE: Final = re.compile(r"(ds|dsv)_[0-9A-Z]{26}\Z")
"""An id. Routes look up no other text as one: PostgreSQL refuses text with a NUL."""
NUMBERED: Final = re.compile(r"(?P<name>.+)@(?P<number>[1-9][0-9]{0,8})\Z", re.DOTALL)
MOST_GUESSED: Final = 500
"""The names among which the nearest one is looked for: the newest datasets."""


def id_of(session: Session, project_ids: Collection[str], reference: str) -> str:
    """Return the id that a reference means: an id as it is, that of `bccd`, or that of `bccd@3`.

    Raises:
        UnknownDataset: the caller's projects have no dataset with this name, or no such version.
        AmbiguousDatasetName: several of the caller's projects have one.
    """
    if REFERENCE.match(reference):
        return reference
    whole = _with_name(session, project_ids, reference)
    if whole is not None:
        return whole
    found = NUMBERED.match(reference)
    dataset_id = _with_name(session, project_ids, found["name"]) if found else None
    if found is None or dataset_id is None:
        raise UnknownDataset(_nearest(session, project_ids, found["name"] if found else reference))
    statement = select(DatasetVersion.id).where(
        DatasetVersion.dataset_id == dataset_id, DatasetVersion.number == int(found["number"])
    )
    version_id = session.scalars(statement).one_or_none()
    if version_id is None:
        raise UnknownDataset(None)
    return version_id


def _with_name(session: Session, project_ids: Collection[str], name: str) -> str | None:
    statement = select(Dataset.id).where(Dataset.project_id.in_(project_ids), Dataset.name == name)
    ids = session.scalars(statement.limit(2)).all()
    if len(ids) > 1:
        raise AmbiguousDatasetName
    return next(iter(ids), None)


def _nearest(session: Session, project_ids: Collection[str], name: str) -> str | None:
    statement = select(Dataset.name).where(Dataset.project_id.in_(project_ids))
    names = session.scalars(statement.order_by(Dataset.id.desc()).limit(MOST_GUESSED)).all()
    return next(iter(get_close_matches(name, names, n=1)), None)
