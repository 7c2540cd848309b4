"""Verify an uploaded archive and write its pack. Runs in the verification process.

A format reads the archive into a `Source`; missing splits are made; every image is checked with its
annotations and stored. Every file is inflated and checked once.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

from app.datasets.archives.audit import open_archive
from app.datasets.archives.finding_codes import Code
from app.datasets.archives.findings import Findings
from app.datasets.archives.pack import DATASET_YAML, PackWriter
from app.datasets.archives.report import (
    PACK_NAME,
    Report,
    Split,
    TrainingFacts,
    VerificationRequest,
)
from app.datasets.verification.arrange import arrange, sort_classes
from app.datasets.verification.dataset_yaml import render_dataset_yaml
from app.datasets.verification.formats.choose import read_source
from app.datasets.verification.formats.masks import MaskRules
from app.datasets.verification.formats.other_formats.mask_colours import ColourIds
from app.datasets.verification.formats.yolo import labels_without_image
from app.datasets.verification.formats.yolo_labels import stem_of, target_stem
from app.datasets.verification.images import UNREAD_PICTURE_SUFFIXES
from app.datasets.verification.labels import KEYPOINT_TASKS
from app.datasets.verification.members import MemberReader
from app.datasets.verification.samples import SampleChecker, SampleRules
from app.datasets.verification.source import YOLO, Source, Upload
from app.datasets.verification.splits import complete_splits
from app.datasets.verification.statistics import Statistics
from app.datasets.verification.tree import Sample, Tree, suffix, tree_of

MANIFEST_NAME: Final = "manifest.json"
EMPTY_CLASS: Final = ".empty"
NEEDED_SPLITS: Final[tuple[Split, ...]] = ("train", "val")

Samples = dict[Split, list[Sample]]


@dataclass
class Run:
    """The state of one running verification."""

    request: VerificationRequest
    findings: Findings
    statistics: Statistics = field(default_factory=Statistics)
    tree: Tree = field(default_factory=lambda: Tree({}))
    source: Source | None = None


def verify(request: VerificationRequest) -> Report:
    """Verify the archive of the request; if it is valid, write pack and manifest to its output."""
    run = Run(request, Findings(request.options.policy))
    digest = None
    with open_archive(request.archive, request.limits, run.findings, request.output) as archive:
        if archive is not None:
            run.tree = tree_of(archive.members, archive.folders)
            members = MemberReader(archive, run.tree, run.findings, request.limits)
            samples = _read(run, members)
            if run.source is not None and samples is not None and not run.findings.has_errors:
                digest = _check_and_pack(run, run.source, samples, members)
    return _report(run, digest)


def _report(run: Run, digest: str | None) -> Report:
    source = run.source
    names = source.names if source else []
    is_ready = digest is not None and not run.findings.has_errors
    pack = run.request.output / PACK_NAME
    return Report(
        task=source.task if source else None,
        format=source.format if source else None,
        state="ready" if is_ready else "invalid",
        classes=names,
        splits=run.statistics.splits,
        class_counts=run.statistics.by_name(names),
        findings=run.findings.kept(),
        finding_totals=run.findings.totals(),
        ignored=run.tree.ignored_members(),
        **({} if source is None else _read_by_models(source)),
        training=_training_facts(run, source) if source is not None and is_ready else None,
        manifest_digest=digest if is_ready else None,
        pack_bytes=pack.stat().st_size if is_ready else None,
    )


def _read_by_models(source: Source) -> dict[str, Any]:
    """Return what determines the sizes of a model's first and last layers.

    See Ultralytics 8.4.190, data/utils.py:1026.
    """
    is_outlined = source.task == "semantic" and not source.has_masks
    return {
        "channels": source.fields.channels,
        "keypoints": source.fields.kpt_shape if source.task == "pose" else None,
        "adds_background": is_outlined and len(source.names) > 1,
    }


def _training_facts(run: Run, source: Source) -> TrainingFacts:
    has_labels = source.task not in {"classify", "depth"} and not source.has_masks
    return TrainingFacts(
        running_max_objects=run.statistics.records.by_split if has_labels else None,
        has_flip_idx=bool(source.fields.flip_idx),
        has_masks=source.has_masks,
    )


def _read(run: Run, members: MemberReader) -> Samples | None:
    """Read the archive by its format and arrange its images."""
    upload = Upload(members, run.request.options)
    source = run.source = read_source(upload)
    if source is None:
        return None
    if source.task == "classify":
        sort_classes(source, run.findings)
    complete_splits(source, upload)
    samples = arrange(source, run.findings)
    _judge_splits(run, source, samples)
    _note_unused(run, source)
    return samples


def _judge_splits(run: Run, source: Source, samples: Samples) -> None:
    for split in NEEDED_SPLITS:
        if not samples.get(split) and not run.findings.has_errors:
            text = f"There are no {split} images; add some, or send `splits` to divide all images."
            run.findings.add(Code.SPLIT_MISSING, text)
    if len(set(source.names)) < len(source.names):
        text = "Two classes have the same name."
        run.findings.add(Code.NAMES_REPEATED, text)


def _note_unused(run: Run, source: Source) -> None:
    """Report labels without an image, and count every other file that was not used."""
    images = source.images
    used = {
        path
        for split, of_split in images.items()
        if split is not None
        for image in of_split
        for path in (image.image, image.target)
    }
    unread = _note_unread_pictures(run, source)
    if source.format == YOLO and not source.has_masks and source.task != "depth":
        stray = labels_without_image(run.tree, images)
        for path in stray:
            if stem_of(path) in unread:
                continue
            text = "No image of a split has this name."
            run.findings.add(Code.LABEL_WITHOUT_IMAGE, text, file=path)
        used.update(stray)
    run.tree.ignore_unused(used | source.read)


def _note_unread_pictures(run: Run, source: Source) -> set[str]:
    """Report pictures beside the images of a split that have a type that is not read.

    Returns the paths, without suffix, of their labels.
    """
    folders: dict[str, Split] = {}
    for split, of_split in source.images.items():
        if split is not None:
            folders |= {image.image.rpartition("/")[0]: split for image in of_split}
    labels = set()
    for member in run.tree.ignored["unread-type"]:
        path = member.removeprefix(run.tree.root)
        if suffix(path) not in UNREAD_PICTURE_SUFFIXES:
            continue
        of_folder = folders.get(path.rpartition("/")[0])
        if of_folder is not None:
            text = f"Pictures of type {suffix(path)} are not read; save it as JPEG or PNG."
            run.findings.add(Code.IMAGE_TYPE_UNREAD, text, file=path)
            run.statistics.drop(of_folder)
            labels |= {target_stem(path, "labels"), stem_of(path)}
    return labels


def _check_and_pack(
    run: Run, source: Source, samples: Samples, members: MemberReader
) -> str | None:
    """Check every sample and store it; return the manifest's digest."""
    output = run.request.output
    mapping = source.fields.label_mapping
    rules = SampleRules(
        source.task,
        len(source.names),
        channels=source.fields.channels,
        keypoints=source.fields.kpt_shape,
        masks=MaskRules.of(source.names, mapping) if source.has_masks else None,
        colours=None if source.mask_colours is None else ColourIds(source.mask_colours),
        max_bad_ratio=run.request.options.max_bad_ratio,
    )
    with PackWriter(output / PACK_NAME) as pack:
        if source.task != "classify":
            pack.add(DATASET_YAML, _our_yaml(source, samples))
        SampleChecker(rules, members, pack, run.statistics).check_all(samples)
        if source.task == "classify":
            _keep_empty_classes(run, source, pack)
    if source.task != "depth":
        run.statistics.judge(source.names, samples, run.findings)
    if run.findings.has_errors:
        return None
    manifest = pack.manifest(source.task).to_json()
    (output / MANIFEST_NAME).write_bytes(manifest)
    return hashlib.sha256(manifest).hexdigest()


