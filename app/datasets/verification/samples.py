"""Check samples one after another, each an image with its target, and store the valid files.

An image that is faulty, or whose target is, is dropped under the lenient policy: neither file is
stored, and nothing but the number of dropped images counts it.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.core.tasks import Task
from app.datasets.packs.pack import PackWriter
from app.datasets.reports.finding_codes import Code, Severity
from app.datasets.reports.findings import Remark
from app.datasets.reports.report import Split
from app.datasets.verification.checks.class_change import ClassChange
from app.datasets.verification.checks.copies import Copies
from app.datasets.verification.checks.decoding import quiet_stderr
from app.datasets.verification.checks.drops import Drops
from app.datasets.verification.checks.pixel_rows import to_fractions
from app.datasets.verification.formats.depth import check_depth
from app.datasets.verification.formats.masks import MaskRules, check_mask
from app.datasets.verification.formats.other_formats.mask_colours import ColourIds
from app.datasets.verification.images import CheckedImage, ImageRules, check_image
from app.datasets.verification.labels import KEYPOINT_TASKS, CheckedLabels, LabelRules, check_labels
from app.datasets.verification.members import NOT_OF_A_FILE, MemberReader
from app.datasets.verification.overview.writer import OverviewWriter, RecordedImage
from app.datasets.verification.statistics import Statistics
from app.datasets.verification.tree import Sample, suffix


@dataclass(frozen=True)
class SampleRules:
    """The rules for images and targets of a dataset; `masks` is set if the targets are masks.

    `colours` converts masks of colours to class ids, and `class_change` label files to the classes
    that were asked for. `max_bad_ratio` is the largest share of images that may be dropped.
    """

    task: Task
    classes: int
    channels: int = 3
    keypoints: tuple[int, int] | None = None
    masks: MaskRules | None = None
    colours: ColourIds | None = None
    class_change: ClassChange | None = None
    max_bad_ratio: float = 1.0

    @property
    def images(self) -> ImageRules:
        """The rules for images."""
        return ImageRules(self.channels, is_classified=self.task == "classify")

    @property
    def labels(self) -> LabelRules:
        """The rules for label files."""
        keypoints = self.keypoints if self.task in KEYPOINT_TASKS else None
        return LabelRules(self.task, self.classes, keypoints)


@dataclass
class _Checked:
    """A sample after its checks.

    `classes` counts rows or masks by class; `objects` is None if the target is no label file.
    `is_damaged` is set where the archive does not give a file.
    """

    image: CheckedImage | None = None
    target: bytes | None = None
    classes: Counter[int] = field(default_factory=Counter)
    objects: int | None = None
    labels: CheckedLabels | None = None
    remarks: list[tuple[str, Remark]] = field(default_factory=list)
    is_damaged: bool = False

    def note(self, file: str, *remarks: Remark) -> None:
        """Note remarks about a file."""
        self.remarks += [(file, remark) for remark in remarks]

    def fault(self) -> Code | None:
        """Return the code for which the image is dropped, if any."""
        return next((remark.code for _, remark in self.remarks if remark.code.drops), None)


class SampleChecker:
    """Checks and counts samples; only checked files go into the pack."""

    def __init__(
        self,
        rules: SampleRules,
        members: MemberReader,
        pack: PackWriter,
        statistics: Statistics,
        overview: OverviewWriter,
    ) -> None:
        self._rules = rules
        self._members = members
        self._findings = members.findings
        self._pack = pack
        self._statistics = statistics
        self._drops = Drops()
        self._copies = Copies(members.findings)
        self._overview = overview

    def check_all(self, samples: Mapping[Split, Sequence[Sample]]) -> None:
        """Check all samples, store the valid ones unless a finding is an error, and count them."""
        self._decide_about_masks(samples)
        with quiet_stderr():
            for split, of_split in samples.items():
                for sample in of_split:
                    if sample.fault is None:
                        self._take(split, sample, self._checked(sample))
                    else:
                        self._drop(split, sample.fault)
        self._copies.report()
        self._drops.judge(
            self._statistics.splits,
            self._rules.max_bad_ratio,
            self._findings,
            needs_objects=self._rules.task != "depth",
        )

    def _decide_about_masks(self, samples: Mapping[Split, Sequence[Sample]]) -> None:
        rules = self._rules.masks
        if rules is None or self._rules.colours is not None:
            return
        rules = rules.for_masks(self._masks(samples), self._members.limits)
        if rules.is_binary:
            text = (
                "All masks contain only 0 and 255. Ultralytics ignores 255, so class 1 is stored."
            )
            self._findings.add(Code.MASKS_BINARY, text)
        self._rules = replace(self._rules, masks=rules)

    def _masks(self, samples: Mapping[Split, Sequence[Sample]]) -> Iterator[bytes]:
        """Yield the masks that can be read; the others are reported when they are checked."""
        for of_split in samples.values():
            for sample in of_split:
                if sample.target is not None:
                    yield self._members.prefix(sample.target, self._size_of(sample.target))

    def _take(self, split: Split, sample: Sample, checked: _Checked) -> None:
        for file, remark in checked.remarks:
            self._findings.add_remarks((remark,), file)
        fault = checked.fault()
        if fault is not None and self._findings.severity_of(fault) is not Severity.ERROR:
            self._drop(split, fault)
            return
        if fault is not None or checked.is_damaged:
            self._statistics.note_refusal(split)
        self._store(split, sample, checked)
        self._statistics.count(
            split,
            checked.classes,
            objects=checked.objects,
            has_target=_has_target(sample),
            is_background=not checked.classes and self._rules.task != "depth",
        )

    def _drop(self, split: Split, fault: Code) -> None:
        self._drops.note(split, fault)
        self._statistics.drop(split)

    def _store(self, split: Split, sample: Sample, checked: _Checked) -> None:
        if checked.image is None:
            return
        content = checked.image.content
        is_ready = not self._findings.has_errors
        if is_ready:
            self._pack.add(sample.image_path, content)
            label = None
            if checked.target is not None and sample.target_path is not None:
                label = self._pack.add(sample.target_path, checked.target).sha256
            image = checked.image
            self._pack.describe(sample.image_path, (image.width, image.height), label)
        digest = self._pack.sha256_of(sample.image_path) or hashlib.sha256(content).hexdigest()
        self._copies.note(split, sample.image, digest)
        if is_ready:
            recorded = RecordedImage(
                split, sample.image_path, digest, checked.image, checked.classes, checked.labels
            )
            self._overview.note(recorded)

    def _checked(self, sample: Sample) -> _Checked:
        """Check a sample; a fault of a decoder is a finding about the file that it read."""
        try:
            return self._check(sample)
        except NOT_OF_A_FILE:
            raise
        except Exception as error:  # noqa: BLE001 -- whatever a decoder raises over its bytes
            failed = _Checked()
            text = f"Its reader failed: {type(error).__name__}."
            failed.note(
                self._members.reading.path or sample.image, Remark(Code.IMAGE_UNREADABLE, text)
            )
            return failed

    def _check(self, sample: Sample) -> _Checked:
        checked = _Checked()
        self._check_image(sample, checked)
        if sample.label is not None:
            checked.classes[sample.label] = 1
        elif self._rules.task == "depth":
            self._check_depth(sample, checked)
        elif self._rules.masks is not None:
            self._check_mask(sample, checked, self._rules.masks)
        else:
            self._check_labels(sample, checked)
        return checked

    def _check_image(self, sample: Sample, checked: _Checked) -> None:
        content = self._read(sample.image, checked)
        if content is None:
            return
        rules, limits = self._rules.images, self._members.limits
        image = check_image(content, suffix(sample.image), rules, limits)
        if isinstance(image, Remark):
            checked.note(sample.image, image)
            return
        checked.note(sample.image, *image.remarks)
        checked.image = image

    def _read(self, path: str, checked: _Checked) -> bytes | None:
        content = self._members.read(path)
        checked.is_damaged |= content is None
        return content

    def _check_labels(self, sample: Sample, checked: _Checked) -> None:
        checked.objects = 0
        content = self._label_rows(sample, checked)
        if content is None:
            return
        labels = check_labels(content, self._rules.labels, self._members.limits)
        checked.note(sample.target or sample.image, *labels.remarks)
        checked.target = labels.text.encode()
        checked.classes, checked.objects = labels.class_counts, labels.objects
        checked.labels = labels

    def _label_rows(self, sample: Sample, checked: _Checked) -> bytes | None:
        """Return the rows of an image in fractions, or None if it has no file or is not read."""
        if sample.rows is not None and sample.in_pixels:
            if checked.image is None:
                return None
            fractions = to_fractions(sample.rows, checked.image.decoded, self._rules.labels)
            checked.note(sample.image, *fractions.remarks)
            return fractions.rows
        if sample.rows is not None or sample.target is None:
            return sample.rows
        size, most = self._size_of(sample.target), self._members.limits.max_label_bytes
        if size > most:
            text = f"It has {size} bytes; at most {most} are allowed."
            checked.note(sample.target, Remark(Code.LABEL_TOO_LARGE, text))
            return None
        content = self._read(sample.target, checked)
        if content is None or self._rules.class_change is None:
            return content
        return self._rules.class_change.labels(content)

    def _size_of(self, path: str) -> int:
        return self._members.tree.files[path].size_bytes

    def _check_mask(self, sample: Sample, checked: _Checked, rules: MaskRules) -> None:
        if sample.target is None:
            text = "Ultralytics drops an image without a PNG mask of the same name."
            checked.note(sample.image, Remark(Code.MASK_MISSING, text))
            return
        content = self._read(sample.target, checked)
        image = checked.image
        if content is None or image is None:
            return
        ids = self._ids_of(content)
        mask = (
            ids if isinstance(ids, Remark) else check_mask(ids, (image.width, image.height), rules)
        )
        if not isinstance(mask, Remark) and image.decoded != (image.width, image.height):
            text = "Its image is turned by EXIF in a way that is read differently; save it upright."
            mask = Remark(Code.MASK_SIZE, text)
        if isinstance(mask, Remark):
            checked.note(sample.target, mask)
            return
        checked.target, checked.classes = mask.content, Counter(mask.classes)

    def _ids_of(self, content: bytes) -> bytes | Remark:
        if self._rules.colours is None:
            return content
        return self._rules.colours.convert(content, self._members.limits)

    def _check_depth(self, sample: Sample, checked: _Checked) -> None:
        if sample.target is None:
            text = "Ultralytics drops an image without a PNG or NPY depth map of the same name."
            checked.note(sample.image, Remark(Code.DEPTH_MISSING, text))
            return
        content = self._read(sample.target, checked)
        image = checked.image
        if content is None or image is None:
            return
        size = (image.width, image.height)
        remarks = check_depth(content, suffix(sample.target), size, self._members.limits)
        checked.note(sample.target, *remarks)
        checked.target = content


def _has_target(sample: Sample) -> bool:
    return any(held is not None for held in (sample.target, sample.label, sample.rows))
