"""What a verification can say about an uploaded data set: a closed list of codes.

A code owns its severity and its one-line meaning. An error makes the set invalid; a warning or an
info does not.
"""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict

MAX_SHOWN_CHARACTERS = 300
MAX_FINDINGS_PER_CODE = 100


class Severity(StrEnum):
    """How much a finding matters: only an error makes the set invalid."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Code(StrEnum):
    """Every finding there is, with its severity and its meaning."""

    severity: Severity
    meaning: str

    def __new__(cls, value: str, severity: Severity, meaning: str) -> Self:
        """Make the member `value` that carries its severity and its meaning."""
        code = str.__new__(cls, value)
        code._value_ = value
        code.severity = severity
        code.meaning = meaning
        return code

    PATH_TRAVERSAL = (
        "path-traversal",
        Severity.ERROR,
        "a member's name is absolute, holds NUL or leads out of the archive",
    )
    SPECIAL_FILE = (
        "special-file",
        Severity.ERROR,
        "a member is a link, a device, a pipe or a socket",
    )
    DUPLICATE_NAME = (
        "duplicate-name",
        Severity.ERROR,
        "two members would be one file on some file system, or a file is also a folder",
    )
    ENCRYPTED = ("encrypted", Severity.ERROR, "a member needs a password")
    UNSUPPORTED_COMPRESSION = (
        "unsupported-compression",
        Severity.ERROR,
        "a member is neither stored nor deflated, or the archive has several disks",
    )
    ARCHIVE_BOMB = (
        "archive-bomb",
        Severity.ERROR,
        "members overlap, or inflate to more than the limits allow",
    )
    ARCHIVE_CORRUPT = (
        "archive-corrupt",
        Severity.ERROR,
        "the archive is cut, damaged, has bytes before it, or is no zip at all",
    )
    ARCHIVE_EMPTY = ("archive-empty", Severity.ERROR, "the archive holds no file that is read")

    YAML_INVALID = ("yaml-invalid", Severity.ERROR, "the data.yaml cannot be read as plain YAML")
    YAML_VALUE = (
        "yaml-value",
        Severity.ERROR,
        "a value of the data.yaml is not of its kind or range",
    )
    YAML_DOWNLOAD = (
        "yaml-download",
        Severity.ERROR,
        "the data.yaml has a `download`, which Ultralytics would run as code",
    )
    YAML_PATH = ("yaml-path", Severity.ERROR, "a path of the data.yaml is not inside the archive")
    YAML_MISSING = ("yaml-missing", Severity.ERROR, "there is no data.yaml to take the names from")
    YAML_AMBIGUOUS = (
        "yaml-ambiguous",
        Severity.ERROR,
        "several YAML files, none of them data.yaml",
    )
    YAML_ROOT_IGNORED = (
        "yaml-root-ignored",
        Severity.INFO,
        "`path` of the data.yaml is not used: splits are looked for inside the archive",
    )
    YAML_KEY_IGNORED = ("yaml-key-ignored", Severity.WARNING, "a key of the data.yaml is not read")

    TASK_NEEDED = ("task-needed", Severity.ERROR, "the task cannot be told from the files")
    LAYOUT_UNKNOWN = ("layout-unknown", Severity.ERROR, "the folders are none of the known layouts")
    NAMES_MISSING = ("names-missing", Severity.ERROR, "the class names are not known")
    NAMES_REPEATED = ("names-repeated", Severity.WARNING, "two classes have the same name")
    CLASS_NAME_INVALID = (
        "class-name-invalid",
        Severity.ERROR,
        "a class folder has a name that cannot be kept",
    )
    KPT_SHAPE_MISSING = ("kpt-shape-missing", Severity.ERROR, "a pose set needs kpt_shape")
    SPLIT_MISSING = ("split-missing", Severity.ERROR, "there are no train or no val images")
    SPLIT_FOLDER_MISSING = (
        "split-folder-missing",
        Severity.WARNING,
        "the test split of the data.yaml is not in the archive",
    )
    SPLIT_OVERLAP = (
        "split-overlap",
        Severity.ERROR,
        "an image stands in two splits, or twice in one",
    )
    SPLIT_LEAK = ("split-leak", Severity.WARNING, "the same image bytes are in two splits")
    NAMES_REPLACED = (
        "names-replaced",
        Severity.INFO,
        "file names of a split were replaced by numbers in the same order",
    )

    IMAGE_UNREADABLE = (
        "image-unreadable",
        Severity.ERROR,
        "a file is no whole image of a known kind",
    )
    IMAGE_TOO_LARGE = ("image-too-large", Severity.ERROR, "an image has more pixels than allowed")
    IMAGE_TOO_SMALL = ("image-too-small", Severity.ERROR, "an image has a side below 10 pixels")
    IMAGE_CHANNELS = (
        "image-channels",
        Severity.ERROR,
        "an image does not have the channels that the data.yaml names",
    )
    IMAGE_FRAMES = ("image-frames", Severity.WARNING, "only the first of several frames is used")
    JPEG_RESTORED = (
        "jpeg-restored",
        Severity.WARNING,
        "a JPEG without an end marker was written anew, as Ultralytics would do in place",
    )

    LABELS_MISSING = ("labels-missing", Severity.ERROR, "the train images have no object at all")
    LABELS_EMPTY = ("labels-empty", Severity.WARNING, "the images of a split have no object at all")
    LABEL_NOT_UTF8 = ("label-not-utf8", Severity.ERROR, "a label file is not UTF-8 text")
    LABEL_TOO_LARGE = ("label-too-large", Severity.ERROR, "a label file has too many bytes or rows")
    LABEL_COLUMNS = ("label-columns", Severity.ERROR, "a row has not the columns of the task")
    LABEL_MIXED = ("label-mixed", Severity.ERROR, "a label file mixes boxes and polygons")
    LABEL_NOT_A_NUMBER = ("label-not-a-number", Severity.ERROR, "a value is not a finite number")
    LABEL_CLASS = (
        "label-class",
        Severity.ERROR,
        "a class is not an integer from 0 to the last class",
    )
    LABEL_NEGATIVE = ("label-negative", Severity.ERROR, "a value is below zero")
    LABEL_OUT_OF_RANGE = ("label-out-of-range", Severity.ERROR, "a coordinate is above 1")
    LABEL_OUTSIDE = ("label-outside", Severity.WARNING, "a polygon reaches out of the image")
    LABEL_DUPLICATE = (
        "label-duplicate",
        Severity.WARNING,
        "a row stands twice; training reads it once",
    )
    LABEL_WITHOUT_IMAGE = ("label-without-image", Severity.WARNING, "a label file has no image")
    CLASS_ABSENT = ("class-absent", Severity.WARNING, "a class has no object in a split")
    CLASS_UNKNOWN = ("class-unknown", Severity.ERROR, "a class folder is not among those of train")

    MASK_MISSING = ("mask-missing", Severity.ERROR, "an image has no mask")
    MASK_UNREADABLE = ("mask-unreadable", Severity.ERROR, "a mask is no whole PNG")
    MASK_MODE = ("mask-mode", Severity.ERROR, "a mask holds colours instead of class ids")
    MASK_SIZE = ("mask-size", Severity.ERROR, "a mask and its image differ in size")
    MASK_IDS = ("mask-ids", Severity.ERROR, "a mask holds ids that are neither a class nor 255")

    DEPTH_MISSING = ("depth-missing", Severity.ERROR, "an image has no depth map")
    DEPTH_UNREADABLE = ("depth-unreadable", Severity.ERROR, "a depth map is no whole PNG or NPY")
    DEPTH_KIND = ("depth-kind", Severity.ERROR, "a depth map is not 16-bit gray or 2-D float")
    DEPTH_SHAPE = ("depth-shape", Severity.ERROR, "a depth map has another shape than its image")
    DEPTH_EMPTY = ("depth-empty", Severity.WARNING, "a depth map has no valid pixel")

    TASK_MISMATCH = (
        "task-mismatch",
        Severity.ERROR,
        "the earlier versions of the data set are labelled for another task",
    )
    VERIFICATION_CRASHED = (
        "verification-crashed",
        Severity.ERROR,
        "the verification broke off each time it was tried",
    )
    VERIFICATION_LIMIT = (
        "verification-limit",
        Severity.ERROR,
        "the verification used up its memory, its time or its disk space",
    )


class Finding(BaseModel):
    """One thing that was found; `line` counts from 1."""

    model_config = ConfigDict(frozen=True)

    code: Code
    severity: Severity
    message: str
    file: str | None
    line: int | None


@dataclass(frozen=True)
class Remark:
    """A finding about one file, made where the file's name is not known."""

    code: Code
    message: str
    line: int | None = None


