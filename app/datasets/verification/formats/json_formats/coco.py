"""COCO JSON: boxes, polygons, masks as run lengths and keypoints, in one file or one per split.

Each file is read item by item, and its annotations twice: first to decide task and classes.
Crowds and boxes without area are left out as in Ultralytics' convert_coco (8.4.190,
data/converter.py:245), and several outlines of one object are joined as there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.core.tasks import Task
from app.datasets.archives.audit import MemberCorruptError
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.report import Split
from app.datasets.verification.dataset_yaml import DatasetFields
from app.datasets.verification.formats.json_formats.coco_classes import (
    Classes,
    classes_of,
    keypoint_count,
    keypoint_fields,
)
from app.datasets.verification.formats.json_formats.coco_survey import (
    ANNOTATIONS,
    Identity,
    Survey,
    shape_of,
    survey_of,
)
from app.datasets.verification.formats.json_formats.image_finder import ImageFinder, split_of_path
from app.datasets.verification.formats.json_formats.kinds import Kind, files_of
from app.datasets.verification.formats.json_formats.notes import (
    Notes,
    images_are_missing,
)
from app.datasets.verification.formats.json_formats.shapes import (
    OUTLINE_TASKS,
    SHAPE_TASKS,
    ImageRows,
    RowCollector,
)
from app.datasets.verification.formats.json_formats.streams import (
    JsonRefusedError,
    items_in,
    report_refused,
)
from app.datasets.verification.formats.json_formats.values import identity_of
from app.datasets.verification.source import Source, Upload

NAME: Final = Kind.COCO.value

CROWD: Final = "A crowd (iscrowd) is left out, as in Ultralytics."
NO_FILE: Final = "An image that is not in the archive is left out with its annotations."
NO_IMAGE: Final = "An annotation of an image that the file does not list is left out."
NO_CATEGORY: Final = "An annotation of a category that the file does not list is left out."


def recognise(upload: Upload) -> list[str]:
    """Return the COCO JSON files of the archive."""
    return files_of(upload, Kind.COCO)


def read(upload: Upload, files: Sequence[str]) -> Source | None:
    """Read the files, or add findings and return None."""
    surveys = _surveys(upload, files)
    chosen = None if surveys is None else _chosen(upload, surveys)
    if not chosen:
        return None
    classes = classes_of(chosen, upload.options.names, upload.findings)
    task = _task(upload, chosen)
    if classes is None or task is None:
        return None
    fields = DatasetFields()
    points = 0
    if task == "pose":
        points = keypoint_count(classes, chosen)
        found = keypoint_fields(classes, points)
        if found is None:
            text = f"The annotations have {points} keypoints; 1 to 1000 make a pose dataset."
            fixes = [{"task": "detect"}]
            upload.findings.add(Code.KPT_SHAPE_MISSING, text, file=chosen[0].file, fixes=fixes)
            return None
        fields = found
    conversion = Conversion(upload, chosen, classes, task, points)
    if not conversion.run():
        return None
    images = conversion.collector.source_images()
    return Source(NAME, task, classes.names, images, fields, read=set(files))


def _surveys(upload: Upload, files: Sequence[str]) -> list[Survey] | None:
    surveys = []
    for file in files:
        try:
            surveys.append(survey_of(upload, file))
        except (JsonRefusedError, MemberCorruptError) as error:
            report_refused(upload, file, error, Code.ANNOTATIONS_INVALID)
    return surveys if len(surveys) == len(files) else None


def _chosen(upload: Upload, surveys: list[Survey]) -> list[Survey]:
    """Return the files to read: those of objects, and of one kind for each split.

    COCO comes with boxes and outlines (instances) and with keypoints of the same images.
    """
    of_objects = [survey for survey in surveys if survey.unread_kind is None]
    if not of_objects:
        kind = surveys[0].unread_kind
        text = f"This is {kind}, which has no objects to learn. Add the instances JSON."
        upload.findings.add(Code.FORMAT_UNREAD, text, file=surveys[0].file)
        return []
    wants_pose = upload.options.task == "pose"
    both = _splits_with_both(of_objects)
    chosen = []
    for survey in surveys:
        reason = survey.unread_kind
        if survey.split in both and survey.counts["object"] and survey.is_pose != wants_pose:
            other = "its outlines" if wants_pose else "its keypoints; they are for task pose"
            reason = f"another file of the same split, without {other}"
        if survey.counts["object"] == 0 and _is_image_list(survey):
            reason = "a list of images without annotations"
        if reason is None:
            chosen.append(survey)
        else:
            text = f"It is not used: it is {reason}."
            upload.findings.add(Code.ANNOTATION_IGNORED, text, file=survey.file)
    return chosen


def _splits_with_both(surveys: Sequence[Survey]) -> set[Split | None]:
    filled = [survey for survey in surveys if survey.counts["object"]]
    pose = {survey.split for survey in filled if survey.is_pose}
    return pose & {survey.split for survey in filled if not survey.is_pose}


def _is_image_list(survey: Survey) -> bool:
    return "image_info" in survey.file.rpartition("/")[2].lower()


def _task(upload: Upload, surveys: Sequence[Survey]) -> Task | None:
    objects = sum(survey.counts["object"] for survey in surveys)
    if objects == 0:
        text = "It lists images, but no annotation with a category_id."
        upload.findings.add(Code.ANNOTATIONS_MISSING, text, file=surveys[0].file)
        return None
    asked = upload.options.task
    if asked in SHAPE_TASKS:
        return asked
    found = _likeliest_task(surveys, objects)
    if asked is None:
        return found
    others = [task for task in SHAPE_TASKS if task not in {found, "pose"}]
    text = f"{NAME} has no targets for task {asked}; send {', '.join([found, *others])}."
    fixes = [{"task": task} for task in (found, *others)]
    upload.findings.add(Code.TASK_NEEDED, text, file=surveys[0].file, fixes=fixes)
    return None


def _likeliest_task(surveys: Sequence[Survey], objects: int) -> Task:
    if 2 * sum(survey.counts["keypoints"] for survey in surveys) > objects:
        return "pose"
    outlined = sum(survey.counts["outline"] for survey in surveys)
    return "segment" if 2 * outlined > objects else "detect"


@dataclass
class Conversion:
    """The second reading: annotations become rows of the images that are in the archive."""

    upload: Upload
    surveys: Sequence[Survey]
    classes: Classes
    task: Task
    keypoints: int
    notes: Notes = field(default_factory=Notes)

    def __post_init__(self) -> None:
        self.collector = RowCollector(self.task, self.notes, self.keypoints)
        self._placed: dict[str, Split | None] = {}
        objects = sum(survey.counts["object"] for survey in self.surveys)
        crowds = sum(survey.counts["crowd"] for survey in self.surveys)
        # Tools that write masks mark every one of them as a crowd: then the mark means a mask.
        self._skips_crowds = 2 * crowds < objects

    def run(self) -> bool:
        """Convert all files; return whether any image was found."""
        finder = ImageFinder(self.upload.tree)
        for survey in sorted(self.surveys, key=lambda survey: survey.split is None):
            images = dict(self._located(survey, finder))
            if images:
                self._convert(survey, images)
        if not self._placed:
            survey = self.surveys[0]
            first = next((entry.name for entry in survey.images.values()), None)
            images_are_missing(self.upload, survey.file, first)
            return False
        self.notes.report(self.upload.findings)
        return not self.upload.findings.has_errors

    def _located(self, survey: Survey, finder: ImageFinder) -> Iterator[tuple[Identity, ImageRows]]:
        near = survey.file.rpartition("/")[0]
        for identity, entry in survey.images.items():
            path = finder.find(entry.name, near, survey.split)
            if path is None:
                self.notes.add(Code.ANNOTATION_IGNORED, NO_FILE, survey.file, entry.name)
                continue
            split = survey.split or self._placed.get(path) or split_of_path(path)
            self._placed.setdefault(path, split)
            yield identity, self.collector.rows_of(split, path, entry.size)

    def _convert(self, survey: Survey, images: dict[Identity, ImageRows]) -> None:
        try:
            for value in items_in(self.upload, survey.file, ANNOTATIONS):
                if isinstance(value, dict):
                    self._add(survey, images, value)
        except (JsonRefusedError, MemberCorruptError) as error:
            report_refused(self.upload, survey.file, error, Code.ANNOTATIONS_INVALID)

    def _add(
        self, survey: Survey, images: dict[Identity, ImageRows], value: dict[str, Any]
    ) -> None:
        image = identity_of(value.get("image_id"))
        rows = None if image is None else images.get(image)
        entry = None if image is None else survey.images.get(image)
        where = (survey.file, str(image) if entry is None else entry.name)
        category = identity_of(value.get("category_id"))
        number = None if category is None else self.classes.numbers.get((survey.file, category))
        reason = None
        if entry is None:
            reason = NO_IMAGE
        elif number is None:
            reason = NO_CATEGORY
        elif self._is_crowd(value):
            reason = CROWD
        if reason is not None:
            self.notes.add(Code.ANNOTATION_IGNORED, reason, *where)
        elif rows is not None and number is not None:
            outlined = self.task in OUTLINE_TASKS or self.task == "obb"
            pixels = self.upload.members.limits.max_image_pixels
            shape = shape_of(value, rows.size, outlined=outlined, max_pixels=pixels)
            self.collector.add(rows, number, shape, where)

    def _is_crowd(self, value: dict[str, Any]) -> bool:
        """Return whether an annotation is of a crowd; CVAT marks masks so, beside `attributes`."""
        return self._skips_crowds and bool(value.get("iscrowd")) and "attributes" not in value
