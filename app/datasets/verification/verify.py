"""Verify an uploaded archive and write its pack. Runs in the verification process.

A format reads the archive into a `Source`; missing splits are made; every image is checked with its
annotations and stored. Every file is inflated and checked once.
"""

import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Final

from app.datasets.archives.audit import Archive, open_archive
from app.datasets.packs.assembly import opened_listing, opened_version, read_assembly
from app.datasets.packs.differences import count_differences
from app.datasets.packs.manifest import (
    DATASET_YAML,
    EMPTY_CLASS,
    read_manifest,
    write_manifest,
)
from app.datasets.packs.pack import PackWriter, write_packed_list
from app.datasets.packs.progress import ProgressWriter, counted
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings, Fix
from app.datasets.reports.overview import OVERVIEW_NAME
from app.datasets.reports.report import (
    FINDINGS_NAME,
    MANIFEST_NAME,
    PACK_NAME,
    PACKED_NAME,
    USUAL_SHARES,
    Change,
    Report,
    Split,
    TrainingFacts,
    VerificationRequest,
)
from app.datasets.verification.arrange import arrange, sort_classes
from app.datasets.verification.dataset_yaml import render_dataset_yaml
from app.datasets.verification.formats.choose import read_source
from app.datasets.verification.formats.class_options import apply_class_options
from app.datasets.verification.formats.masks import MaskRules
from app.datasets.verification.formats.other_formats.mask_colours import ColourIds
from app.datasets.verification.formats.yolo import labels_without_image
from app.datasets.verification.formats.yolo_labels import stem_of, target_stem
from app.datasets.verification.images import IMAGE_SUFFIXES, UNREAD_PICTURE_SUFFIXES
from app.datasets.verification.labels import KEYPOINT_TASKS
from app.datasets.verification.members import NOT_OF_A_FILE, MemberReader
from app.datasets.verification.overview.writer import OverviewWriter
from app.datasets.verification.samples import SampleChecker, SampleRules
from app.datasets.verification.source import YOLO, Source, Upload
from app.datasets.verification.splits import complete_splits
from app.datasets.verification.statistics import Statistics
from app.datasets.verification.tree import (
    Sample,
    Tree,
    suffix,
    tree_of,
    without_wrapping_folder,
)

READINGS: Final = 2
"""How often most formats read their annotations: for the classes, then for the objects."""
NEEDED_SPLITS: Final[tuple[Split, ...]] = ("train", "val")

Samples = dict[Split, list[Sample]]


@dataclass
class Run:
    """The state of one running verification."""

    request: VerificationRequest
    findings: Findings
    progress: ProgressWriter
    statistics: Statistics = field(default_factory=Statistics)
    tree: Tree = field(default_factory=lambda: Tree({}))
    source: Source | None = None
    stored: frozenset[str] = frozenset()
    files_bytes: int = 0
    changes: dict[Change, int] | None = None


def verify(request: VerificationRequest) -> Report:
    """Verify the archive of the request; write pack and manifest of a valid one to its output."""
    progress = ProgressWriter(request.output)
    run = Run(request, Findings(request.options.policy), progress)
    digest = None
    with ExitStack() as stack:
        opened = _opened(run, stack)
        if opened is not None:
            archive = counted(opened, progress.advance)
            run.tree = tree_of(archive.members, archive.folders)
            members = MemberReader(archive, run.tree, run.findings, request.limits)
            digest = _digest_of(run, members)
    run.findings.write_all(request.output / FINDINGS_NAME)
    return _report(run, digest)


def _digest_of(run: Run, members: MemberReader) -> str | None:
    """Read, check and pack; a fault in a parser becomes a finding that names the file."""
    try:
        samples = _read(run, members)
        if run.source is None or samples is None or run.findings.has_errors:
            return None
        return _check_and_pack(run, run.source, samples, members)
    except NOT_OF_A_FILE:
        raise
    except Exception as error:  # noqa: BLE001 -- the outermost net: logged, and found
        traceback.print_exc(file=sys.stderr)
        text = f"The verification failed at this file ({type(error).__name__}); report it to us."
        run.findings.add(Code.VERIFICATION_CRASHED, text, file=members.reading.path)
        return None


def _opened(run: Run, stack: ExitStack) -> Archive | None:
    """Open the archive, the list of stored files, or both of them as one."""
    request, archive = run.request, None
    if request.archive is not None:
        opening = open_archive(request.archive, request.limits, run.findings, request.output)
        archive = stack.enter_context(opening)
        if archive is None:
            return None
    if request.assembly is None:
        return archive
    files = read_assembly(request.assembly)
    run.stored = frozenset(file.sha256 for file in files if file.pack is not None)
    if request.is_listing:
        return stack.enter_context(opened_listing(files, archive, request.limits, run.findings))
    if archive is not None:  # the paths of a version have no folder around them
        archive = without_wrapping_folder(archive)
    return stack.enter_context(opened_version(files, archive, request.limits, run.findings))


