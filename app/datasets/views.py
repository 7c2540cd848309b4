"""The JSON representations of datasets in responses."""

from collections.abc import Mapping
from datetime import datetime
from typing import Self

from pydantic import BaseModel

from app.datasets.archives.report import Report
from app.datasets.repository import ListedDataset
from app.datasets.tables import VersionState


class DatasetView(BaseModel):
    """A dataset and one of its versions: the newest, or the requested one.

    `task` is the declared task until the version is verified; `classes` and `images` are null until
    then.
    """

    id: str
    version: str
    number: int
    name: str
    project: str
    task: str | None
    state: VersionState
    classes: list[str] | None
    images: dict[str, int] | None
    size_bytes: int
    created_at: datetime
    verified_at: datetime | None
    links: dict[str, str]

    @classmethod
    def of(cls, listed: ListedDataset, project_names: Mapping[str, str]) -> Self:
        """Return the view of one dataset and version."""
        dataset, version = listed.dataset, listed.version
        own = f"/v1/datasets/{dataset.id}"
        return cls(
            id=dataset.id,
            version=version.id,
            number=version.number,
            name=dataset.name,
            project=project_names[dataset.project_id],
            task=version.task or version.declared_task,
            state=version.state,
            classes=version.classes,
            images=version.images,
            size_bytes=version.archive_bytes,
            created_at=version.created_at,
            verified_at=version.verified_at,
            links={
                "self": own,
                "version": f"/v1/datasets/{version.id}",
                "report": f"{own}/report",
            },
        )


class ReportView(BaseModel):
    """The verification report of a version; `report` is null until the version is verified."""

    id: str
    version: str
    state: VersionState
    report: Report | None

    @classmethod
    def of(cls, listed: ListedDataset) -> Self:
        """Return the report of one version."""
        version = listed.version
        stored = version.report
        report = None
        if stored is not None:
            report = Report.model_validate({**stored, "training": version.training_facts})
        return cls(id=listed.dataset.id, version=version.id, state=version.state, report=report)
