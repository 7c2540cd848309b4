"""The internal form of every format: the images of an archive with their annotations.

A format reads names and annotations, and returns a `Source`. What follows is the same for all
formats: missing splits are made, every image is checked with its annotations, the pack is written.
"""

from dataclasses import dataclass, field
from typing import Final

from app.core.tasks import Task
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings
from app.datasets.reports.report import ImportOptions, Split
from app.datasets.verification.checks.class_change import ClassChange
from app.datasets.verification.dataset_yaml import DatasetFields
from app.datasets.verification.members import MemberReader
from app.datasets.verification.tree import Tree

YOLO: Final = "YOLO"


@dataclass(frozen=True, slots=True)
class SourceImage:
    """One image of the archive and what is in it.

    At most one of `target` (the label file, mask or depth map in the archive), `label` (the class
    of an image for classification) and `rows` (YOLO label rows that were converted from another
    format) is set; an image with none of them is a background. Rows `in_pixels` are divided by the
    width and height of the image when it is checked. `name` is the preferred path in the pack,
    below the folder of the split. An image with a `fault`, the code of a finding that is reported
    already, has none of these: it counts as dropped and is not checked.
    """

    image: str
    name: str
    target: str | None = None
    label: int | None = None
    rows: bytes | None = None
    in_pixels: bool = False
    fault: Code | None = None


@dataclass
class Source:
    """What a format found in an archive.

    `images` are the images of each split as their author divided them; those in no split are under
    None. `read` are the other files that were used: the data.yaml, lists, annotations. Masks with
    `mask_colours` are converted to gray masks of these class ids. Label files and masks have the
    classes before the `class_change`, if there is one; `names` and everything else those after it.
    """

    format: str
    task: Task
    names: list[str]
    images: dict[Split | None, list[SourceImage]]
    fields: DatasetFields = field(default_factory=DatasetFields)
    has_masks: bool = False
    read: set[str] = field(default_factory=set)
    mask_colours: dict[tuple[int, int, int], int] | None = None
    class_change: ClassChange | None = None


@dataclass(frozen=True)
class Upload:
    """The archive to read and the options of its sender."""

    members: MemberReader
    options: ImportOptions

    @property
    def tree(self) -> Tree:
        """The files of the archive."""
        return self.members.tree

    @property
    def findings(self) -> Findings:
        """Where a format reports what is wrong."""
        return self.members.findings