def _report(run: Run, digest: str | None) -> Report:
    source = run.source
    names = source.names if source else []
    is_ready = digest is not None and not run.findings.has_errors
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
        changes=run.changes if is_ready else None,
        pack_bytes=run.files_bytes if is_ready else None,
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
    annotations = (path for path in run.tree.files if suffix(path) not in IMAGE_SUFFIXES)
    run.progress.begin("reading", READINGS * run.tree.size_of(annotations))
    source = run.source = read_source(upload)
    if source is None:
        _note_unused_annotations(run)
        return None
    apply_class_options(source, upload)
    if source.task == "classify":
        sort_classes(source, run.findings)
    images = (image.image for of_split in source.images.values() for image in of_split)
    run.progress.begin("dividing", run.tree.size_of(images))
    complete_splits(source, upload)
    samples = arrange(source, run.findings)
    _judge_splits(run, source, samples)
    _note_unused(run, source)
    return samples


def _note_unused_annotations(run: Run) -> None:
    """Make sure that an archive without a dataset has an error, also where all was left out."""
    if not run.findings.has_errors:
        text = "No annotation of the archive can be used; the other findings say why."
        named = (found.file for found in run.findings.kept() if found.file is not None)
        run.findings.add(Code.ANNOTATIONS_MISSING, text, file=next(named, None))


def _judge_splits(run: Run, source: Source, samples: Samples) -> None:
    for split in NEEDED_SPLITS:
        if not samples.get(split) and not run.findings.has_errors:
            text = f"There are no {split} images; add some, or send `splits` to divide all images."
            run.findings.add(Code.SPLIT_MISSING, text, fixes=[{"splits": USUAL_SHARES}])
    repeated = [name for name, count in Counter(source.names).items() if count > 1]
    if repeated:
        text = "Two classes have the same name."
        run.findings.add(Code.NAMES_REPEATED, text, fixes=[_merging(repeated)])


def _merging(names: list[str]) -> Fix:
    return {"class_map": {name: name for name in names}}


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
    rules = SampleRules(
        source.task,
        len(source.names),
        channels=source.fields.channels,
        keypoints=source.fields.kpt_shape,
        masks=_mask_rules(source) if source.has_masks else None,
        colours=None if source.mask_colours is None else ColourIds(source.mask_colours),
        class_change=source.class_change,
        max_bad_ratio=run.request.options.max_bad_ratio,
    )
    run.progress.begin("images", run.tree.size_of(_read_for(samples)))
    with PackWriter(output / PACK_NAME, run.stored) as pack:
        if source.task != "classify":
            pack.add(DATASET_YAML, _our_yaml(source, samples))
        overview = OverviewWriter(samples, rules.labels)
        SampleChecker(rules, members, pack, run.statistics, overview).check_all(samples)
        if source.task == "classify":
            _keep_empty_classes(run, source, pack)
    if source.task != "depth":
        run.statistics.judge(source.names, samples, run.findings)
    if run.findings.has_errors:
        return None
    run.files_bytes = sum(file.size for file in pack.files)
    overview.write(output / OVERVIEW_NAME, run.statistics.class_counts, run.findings)
    write_packed_list(output / PACKED_NAME, pack.packed)
    digest = write_manifest(output / MANIFEST_NAME, source.task, pack.files)
    if run.request.previous is not None:
        previous = read_manifest(run.request.previous)
        run.changes = count_differences(previous, read_manifest(output / MANIFEST_NAME))
    return digest


def _read_for(samples: Samples) -> Iterator[str]:
    """Yield the files that are read to check the samples."""
    for of_split in samples.values():
        for sample in of_split:
            yield sample.image
            if sample.target is not None:
                yield sample.target


def _mask_rules(source: Source) -> MaskRules:
    change, mapping = source.class_change, source.fields.label_mapping
    if change is None:
        return MaskRules.of(source.names, mapping)
    rules = MaskRules.of(change.before, mapping)
    return replace(rules, final_ids=change.ids(), final_classes=len(source.names))


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
        is_applied = source.class_change is not None and source.class_change.changes_numbers
        content["label_mapping"] = None if is_applied else fields.label_mapping
    if source.task == "depth":
        content["depth_scale"] = fields.depth_scale
        content["max_depth"] = fields.max_depth
    given = {key: value for key, value in content.items() if value is not None}
    return render_dataset_yaml(given, source.names, samples)