def _keep_empty_classes(run: Run, source: Source, pack: PackWriter) -> None:
    """Store a file in the folder of each class without an image in train.

    Training numbers the folders of train, and an archive of files has no empty folder.
    """
    counts = run.statistics.by_name(source.names).get("train", {})
    for name in source.names:
        if not counts.get(name):
            pack.add(f"train/{name}/{EMPTY_CLASS}", b"")


def _our_yaml(source: Source, samples: Samples) -> bytes:
    """Return the generated data.yaml with the keys that the task uses.

    A detect job on a pose dataset needs kpt_shape to read the boxes.
    """
    fields = source.fields
    content: dict[str, Any] = {"channels": fields.channels}
    if source.task in KEYPOINT_TASKS and fields.kpt_shape:
        content["kpt_shape"] = list(fields.kpt_shape)
        content["flip_idx"] = fields.flip_idx
        content["kpt_names"] = fields.kpt_names
        content["kpt_oks_sigmas"] = fields.kpt_oks_sigmas
    if source.has_masks:
        content["masks_dir"] = "masks"
        content["label_mapping"] = fields.label_mapping
    if source.task == "depth":
        content["depth_scale"] = fields.depth_scale
        content["max_depth"] = fields.max_depth
    given = {key: value for key, value in content.items() if value is not None}
    return render_dataset_yaml(given, source.names, samples)
