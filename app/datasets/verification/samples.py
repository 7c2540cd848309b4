"""Check samples one after another, each an image with its target, and store the valid files."""

from collections import Counter
from dataclasses import dataclass

from app.core.tasks import Task
from app.datasets.archives.findings import Code, Remark, shown
from app.datasets.archives.pack import PackWriter
from app.datasets.archives.report import Split
from app.datasets.verification.formats.depth import check_depth
from app.datasets.verification.formats.masks import MaskRules, check_mask
from app.datasets.verification.images import CheckedImage, check_image
from app.datasets.verification.labels import KEYPOINT_TASKS, LabelRules, check_labels
from app.datasets.verification.layout import Sample, suffix
from app.datasets.verification.members import MemberReader
from app.datasets.verification.statistics import Statistics


@dataclass(frozen=True)
class SampleRules:
    """The rules for images and targets of a dataset; `masks` is set if the targets are masks."""

    task: Task
    classes: int
    channels: int = 3
    keypoints: tuple[int, int] | None = None
    masks: MaskRules | None = None

    @property
    def labels(self) -> LabelRules:
        """The rules for label files."""
        keypoints = self.keypoints if self.task in KEYPOINT_TASKS else None
        return LabelRules(self.task, self.classes, keypoints)


@dataclass(frozen=True)
class TargetCount:
    """What a target contains: rows or masks by class, and rows of a label file without duplicates.

    `objects` is None if the target is no label file.
    """

    classes: Counter[int]
    objects: int | None = None


class SampleChecker:
    """Checks and counts samples; only checked files go into the pack."""

    def __init__(
        self, rules: SampleRules, members: MemberReader, pack: PackWriter, statistics: Statistics
    ) -> None:
        self._rules = rules
        self._members = members
        self._findings = members.findings
        self._pack = pack
        self._statistics = statistics
        self._first_with: dict[str, tuple[Split, str]] = {}

    def check(self, split: Split, sample: Sample) -> None:
        """Check one image and its target, and store both unless a finding is already an error."""
        image = self._check_image(sample)
        if image is not None:
            self._store(sample.image_path, image.content)
            self._note_leak(split, sample)
        counted = self._check_target(sample, image)
        self._statistics.count(
            split,
            counted.classes,
            objects=counted.objects,
            has_target=sample.target is not None or sample.label is not None,
            is_background=not counted.classes and self._rules.task != "depth",
        )

    def _check_image(self, sample: Sample) -> CheckedImage | None:
        content = self._members.read(sample.image)
        if content is None:
            return None
        image = check_image(content, self._rules.channels, self._members.limits)
        if isinstance(image, Remark):
            self._findings.add_remarks((image,), sample.image)
            return None
        self._findings.add_remarks(image.remarks, sample.image)
        return image

    def _store(self, path: str, content: bytes) -> None:
        if not self._findings.has_errors:
            self._pack.add(path, content)

    def _note_leak(self, split: Split, sample: Sample) -> None:
        digest = self._pack.sha256_of(sample.image_path)
        if digest is None:
            return
        other, name = self._first_with.setdefault(digest, (split, sample.image))
        if other != split:
            text = f"{shown(name)} of {other} has the same bytes: scores will be too good."
            self._findings.add(Code.SPLIT_LEAK, text, file=sample.image)

    def _check_target(self, sample: Sample, image: CheckedImage | None) -> TargetCount:
        if sample.label is not None:
            return TargetCount(Counter([sample.label]))
        if self._rules.task == "depth":
            self._check_depth(sample, image)
            return TargetCount(Counter())
        if self._rules.masks is not None:
            return TargetCount(self._check_mask(sample, image, self._rules.masks))
        return self._check_labels(sample)

    def _check_labels(self, sample: Sample) -> TargetCount:
        if sample.target is None or sample.target_path is None:
            return TargetCount(Counter(), objects=0)
        content = self._members.read_labels(sample.target)
        if content is None:
            return TargetCount(Counter(), objects=0)
        checked = check_labels(content, self._rules.labels, self._members.limits)
        self._findings.add_remarks(checked.remarks, sample.target)
        if checked.is_good:
            self._store(sample.target_path, checked.text.encode())
        return TargetCount(checked.class_counts, checked.objects)

    def _check_mask(
        self, sample: Sample, image: CheckedImage | None, rules: MaskRules
    ) -> Counter[int]:
        if sample.target is None or sample.target_path is None:
            self._findings.add(
                Code.MASK_MISSING,
                "Ultralytics drops an image without a PNG mask of the same name.",
                file=sample.image,
            )
            return Counter()
        content = self._members.read(sample.target)
        if content is None or image is None:
            return Counter()
        mask = check_mask(content, (image.width, image.height), rules)
        if isinstance(mask, Remark):
            self._findings.add_remarks((mask,), sample.target)
            return Counter()
        self._store(sample.target_path, content)
        return Counter(mask.classes)

    def _check_depth(self, sample: Sample, image: CheckedImage | None) -> None:
        if sample.target is None or sample.target_path is None:
            self._findings.add(
                Code.DEPTH_MISSING,
                "Ultralytics drops an image without a PNG or NPY depth map of the same name.",
                file=sample.image,
            )
            return
        content = self._members.read(sample.target)
        if content is None or image is None:
            return
        size = (image.width, image.height)
        remarks = check_depth(content, suffix(sample.target), size, self._members.limits)
        self._findings.add_remarks(remarks, sample.target)
        self._store(sample.target_path, content)
