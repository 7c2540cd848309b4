"""The request and the report of the verification process: the files that it reads and writes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.core.tasks import Task
from app.datasets.reports.class_options import ClassMap, ClassName, Colours
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Finding, Findings, Fix, Policy

Split = Literal["train", "val", "test"]
IgnoreReason = Literal["system-metadata", "labels-cache", "unread-type", "not-in-a-split"]

SPLITS: Final[tuple[Split, ...]] = get_args(Split)
SHARES_TOLERANCE: Final = 1e-6
USUAL_SHARES: Final = "80:20"

REPORT_NAME: Final = "report.json"
PACK_NAME: Final = "pack.zip"
PACKED_NAME: Final = "packed.jsonl"
MANIFEST_NAME: Final = "manifest.jsonl"
FACTS_NAME: Final = "facts.json"
FINDINGS_NAME: Final = "findings.jsonl"
"""Files that the verification process writes.

It keeps a pack only of a ready version, and all findings only where a report omits some.
"""

PARTS: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True)
class Limits:
    """Limits of an archive and its files; exceeding one is a finding."""

    max_members: int = 500_000
    max_directory_bytes: int = 128 * MIB
    max_name_characters: int = 4096
    max_name_folders: int = 64
    max_names_characters: int = 64 * MIB
    max_inner_archives: int = 2
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


class SplitShares(BaseModel):
    """The share of the images that each split gets where splits are made; they sum up to 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: float = Field(0.8, ge=0.001, lt=1, description="Share of the training split.")
    val: float = Field(0.2, ge=0.001, lt=1, description="Share of the validation split.")
    test: float = Field(0.0, ge=0, lt=1, description="Share of the test split.")

    @model_validator(mode="after")
    def _sum_up(self) -> Self:
        total = self.train + self.val + self.test
        if abs(total - 1) > SHARES_TOLERANCE:
            text = f"The shares of train, val and test must sum up to 1, not {total:g}."
            raise PydanticCustomError("split-shares-total", text)
        return self


def _shares(value: object) -> object:
    """Read `80:20` or `70:20:10` (train, val and test); other values are left to the model."""
    if not isinstance(value, str):
        return value
    numbers = [float(part) for part in value.split(":") if PARTS.fullmatch(part)]
    total = sum(numbers)
    if len(numbers) not in {2, 3} or value.count(":") + 1 != len(numbers) or not total:
        raise PydanticCustomError(
            "split-shares", "Shares of train, val and test are expected, such as 80:20 or 70:20:10."
        )
    train, val, test = (*(number / total for number in numbers), 0.0)[:3]
    return {"train": train, "val": val, "test": test}


def _as_text(shares: SplitShares) -> str:
    # Fixed decimals: an exponent would not be read back.
    return f"{shares.train * 100:.4f}:{shares.val * 100:.4f}:{shares.test * 100:.4f}"


Shares = Annotated[
    SplitShares,
    BeforeValidator(_shares),
    PlainSerializer(_as_text),
    WithJsonSchema({"type": "string", "pattern": "^[0-9.]+(:[0-9.]+){1,2}$", "maxLength": 40}),
]


