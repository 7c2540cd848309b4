"""The request and the report of the verification process: the files that it reads and writes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from app.core.tasks import Task
from app.datasets.archives.findings import Code, Finding, Findings

Split = Literal["train", "val", "test"]
IgnoreReason = Literal["system-metadata", "labels-cache", "unread-type", "not-in-a-split"]

SPLITS: Final[tuple[Split, ...]] = get_args(Split)

REPORT_NAME: Final = "report.json"
PACK_NAME: Final = "pack.zip"
FACTS_NAME: Final = "facts.json"
"""Files that the verification process writes; it keeps a pack only of a ready version."""

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True)
class Limits:
    """Limits of an archive and its files; exceeding one is a finding."""

    max_members: int = 500_000
    max_directory_bytes: int = 128 * MIB
    max_member_bytes: int = 512 * MIB
    max_total_bytes: int = 64 * GIB
    max_ratio: int = 100
    ratio_free_bytes: int = 16 * MIB
    max_image_pixels: int = 64_000_000
    max_image_side: int = 16_384
    max_label_bytes: int = 16 * MIB
    max_label_rows: int = 100_000


@dataclass(frozen=True)
class ProcessLimits:
    """Resource limits that the verification process sets for itself before it opens the archive."""

    cpu_seconds: int = 3600
    address_space_bytes: int = 4 * GIB
    file_bytes: int = 64 * GIB


class VerificationRequest(BaseModel):
    """The content of the file that is passed to the verification process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    archive: Path
    output: Path
    task: Task | None = None
    limits: Limits = Limits()
    process_limits: ProcessLimits = ProcessLimits()


class PackRequest(BaseModel):
    """The request to read the training facts of a pack that an earlier release wrote."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pack: Path
    output: Path
    task: Task
    limits: Limits = Limits()
    process_limits: ProcessLimits = ProcessLimits()


class SplitSummary(BaseModel):
    """Counts of one split; `backgrounds` are images without an object."""

    images: int = 0
    labels: int = 0
    backgrounds: int = 0
    objects: int = 0


class IgnoredMembers(BaseModel):
    """The members that were ignored for one reason, with the first few names as examples."""

    reason: IgnoreReason
    count: int
    examples: list[str]


class TrainingFacts(BaseModel):
    """What decides, besides classes and sizes, which training arguments have an effect."""

    model_config = ConfigDict(frozen=True)

    running_max_objects: dict[Split, list[tuple[int, int]]] | None = Field(
        description="By split, each image with more objects than all images before it: its "
        "position in training order, from 0, and its objects without duplicates. The first one is "
        "the first image with an object. null: the targets are no label files."
    )
    has_flip_idx: bool = Field(description="Whether the data.yaml has flip_idx.")
    has_masks: bool = Field(description="Whether the targets are masks of pixels.")


class Report(BaseModel):
    """The result of a verification.

    `class_counts` counts the objects of each class; for masks, the images that show the class.
    """

    task: Task | None = None
    state: Literal["ready", "invalid"]
    classes: list[str] = []
    splits: dict[Split, SplitSummary] = {}
    class_counts: dict[Split, dict[str, int]] = {}
    findings: list[Finding]
    finding_totals: dict[str, int] = Field(
        description="Number of findings by code, including those that `findings` omits."
    )
    ignored: list[IgnoredMembers] = []
    channels: int = Field(default=3, description="Channels of the images as a model reads them.")
    keypoints: tuple[int, int] | None = Field(
        None, description="Of a pose dataset: number of keypoints, and values per keypoint."
    )
    adds_background: bool = Field(
        default=False,
        description="true: Ultralytics adds a background class for pixels outside all polygons.",
    )
    training: TrainingFacts | None = Field(
        None,
        description="null: not ready, or verified by an earlier release and not yet read again.",
    )
    manifest_digest: str | None = Field(None, description="SHA-256 of manifest.json, hex.")
    pack_bytes: int | None = None


def invalid_report(code: Code, message: str) -> Report:
    """Return the report of a verification that could not be completed."""
    findings = Findings()
    findings.add(code, message)
    return Report(state="invalid", findings=findings.kept(), finding_totals=findings.totals())
