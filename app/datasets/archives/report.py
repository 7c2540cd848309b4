"""What goes into a verification and what comes out: the files between server and its process."""

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
"""What the process writes to the output folder of its request; a pack only for a ready version."""

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True)
class Limits:
    """What an archive and its files may be; more than that is a finding."""

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
    """What the process may use; it sets them for itself before it opens the archive."""

    cpu_seconds: int = 3600
    address_space_bytes: int = 4 * GIB
    file_bytes: int = 64 * GIB


class VerificationRequest(BaseModel):
    """The file that the process is started with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    archive: Path
    output: Path
    task: Task | None = None
    limits: Limits = Limits()
    process_limits: ProcessLimits = ProcessLimits()


class SplitSummary(BaseModel):
    """How much a split holds; `backgrounds` are images without an object."""

    images: int = 0
    labels: int = 0
    backgrounds: int = 0
    objects: int = 0


class IgnoredMembers(BaseModel):
    """Members that were left out, by reason, with the first few names."""

    reason: IgnoreReason
    count: int
    examples: list[str]


class Report(BaseModel):
    """What the verification found; `class_counts` are objects, for masks images with the class."""

    task: Task | None = None
    state: Literal["ready", "invalid"]
    classes: list[str] = []
    splits: dict[Split, SplitSummary] = {}
    class_counts: dict[Split, dict[str, int]] = {}
    findings: list[Finding]
    finding_totals: dict[str, int] = Field(description="by code, those not listed included")
    ignored: list[IgnoredMembers] = []
    channels: int = Field(default=3, description="of the images, as a model reads them")
    keypoints: tuple[int, int] | None = Field(
        None, description="of a pose set: how many, and values of each"
    )
    adds_background: bool = Field(
        default=False, description="Ultralytics adds a class for what no outline covers"
    )
    manifest_digest: str | None = Field(None, description="SHA-256 of manifest.json, hex")
    pack_bytes: int | None = None


def invalid_report(code: Code, message: str) -> Report:
    """Return the report of a verification that could not be carried out."""
    findings = Findings()
    findings.add(code, message)
    return Report(state="invalid", findings=findings.kept(), finding_totals=findings.totals())
