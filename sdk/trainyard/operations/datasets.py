"""Datasets: read them, and fix what was found in them."""

from collections.abc import Mapping
from typing import Any

from trainyard.core.connection import Connection
from trainyard.core.steps import Operation
from trainyard.errors import TrainyardError
from trainyard.operations.pushes import wait_until_verified
from trainyard.views.base import parsed
from trainyard.views.datasets import DatasetView, FindingView


def read_dataset(connection: Connection, reference: str) -> Operation[DatasetView]:
    """Read a dataset with its newest version, or with the version that is named."""
    document = yield from connection.json("GET", f"/v1/datasets/{reference}")
    return parsed(DatasetView, document)


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
