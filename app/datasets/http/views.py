"""The JSON representations of datasets in responses."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Self

from pydantic import BaseModel, Field, JsonValue

from app.core.pages import SHOWN_CLASSES, Page
from app.core.path_prefix import link
from app.datasets.dataset_pages import MAX_COUNT
from app.datasets.packs.progress import VerificationProgress
from app.datasets.remedies.requests import MAX_OPTIONS_CHARACTERS, FindingView, FindingViews
from app.datasets.reports.finding_codes import Severity
from app.datasets.reports.report import Change, Report
from app.datasets.repository import ListedDataset
from app.datasets.tables import DatasetVersion, VersionState

JOBS_COUNTED: Final = f"Number of jobs that refer to it; {MAX_COUNT} means that or more."


class DatasetView(BaseModel):
    """A dataset and one of its versions: the newest, or the requested one.

    `task` is the declared task until the version is verified; `classes`, `class_count` and `images`
    are null until then.
    """

    id: str = Field(description="Id of the dataset.", examples=["ds_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    version: str = Field(
        description="Id of the version.", examples=["dsv_01JZ8QD3W5X0A1B2C3D4E5F6G7"]
    )
    number: int = Field(description="Number of the version, from 1.", examples=[3])
    name: str = Field(description="Name of the dataset.", examples=["night"])
    project: str = Field(description="Name of the project that owns it.", examples=["default"])
    task: str | None = Field(
        description="The task that it is for. null: not known yet.", examples=["detect"]
    )
    state: VersionState = Field(
        description="Whether jobs can train on the version.", examples=["ready"]
    )
    classes: list[str] | None = Field(
        description=f"The first {SHOWN_CLASSES} class names; `links.classes` has all.",
        examples=[["scratch", "dent"]],
    )
    class_count: int | None = Field(description="Number of classes.", examples=[2])
    images: dict[str, int] | None = Field(
        description="Images that training reads, by split. null: not verified.",
        examples=[{"train": 640, "val": 160}],
    )
    size_bytes: int = Field(description="Size of the uploaded archive.", examples=[734_003_200])
    options: dict[str, JsonValue] | None = Field(
        description="The options with which it is read, as in `POST …/versions`; empty: the "
        f"defaults. null: they are longer than {MAX_OPTIONS_CHARACTERS} characters.",
        examples=[{"policy": "strict"}],
    )
    digest: str | None = Field(
        description="SHA-256 of the list of its files: versions with equal digests are equal.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    changes: dict[Change, int] | None = Field(
        description="Numbers of images that differ from the ready version before this one.",
        examples=[{"added": 12, "relabelled": 3}],
    )
    findings: dict[Severity, int] | None = Field(
        description="Number of findings by severity. null: not verified.", examples=[{"warning": 2}]
    )
    created_at: datetime = Field(description="When the version was uploaded or made.")
    verified_at: datetime | None = Field(
        description="When its verification ended. null: it has not."
    )
    progress: VerificationProgress | None = Field(
        description="Of a running verification, a second or a few old. "
        "null: it waits or has ended.",
        examples=[None],
    )
    links: dict[str, str] = Field(
        description="Paths that belong to it, by name.",
        examples=[{"self": "/v1/datasets/ds_01JZ8QD3W5X0A1B2C3D4E5F6G7"}],
    )

    @classmethod
    def of(cls, listed: ListedDataset, project_names: Mapping[str, str]) -> Self:
        """Return the view of one dataset and version."""
        return cls(**cls.fields_of(listed, project_names))

    @staticmethod
    def fields_of(listed: ListedDataset, project_names: Mapping[str, str]) -> dict[str, Any]:
        """Return the fields that all views of a dataset and version share."""
        dataset, version = listed.dataset, listed.version
        own = link(f"/v1/datasets/{dataset.id}")
        return {
            "id": dataset.id,
            "version": version.id,
            "number": version.number,
            "name": dataset.name,
            "project": project_names[dataset.project_id],
            "task": version.task or version.declared_task,
            "state": version.state,
            "classes": version.first_classes,
            "class_count": version.class_count,
            "images": version.images,
            "size_bytes": version.archive_bytes,
            "options": _shown_options(version),
            "digest": version.manifest_digest if version.manifest_bytes else None,
            "changes": None if version.changes is None else _changes(version.changes),
            "findings": version.finding_counts,
            "created_at": version.created_at,
            "verified_at": version.verified_at,
            "progress": _progress_of(version),
            "links": {
                "self": own,
                "version": link(f"/v1/datasets/{version.id}"),
                "classes": link(f"/v1/datasets/{version.id}/classes"),
                "report": f"{own}/report",
                "findings": f"{own}/findings",
            },
        }


class VersionRow(DatasetView):
    """A version in a list."""

    jobs: int = Field(description=JOBS_COUNTED, examples=[7])

    @classmethod
    def counted(cls, listed: ListedDataset, project_names: Mapping[str, str], *, jobs: int) -> Self:
        """Return the row of one version."""
        return cls(**cls.fields_of(listed, project_names), jobs=jobs)


class DatasetRow(VersionRow):
    """A dataset in a list, with its newest version. `jobs` are those of all its versions."""

    versions: int = Field(description="Number of versions.", examples=[3])

    @classmethod
    def counted(cls, listed: ListedDataset, project_names: Mapping[str, str], *, jobs: int) -> Self:
        """Return the row of one dataset; versions are numbered from 1 and never removed alone."""
        fields = cls.fields_of(listed, project_names)
        return cls(**fields, jobs=jobs, versions=listed.version.number)


class DatasetPage(Page[DatasetRow]):
    """A page of datasets, and how many there are by state."""

    counts: dict[VersionState, int] | None = Field(
        default=None,
        exclude_if=lambda counts: counts is None,
        description="Datasets by state of the newest version, under the same filters but for "
        f"`state`, at most {MAX_COUNT} of each. Omitted unless `counts=true`.",
        examples=[{"ready": 12, "invalid": 1}],
    )
    counts_capped: list[VersionState] | None = Field(
        default=None,
        exclude_if=lambda capped: capped is None,
        description="States of which there may be more. Omitted unless `counts=true`.",
        examples=[[]],
    )


def _changes(stored: Mapping[str, int]) -> dict[Change, int]:
    return {Change(name): count for name, count in stored.items()}


def _progress_of(version: DatasetVersion) -> VerificationProgress | None:
    if version.state is not VersionState.VALIDATING or version.progress is None:
        return None
    return VerificationProgress.model_validate(version.progress)


def _shown_options(version: DatasetVersion) -> dict[str, JsonValue] | None:
    options = _options_of(version)
    given: dict[str, JsonValue] = {
        name: value for name, value in options.items() if value is not None
    }
    return given if len(str(given)) <= MAX_OPTIONS_CHARACTERS else None


def _options_of(version: DatasetVersion) -> dict[str, JsonValue]:
    return {**(version.options or {}), "task": version.declared_task}


class FullReport(Report):
    """The result of a verification, with the remedies of its findings."""

    findings: list[FindingView] = Field(description="What was found, with remedies.")  # type: ignore[assignment] # what is stored, and how to fix it


class ReportView(BaseModel):
    """The verification report of a version; `report` is null until the version is verified."""

    id: str = Field(description="Id of the dataset.", examples=["ds_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    version: str = Field(
        description="Id of the version.", examples=["dsv_01JZ8QD3W5X0A1B2C3D4E5F6G7"]
    )
    state: VersionState = Field(
        description="Whether jobs can train on the version.", examples=["ready"]
    )
    report: FullReport | None = Field(description="The report. null: not verified.")

    @classmethod
    def of(cls, listed: ListedDataset) -> Self:
        """Return the report of one version."""
        version = listed.version
        stored = version.report
        report = None
        if stored is not None:
            held = Report.model_validate({**stored, "training": version.training_facts})
            views = finding_views(listed)
            fields = {name: getattr(held, name) for name in Report.model_fields}
            report = FullReport(**fields | {"findings": [*map(views.view, held.findings)]})
        return cls(id=listed.dataset.id, version=version.id, state=version.state, report=report)


def finding_views(listed: ListedDataset) -> FindingViews:
    """Return what shows the findings of a version with their remedies."""
    version = listed.version
    return FindingViews(listed.dataset.id, version.id, _options_of(version))
