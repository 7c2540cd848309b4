"""Datasets: read them, and fix what was found in them."""

import re
from collections.abc import Mapping
from typing import Any, Final

from trainyard.core.connection import Connection
from trainyard.core.steps import Operation
from trainyard.errors import InvalidError, NotFoundError, TrainyardError
from trainyard.operations.pushes import wait_until_verified
from trainyard.views.base import parsed
from trainyard.views.datasets import DatasetRow, DatasetView, FindingView, VersionRow

NOT_FOUND: Final = "urn:trainyard:problem:dataset-not-found"
ID: Final = re.compile(r"(ds|dsv)_[0-9A-Z]{26}")
NUMBERED: Final = re.compile(r"(?P<name>.+)@(?P<number>[0-9]{1,9})", re.DOTALL)


def read_dataset(connection: Connection, reference: str) -> Operation[DatasetView]:
    """Read a dataset with its newest version, or with the version that is named."""
    dataset = yield from find_dataset(connection, reference)
    document = yield from connection.json("GET", f"/v1/datasets/{dataset}")
    return parsed(DatasetView, document)


def find_dataset(connection: Connection, reference: str) -> Operation[str]:
    """Return the id that a reference means: an id, a name, or a name with a number (`bccd@3`).

    Raises:
        NotFoundError: there is no such dataset or version.
        TrainyardError: several projects have a dataset with the name.
    """
    if ID.fullmatch(reference):
        return reference
    dataset = yield from _with_name(connection, reference)
    numbered = NUMBERED.fullmatch(reference)
    if dataset is None and numbered:
        dataset = yield from _with_name(connection, numbered["name"])
        if dataset is not None:
            dataset = yield from _with_number(connection, dataset, int(numbered["number"]))
    if dataset is None:
        detail = f"There is no dataset {reference}. `trainyard datasets list` shows their names."
        raise NotFoundError({"type": NOT_FOUND, "detail": detail}, 404)
    return dataset


def path_below(connection: Connection, reference: str, part: str) -> Operation[str]:
    """Return the path of a part of a dataset that is named in any way."""
    dataset = yield from find_dataset(connection, reference)
    return f"/v1/datasets/{dataset}/{part}"


def datasets_named(
    connection: Connection, name: str, project: str | None = None
) -> Operation[list[DatasetRow]]:
    """Return up to two datasets with a name: of a project, or of all that the caller can read."""
    params = {"name": name, "project": project, "limit": 2}
    try:
        page = yield from connection.json("GET", "/v1/datasets", params=params)
    except InvalidError:  # no dataset can have such a name
        return []
    return [parsed(DatasetRow, document) for document in page["data"]]


def _with_name(connection: Connection, name: str) -> Operation[str | None]:
    rows = yield from datasets_named(connection, name)
    if len(rows) > 1:
        raise TrainyardError(f"Several projects have a dataset {name}: use its id (ds_…).")
    return rows[0].id if rows else None


def _with_number(connection: Connection, dataset: str, number: int) -> Operation[str | None]:
    """Return the id of a version; newer ones are read first."""
    cursor: str | None = None
    while True:
        page = yield from connection.json(
            "GET", f"/v1/datasets/{dataset}/versions", params={"cursor": cursor}
        )
        for row in (parsed(VersionRow, document) for document in page["data"]):
            if row.number == number:
                return row.version
        cursor = page["next"]
        if cursor is None:
            return None


def fix(
    connection: Connection, finding: FindingView, options: Mapping[str, Any]
) -> Operation[DatasetView]:
    """Send the request that fixes a finding, and wait for the new version.

    Raises:
        TrainyardError: no request fixes it.
        DatasetInvalidError: the verification found errors again.
    """
    if finding.request is None:
        raise TrainyardError(f"No option fixes this finding. {finding.remedy}")
    body = {**finding.request.body, **options}
    document = yield from connection.json("POST", finding.request.path, json=body)
    view = parsed(DatasetView, document)
    view = yield from wait_until_verified(connection, view, lambda _: None)
    return view
