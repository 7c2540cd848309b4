"""Datasets, their versions and what was found in them."""

from datetime import datetime
from typing import Any

from trainyard.views.base import View


class VerificationProgress(View):
    """The step of a verification, and the share of it that is done."""

    step: str
    done: float


class DatasetView(View):
    """A dataset with one of its versions."""

    id: str
    version: str
    number: int
    name: str
    project: str
    task: str | None
    state: str
    classes: list[str] | None
    class_count: int | None
    images: dict[str, int] | None
    size_bytes: int
    options: dict[str, Any] | None
    digest: str | None
    changes: dict[str, int] | None
    findings: dict[str, int] | None
    created_at: datetime
    verified_at: datetime | None
    progress: VerificationProgress | None
    links: dict[str, str]


class DatasetRow(DatasetView):
    """A dataset in a list."""

    jobs: int
    versions: int


class VersionRow(DatasetView):
    """A version in a list."""

    jobs: int


class ReadyRequest(View):
    """A request that fixes a finding; send it as it is."""

    method: str = "POST"
    path: str
    body: dict[str, Any]


class OptionChoice(View):
    """The values of an option that would fix a finding."""

    field: str
    values: list[Any]


class FindingView(View):
    """Something that the verification found in a version."""

    code: str
    severity: str
    message: str
    file: str | None
    line: int | None
    remedy: str
    request: ReadyRequest | None
    choices: OptionChoice | None


class UploadView(View):
    """A file that was sent, or a part of one."""

    id: str
    filename: str
    project: str
    state: str
    size_bytes: int
    offset_bytes: int
    sha256: str | None
    created_at: datetime
    expires_at: datetime
    links: dict[str, str]
