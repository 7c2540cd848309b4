"""Read the training facts of a pack that an earlier release wrote. Runs in the same process.

The pack has one layout, and its labels were verified when it was written.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from app.datasets.archives.audit import Archive, Member, open_zip
from app.datasets.archives.findings import Findings
from app.datasets.archives.pack import DATASET_YAML, PACK_LIMITS, PackCorruptError
from app.datasets.archives.report import SPLITS, PackRequest, Split, TrainingFacts
from app.datasets.verification.dataset_yaml import DatasetFields, read_dataset_yaml
from app.datasets.verification.labels import KEYPOINT_TASKS, LabelRules, check_labels
from app.datasets.verification.statistics import RunningMaximum

NO_FACTS: Final = TrainingFacts(running_max_objects=None, has_flip_idx=False, has_masks=False)
"""Of a dataset without a data.yaml: for classification the folders are the labels."""


def read_pack_facts(request: PackRequest) -> TrainingFacts:
    """Return the training facts of a pack.

    Raises:
        PackCorruptError: the file is damaged or is not a pack.
    """
    findings = Findings()
    with open_zip(request.pack, PACK_LIMITS, findings) as archive:
        if archive is None:
            raise PackCorruptError(findings.kept()[0].message)
        members = {member.name: member for member in archive.members}
        if DATASET_YAML not in members:
            return NO_FACTS
        content = archive.read(members[DATASET_YAML])
        fields = read_dataset_yaml(content, DATASET_YAML, findings)
        if fields is None:
            raise PackCorruptError(findings.kept()[0].message)
        return _facts(request, fields, archive, members)


def _facts(
    request: PackRequest, fields: DatasetFields, archive: Archive, members: dict[str, Member]
) -> TrainingFacts:
    has_masks = fields.masks_dir is not None
    facts = NO_FACTS.model_copy(
        update={"has_flip_idx": bool(fields.flip_idx), "has_masks": has_masks}
    )
    if has_masks or request.task == "depth":
        return facts
    keypoints = fields.kpt_shape if request.task in KEYPOINT_TASKS else None
    rules = LabelRules(request.task, len(fields.class_names or ()), keypoints)
    records = RunningMaximum()
    for split in SPLITS:
        for position, label in enumerate(_labels(split, members)):
            content = b"" if label is None else archive.read(label)
            records.note(split, position, check_labels(content, rules, request.limits).objects)
    return facts.model_copy(update={"running_max_objects": records.by_split})


def _labels(split: Split, members: dict[str, Member]) -> Iterator[Member | None]:
    """Yield the label file of each image of a split, in training order; None for a background."""
    images = f"images/{split}/"
    for name in sorted(name for name in members if name.startswith(images)):
        below = PurePosixPath(name.removeprefix(images)).with_suffix(".txt")
        yield members.get(f"labels/{split}/{below}")
