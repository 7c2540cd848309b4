"""Read training facts and manifest of a pack that an earlier release wrote.

The pack has one layout, and its labels were verified when it was written.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Final

from app.datasets.archives.audit import Archive, Member, open_zip
from app.datasets.archives.zip_container import stored_at
from app.datasets.packs.manifest import (
    DATASET_YAML,
    LABEL_FOLDERS,
    ManifestFile,
    below_first_folder,
    write_manifest,
)
from app.datasets.packs.pack import (
    PACK_LIMITS,
    PackCorruptError,
    PackedFile,
    write_packed_list,
)
from app.datasets.reports.findings import Findings
from app.datasets.reports.report import (
    MANIFEST_NAME,
    PACKED_NAME,
    SPLITS,
    PackRequest,
    Split,
    TrainingFacts,
)
from app.datasets.verification.dataset_yaml import DatasetFields, read_dataset_yaml
from app.datasets.verification.images import IMAGE_SUFFIXES, ImageRules, size_in_header
from app.datasets.verification.labels import KEYPOINT_TASKS, LabelRules, check_labels
from app.datasets.verification.statistics import RunningMaximum
from app.datasets.verification.tree import suffix

NO_FACTS: Final = TrainingFacts(running_max_objects=None, has_flip_idx=False, has_masks=False)
"""Of a dataset without a data.yaml: for classification the folders are the labels."""


def read_pack_facts(request: PackRequest) -> TrainingFacts:
    """Return the training facts of a pack; write its manifest and the list of its files.

    Raises:
        PackCorruptError: the file is damaged or is not a pack.
    """
    findings = Findings()
    with open_zip(request.pack, PACK_LIMITS, findings) as archive:
        if archive is None:
            raise PackCorruptError(findings.kept()[0].message)
        members = {member.name: member for member in archive.members}
        fields = DatasetFields()
        if DATASET_YAML in members:
            content = archive.read(members[DATASET_YAML])
            read = read_dataset_yaml(content, DATASET_YAML, findings)
            if read is None:
                raise PackCorruptError(findings.kept()[0].message)
            fields = read
        _write_manifest(request, fields, archive)
        return _facts(request, fields, archive, members) if DATASET_YAML in members else NO_FACTS


def _write_manifest(request: PackRequest, fields: DatasetFields, archive: Archive) -> None:
    rules = ImageRules(fields.channels, is_classified=request.task == "classify")
    files: list[ManifestFile] = []
    packed: dict[str, PackedFile] = {}
    for member in archive.members:
        content, offset = archive.read(member), stored_at(archive, member)
        if offset is None:
            raise PackCorruptError(f"{member.name} is compressed")
        digest = hashlib.sha256(content).hexdigest()
        size = None
        if member.name.split("/")[0] not in LABEL_FOLDERS and suffix(member.name) in IMAGE_SUFFIXES:
            size = size_in_header(content, suffix(member.name), rules, request.limits)
        width, height = size or (None, None)
        files.append(ManifestFile(member.name, digest, len(content), width, height))
        packed.setdefault(digest, PackedFile(digest, offset, len(content)))
    write_packed_list(request.output / PACKED_NAME, packed.values())
    write_manifest(request.output / MANIFEST_NAME, request.task, _labelled(files))


def _labelled(files: Sequence[ManifestFile]) -> Iterator[ManifestFile]:
    """Yield the files; an image with the digest of its label file, mask or depth map."""
    labels = {
        below_first_folder(file.path): file.sha256
        for file in files
        if file.path.partition("/")[0] in LABEL_FOLDERS
    }
    for file in files:
        yield (
            replace(file, label=labels.get(below_first_folder(file.path)))
            if file.is_image
            else file
        )


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
