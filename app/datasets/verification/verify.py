"""Verify an uploaded archive and write its pack. Runs in the verification process.

Every file is inflated and checked once.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from app.core.tasks import Task
from app.datasets.archives.audit import Archive, open_archive
from app.datasets.archives.findings import Code, Findings
from app.datasets.archives.pack import DATASET_YAML, PackWriter
from app.datasets.archives.report import (
    PACK_NAME,
    Report,
    Split,
    TrainingFacts,
    VerificationRequest,
)
from app.datasets.verification.dataset_yaml import (
    DatasetFields,
    read_dataset_yaml,
    render_dataset_yaml,
)
from app.datasets.verification.formats.classify import plan_classes
from app.datasets.verification.formats.masks import MaskRules
from app.datasets.verification.formats.yolo import (
    DEPTH,
    LABELS,
    Targets,
    find_yaml,
    labels_without_image,
    mask_targets,
    plan_yolo,
    refuse_absolute_root,
)
from app.datasets.verification.labels import KEYPOINT_TASKS
from app.datasets.verification.layout import Layout, Tree, tree_of
from app.datasets.verification.members import MemberReader
from app.datasets.verification.samples import SampleChecker, SampleRules
from app.datasets.verification.statistics import Statistics
from app.datasets.verification.task_guess import guess_task

MANIFEST_NAME: Final = "manifest.json"
NEEDED_SPLITS: Final[tuple[Split, ...]] = ("train", "val")


@dataclass
class Plan:
    """The contents to verify, as determined from the file names and the data.yaml."""

    task: Task
    fields: DatasetFields
    names: list[str]
    layout: Layout
    has_masks: bool = False


@dataclass
class Run:
    """The state of one running verification."""

    request: VerificationRequest
    findings: Findings = field(default_factory=Findings)
    statistics: Statistics = field(default_factory=Statistics)
    tree: Tree = field(default_factory=lambda: Tree({}))
    plan: Plan | None = None


def verify(request: VerificationRequest) -> Report:
    """Verify the archive of the request; if it is valid, write pack and manifest to its output."""
    run = Run(request)
    digest = None
    with open_archive(request.archive, request.limits, run.findings) as archive:
        if archive is not None:
            run.tree = tree_of(archive.members)
            run.plan = _plan(run, archive)
            if run.plan is not None and not run.findings.has_errors:
                digest = _check_and_pack(run, run.plan, archive)
    return _report(run, digest)


def _report(run: Run, digest: str | None) -> Report:
    plan = run.plan
    names = plan.names if plan else []
    is_ready = digest is not None and not run.findings.has_errors
    pack = run.request.output / PACK_NAME
    return Report(
        task=plan.task if plan else None,
        state="ready" if is_ready else "invalid",
        classes=names,
        splits=run.statistics.splits,
        class_counts=run.statistics.by_name(names),
        findings=run.findings.kept(),
        finding_totals=run.findings.totals(),
        ignored=run.tree.ignored_members(),
        **({} if plan is None else _read_by_models(plan)),
        training=_training_facts(run, plan) if plan is not None and is_ready else None,
        manifest_digest=digest if is_ready else None,
        pack_bytes=pack.stat().st_size if is_ready else None,
    )


def _read_by_models(plan: Plan) -> dict[str, Any]:
    """Return what determines the sizes of a model's first and last layers.

    See Ultralytics 8.4.190, data/utils.py:1026.
    """
    is_outlined = plan.task == "semantic" and not plan.has_masks
    return {
        "channels": plan.fields.channels,
        "keypoints": plan.fields.kpt_shape if plan.task == "pose" else None,
        "adds_background": is_outlined and len(plan.names) > 1,
    }


def _training_facts(run: Run, plan: Plan) -> TrainingFacts:
    has_labels = plan.task not in {"classify", "depth"} and not plan.has_masks
    return TrainingFacts(
        running_max_objects=run.statistics.records.by_split if has_labels else None,
        has_flip_idx=bool(plan.fields.flip_idx),
        has_masks=plan.has_masks,
    )


def _plan(run: Run, archive: Archive) -> Plan | None:
    tree, findings = run.tree, run.findings
    if not tree.files:
        findings.add(Code.ARCHIVE_EMPTY, "The archive contains no images, labels or depth maps.")
        return None
    members = MemberReader(archive, tree, findings, run.request.limits)
    yaml = find_yaml(tree, findings)
    fields = DatasetFields() if yaml is None else _fields(yaml, members)
    if fields is None or findings.has_errors:
        return None
    task = run.request.task or guess_task(tree, fields, members)
    if task is None:
        return None
    plan = _plan_task(run, task, fields, has_yaml=yaml is not None)
    if plan is not None:
        _judge_layout(run, plan, yaml)
    return plan


def _fields(yaml: str, members: MemberReader) -> DatasetFields | None:
    content = members.read(yaml)
    fields = None if content is None else read_dataset_yaml(content, yaml, members.findings)
    if fields is not None:
        refuse_absolute_root(fields, yaml, members.findings)
    return fields


def _plan_task(run: Run, task: Task, fields: DatasetFields, *, has_yaml: bool) -> Plan | None:
    if task == "classify":
        classes = plan_classes(run.tree, run.findings)
        if classes is None:
            return None
        return Plan(task, DatasetFields(), classes.class_folders or [], classes)
    names = ["depth"] if task == "depth" else fields.class_names
    if names is None:
        code = Code.NAMES_MISSING if has_yaml else Code.YAML_MISSING
        run.findings.add(code, "Add a data.yaml with train, val and names to the archive's root.")
        return None
    if task == "pose" and fields.kpt_shape is None:
        run.findings.add(Code.KPT_SHAPE_MISSING, "Add kpt_shape: [keypoints, 2 or 3] to data.yaml.")
        return None
    targets = _targets(run.tree, task, fields)
    layout = plan_yolo(run.tree, fields, targets, run.findings)
    if layout is None:
        return None
    return Plan(task, fields, names, layout, has_masks=targets.pack_folder == "masks")


def _targets(tree: Tree, task: Task, fields: DatasetFields) -> Targets:
    if task == "depth":
        return DEPTH
    masks = mask_targets(fields)
    has_masks = any(f"/{masks.folder}/" in f"/{path}" for path in tree.files)
    return masks if task == "semantic" and has_masks else LABELS


def _judge_layout(run: Run, plan: Plan, yaml: str | None) -> None:
    findings, samples = run.findings, plan.layout.samples
    if not samples and plan.task != "classify":
        findings.add(
            Code.LAYOUT_UNKNOWN,
            "Put images into images/train and images/val, or train/images and valid/images.",
        )
    for split in NEEDED_SPLITS:
        if not samples.get(split):
            advice = "move some of the images there" if samples else "add images"
            findings.add(Code.SPLIT_MISSING, f"There are no {split} images; {advice}.")
    if len(set(plan.names)) < len(plan.names):
        findings.add(Code.NAMES_REPEATED, "Two classes have the same name.", file=yaml)
    used = {path for split in samples.values() for s in split for path in (s.image, s.target)}
    if plan.task != "classify" and not plan.has_masks and plan.task != "depth":
        for path in labels_without_image(run.tree, plan.layout):
            findings.add(Code.LABEL_WITHOUT_IMAGE, "No image of a split has this name.", file=path)
            used.add(path)
    run.tree.ignore_unused(used | {yaml})


def _check_and_pack(run: Run, plan: Plan, archive: Archive) -> str | None:
    """Check every sample and store it; return the manifest's digest."""
    output = run.request.output
    rules = SampleRules(
        plan.task,
        len(plan.names),
        channels=plan.fields.channels,
        keypoints=plan.fields.kpt_shape,
        masks=MaskRules.of(len(plan.names), plan.fields.label_mapping) if plan.has_masks else None,
    )
    with PackWriter(output / PACK_NAME) as pack:
        if plan.task != "classify":
            pack.add(DATASET_YAML, _our_yaml(plan))
        members = MemberReader(archive, run.tree, run.findings, run.request.limits)
        checker = SampleChecker(rules, members, pack, run.statistics)
        for split, samples in plan.layout.samples.items():
            for sample in samples:
                checker.check(split, sample)
    if plan.task != "depth":
        run.statistics.judge(plan.names, plan.layout.samples, run.findings)
    if run.findings.has_errors:
        return None
    manifest = pack.manifest(plan.task)
    (output / MANIFEST_NAME).write_bytes(manifest.to_json())
    return manifest.digest()


def _our_yaml(plan: Plan) -> bytes:
    """Return the generated data.yaml with the keys that the task uses.

    A detect job on a pose dataset needs kpt_shape to read the boxes.
    """
    fields = plan.fields
    content: dict[str, Any] = {"channels": fields.channels}
    if plan.task in KEYPOINT_TASKS and fields.kpt_shape:
        content["kpt_shape"] = list(fields.kpt_shape)
        content["flip_idx"] = fields.flip_idx
        content["kpt_names"] = fields.kpt_names
        content["kpt_oks_sigmas"] = fields.kpt_oks_sigmas
    if plan.has_masks:
        content["masks_dir"] = "masks"
        content["label_mapping"] = fields.label_mapping
    if plan.task == "depth":
        content["depth_scale"] = fields.depth_scale
        content["max_depth"] = fields.max_depth
    given = {key: value for key, value in content.items() if value is not None}
    return render_dataset_yaml(given, plan.names, plan.layout.samples)