class ImportOptions(BaseModel):
    """How an archive is read; what is left out is determined from its files."""

    model_config = ConfigDict(extra="forbid")

    task: Task | None = Field(
        default=None, description="Optional if the files determine the task.", examples=["detect"]
    )
    policy: Policy = Field(
        default="lenient",
        description="lenient: an image that training would skip is dropped and reported. "
        "strict: it makes the version invalid.",
    )
    max_bad_ratio: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="Largest share of images that the lenient policy may drop.",
    )
    data_yaml: str | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="Path of the data.yaml in the archive. Default: the one that describes the "
        "dataset.",
        examples=["data.yaml"],
    )
    names: list[ClassName] | None = Field(
        default=None,
        min_length=1,
        max_length=30_000,
        description="Class names in class order. Default: as in the archive.",
        examples=[["scratch", "dent"]],
    )
    class_map: ClassMap | None = Field(
        default=None,
        description="The new name of a class by its name in the archive. Classes that get one name "
        "become one class; null drops the objects of a class.",
        examples=[{"scratches": "scratch", "dirt": None}],
    )
    colours: Colours | None = Field(
        default=None,
        description="For masks of colours: the red, green and blue (0 to 255) of each class, in "
        "class order.",
        examples=[{"road": [128, 64, 128]}],
    )
    splits: Shares | None = Field(
        default=None,
        description="Divide all images again by these shares of train, val and test, such as 80:20 "
        "or 70:20:10. Default: as the author divided them; a missing val is made from train.",
        examples=["80:20"],
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.names is not None and self.colours is not None:
            text = "Send `names` or `colours`, which has the names too."
            raise PydanticCustomError("names-and-colours", text)
        return self


class Change(StrEnum):
    """What became of a file from one version to the next."""

    ADDED = "added"
    REMOVED = "removed"
    REPLACED = "replaced"
    RELABELLED = "relabelled"


class VerificationRequest(BaseModel):
    """The content of the file that is passed to the verification process.

    The files are those of an uploaded `archive`, or of a list of stored files (`assembly`, see
    `packs/assembly.py`), or both. The list is that of a client (`is_listing`) or of a version.
    `previous` is the manifest of the version before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    archive: Path | None = None
    assembly: Path | None = None
    is_listing: bool = False
    previous: Path | None = None
    output: Path
    options: ImportOptions = ImportOptions()
    limits: Limits = Limits()
    process_limits: ProcessLimits = ProcessLimits()


class PackRequest(BaseModel):
    """The request to read training facts and manifest of a pack that an earlier release wrote."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pack: Path
    output: Path
    task: Task
    limits: Limits = Limits()
    process_limits: ProcessLimits = ProcessLimits()


class SplitSummary(BaseModel):
    """Counts of one split; `backgrounds` are images without an object.

    `images` are those that training reads; `dropped` were left out because of a fault.
    """

    images: int = Field(default=0, description="Images that training reads.", examples=[640])
    dropped: int = Field(
        default=0, description="Images that were left out because of a fault.", examples=[2]
    )
    labels: int = Field(default=0, description="Label files, or masks.", examples=[631])
    backgrounds: int = Field(default=0, description="Images without an object.", examples=[9])
    objects: int = Field(default=0, description="Objects of all images.", examples=[1844])


class IgnoredMembers(BaseModel):
    """The members that were ignored for one reason, with the first few names as examples."""

    reason: IgnoreReason = Field(description="Why they were ignored.")
    count: int = Field(description="Number of members.", examples=[2])
    examples: list[str] = Field(
        description="Names of the first of them.", examples=[["__MACOSX/data.yaml"]]
    )


class TrainingFacts(BaseModel):
    """What decides, besides classes and sizes, which training arguments have an effect."""

    model_config = ConfigDict(frozen=True)

    running_max_objects: dict[Split, list[tuple[int, int]]] | None = Field(
        description="By split, each image with more objects than all images before it: its "
        "position in training order, from 0, and its objects without duplicates. The first one is "
        "the first image with an object. null: the targets are no label files.",
        examples=[{"train": [(0, 3), (17, 8)]}],
    )
    has_flip_idx: bool = Field(description="Whether the data.yaml has flip_idx.", examples=[False])
    has_masks: bool = Field(
        description="Whether the targets are masks of pixels.", examples=[False]
    )


class Report(BaseModel):
    """The result of a verification.

    `class_counts` counts the objects of each class; for masks, the images that show the class.
    """

    task: Task | None = Field(default=None, description="The task that it is for. null: not known.")
    format: str | None = Field(
        None, description="The format that was recognised.", examples=["yolo"]
    )
    state: Literal["ready", "invalid"] = Field(
        description="`ready`: jobs can train on the version.", examples=["ready"]
    )
    classes: list[str] = Field(
        default=[], description="Class names in class order.", examples=[["scratch", "dent"]]
    )
    splits: dict[Split, SplitSummary] = Field(default={}, description="Counts by split.")
    class_counts: dict[Split, dict[str, int]] = Field(
        default={},
        description="Objects of each class by split; for masks, images that show the class.",
        examples=[{"train": {"scratch": 1398, "dent": 446}}],
    )
    findings: list[Finding] = Field(description="What was found.")
    finding_totals: dict[str, int] = Field(
        description="Number of findings by code, including those that `findings` omits.",
        examples=[{"image-repeated": 1}],
    )
    ignored: list[IgnoredMembers] = Field(
        default=[], description="Members of the archive that were ignored."
    )
    channels: int = Field(default=3, description="Channels of the images as a model reads them.")
    keypoints: tuple[int, int] | None = Field(
        None,
        description="Of a pose dataset: number of keypoints, and values per keypoint.",
        examples=[None, (17, 3)],
    )
    adds_background: bool = Field(
        default=False,
        description="true: Ultralytics adds a background class for pixels outside all polygons.",
    )
    training: TrainingFacts | None = Field(
        None,
        description="null: not ready, or verified by an earlier release and not yet read again.",
    )
    manifest_digest: str | None = Field(
        None,
        description="SHA-256 of the manifest, hex: equal digests mean equal files.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    changes: dict[Change, int] | None = Field(
        None,
        description="Numbers of files that differ from the ready version before this one.",
        examples=[{"added": 12, "relabelled": 3}],
    )
    pack_bytes: int | None = Field(
        None, description="Bytes of all files that training reads.", examples=[731_118_592]
    )


def invalid_report(code: Code, message: str, fixes: Sequence[Fix] = ()) -> Report:
    """Return the report of a verification that could not be completed."""
    findings = Findings()
    findings.add(code, message, fixes=fixes)
    return Report(state="invalid", findings=findings.kept(), finding_totals=findings.totals())