class Findings:
    """Collects findings: the first of each code word for word, all of them in the totals."""

    def __init__(self) -> None:
        self._kept: list[Finding] = []
        self._counts: Counter[Code] = Counter()

    def add(
        self, code: Code, message: str, *, file: str | None = None, line: int | None = None
    ) -> None:
        """Add one finding; names and text of the user's are made printable."""
        self._counts[code] += 1
        if self._counts[code] > MAX_FINDINGS_PER_CODE:
            return
        shown_file = None if file is None else shown(file)
        self._kept.append(
            Finding(
                code=code,
                severity=code.severity,
                message=message,
                file=shown_file,
                line=line,
            )
        )

    def add_remarks(self, remarks: tuple[Remark, ...], file: str) -> None:
        """Add what was found about `file`."""
        for remark in remarks:
            self.add(remark.code, remark.message, file=file, line=remark.line)

    @property
    def has_errors(self) -> bool:
        """Whether the set is invalid."""
        return any(code.severity is Severity.ERROR for code in self._counts)

    def kept(self) -> list[Finding]:
        """Return the findings, errors first, then by file and line."""
        order = list(Severity)
        return sorted(
            self._kept,
            key=lambda found: (
                order.index(found.severity),
                found.file or "",
                found.line or 0,
                found.code,
            ),
        )

    def totals(self) -> dict[str, int]:
        """Return how often each code was found, the findings that were not kept included."""
        return {code.value: self._counts[code] for code in Code if self._counts[code]}


def shown(text: str) -> str:
    """Return `text` with everything that is not printable escaped, and no longer than a line."""
    printable = "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text[: MAX_SHOWN_CHARACTERS + 1]
    )
    if len(printable) <= MAX_SHOWN_CHARACTERS:
        return printable
    return printable[: MAX_SHOWN_CHARACTERS - 1] + "…"
