"""The findings of the verifier: a closed list of codes, each with its severity and meaning.

An error makes the uploaded version invalid; a warning or an info does not.
"""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict

MAX_SHOWN_CHARACTERS = 300
MAX_FINDINGS_PER_CODE = 100


class Severity(StrEnum):
    """The severity of a finding. Only an error makes the version invalid."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Code(StrEnum):
    """Every possible finding, with its severity and its meaning in one line."""

    severity: Severity
    meaning: str

    def __new__(cls, value: str, severity: Severity, meaning: str) -> Self:
        """Create the member `value` with its severity and its meaning."""
        code = str.__new__(cls, value)
        code._value_ = value
        code.severity = severity
        code.meaning = meaning
        return code

    PATH_TRAVERSAL = (
        "path-traversal",
        Severity.ERROR,
        "a member's name is absolute, contains NUL or points outside the archive",
    )
    SPECIAL_FILE = (
        "special-file",
        Severity.ERROR,
        "a member is a link, a device, a pipe or a socket",
    )
    DUPLICATE_NAME = (
        "duplicate-name",
        Severity.ERROR,
        "two members have names that are equal on some file systems, or a file is also a folder",
    )
    ENCRYPTED = ("encrypted", Severity.ERROR, "a member needs a password")
    UNSUPPORTED_COMPRESSION = (
        "unsupported-compression",
        Severity.ERROR,
        "a member is neither stored nor deflated, or the archive spans several disks",
    )
    ARCHIVE_BOMB = (
        "archive-bomb",
        Severity.ERROR,
        "members overlap, or inflate to more than the limits allow",
    )
    ARCHIVE_CORRUPT = (
        "archive-corrupt",
        Severity.ERROR,
        "the file is not a zip archive, is damaged or truncated, or has bytes before it",
    )
    ARCHIVE_EMPTY = (
        "archive-empty",
        Severity.ERROR,
        "the archive contains no file of a type that is read",
    )

    YAML_INVALID = ("yaml-invalid", Severity.ERROR, "the data.yaml cannot be read as plain YAML")
    YAML_VALUE = (
        "yaml-value",
        Severity.ERROR,
        "a value in the data.yaml has the wrong type or is out of range",
    )
    YAML_DOWNLOAD = (
        "yaml-download",
        Severity.ERROR,
        "the data.yaml has a `download`, which Ultralytics would run as code",
    )
    YAML_PATH = (
        "yaml-path",
        Severity.ERROR,
        "a path in the data.yaml is not a folder of the archive",
    )
    YAML_MISSING = (
        "yaml-missing",
        Severity.ERROR,
        "there is no data.yaml that defines the class names",
    )
    YAML_AMBIGUOUS = (
        "yaml-ambiguous",
        Severity.ERROR,
        "the archive has several YAML files at its root, none of them named data.yaml",
    )
    YAML_ROOT_IGNORED = (
        "yaml-root-ignored",
        Severity.INFO,
        "`path` in the data.yaml is ignored unless it is a folder of the archive",
    )
    YAML_KEY_IGNORED = ("yaml-key-ignored", Severity.WARNING, "a key in the data.yaml is ignored")

    TASK_NEEDED = (
        "task-needed",
        Severity.ERROR,
        "the files do not determine the task, and the upload does not name it",
    )
    LAYOUT_UNKNOWN = ("layout-unknown", Severity.ERROR, "the folders match no known layout")
    NAMES_MISSING = (
        "names-missing",
        Severity.ERROR,
        "the data.yaml has neither names nor nc",
    )
    NAMES_REPEATED = ("names-repeated", Severity.WARNING, "two classes have the same name")
    CLASS_NAME_INVALID = (
        "class-name-invalid",
        Severity.ERROR,
        "the name of a class folder is too long or not printable",
    )
    KPT_SHAPE_MISSING = ("kpt-shape-missing", Severity.ERROR, "a pose dataset has no kpt_shape")
    SPLIT_MISSING = ("split-missing", Severity.ERROR, "there are no train images or no val images")
    SPLIT_FOLDER_MISSING = (
        "split-folder-missing",
        Severity.WARNING,
        "the test folder in the data.yaml is not in the archive",
    )
    SPLIT_OVERLAP = (
        "split-overlap",
        Severity.ERROR,
        "an image is in two splits, or in two folders of one split",
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
        "a file is not a complete image of a supported format",
    )
    IMAGE_TOO_LARGE = (
        "image-too-large",
        Severity.ERROR,
        "an image has more pixels or a longer side than allowed",
    )
    IMAGE_TOO_SMALL = ("image-too-small", Severity.ERROR, "an image has a side below 10 pixels")
    IMAGE_CHANNELS = (
        "image-channels",
        Severity.ERROR,
        "an image does not have the number of channels in the data.yaml",
    )
    IMAGE_FRAMES = ("image-frames", Severity.WARNING, "only the first of several frames is used")
    JPEG_RESTORED = (
        "jpeg-restored",
        Severity.WARNING,
        "a JPEG without an end marker was re-encoded, as Ultralytics would do in place",
    )

    LABELS_MISSING = ("labels-missing", Severity.ERROR, "no image of train has an object")
    LABELS_EMPTY = ("labels-empty", Severity.WARNING, "no image of val or test has an object")
    LABEL_NOT_UTF8 = ("label-not-utf8", Severity.ERROR, "a label file is not UTF-8 text")
    LABEL_TOO_LARGE = ("label-too-large", Severity.ERROR, "a label file has too many bytes or rows")
    LABEL_COLUMNS = (
        "label-columns",
        Severity.ERROR,
        "a row does not have the columns that the task requires",
    )
    LABEL_MIXED = ("label-mixed", Severity.ERROR, "a label file mixes boxes and polygons")
    LABEL_NOT_A_NUMBER = ("label-not-a-number", Severity.ERROR, "a value is not a finite number")
    LABEL_CLASS = (
        "label-class",
        Severity.ERROR,
        "a class is not an integer from 0 to the last class",
    )
    LABEL_NEGATIVE = ("label-negative", Severity.ERROR, "a value is below zero")
    LABEL_OUT_OF_RANGE = ("label-out-of-range", Severity.ERROR, "a coordinate is above 1")
    LABEL_OUTSIDE = ("label-outside", Severity.WARNING, "a polygon extends beyond the image")
    LABEL_DUPLICATE = (
        "label-duplicate",
        Severity.WARNING,
        "a row appears twice; training reads it once",
    )
    LABEL_WITHOUT_IMAGE = ("label-without-image", Severity.WARNING, "a label file has no image")
    CLASS_ABSENT = ("class-absent", Severity.WARNING, "a class has no object in a split")
    CLASS_UNKNOWN = (
        "class-unknown",
        Severity.ERROR,
        "a class folder of another split does not exist in train",
    )

    MASK_MISSING = ("mask-missing", Severity.ERROR, "an image has no mask")
    MASK_UNREADABLE = ("mask-unreadable", Severity.ERROR, "a mask is not a complete PNG")
    MASK_MODE = ("mask-mode", Severity.ERROR, "a mask contains colours instead of class ids")
    MASK_SIZE = ("mask-size", Severity.ERROR, "a mask and its image differ in size")
    MASK_IDS = ("mask-ids", Severity.ERROR, "a mask contains ids that are neither a class nor 255")

    DEPTH_MISSING = ("depth-missing", Severity.ERROR, "an image has no depth map")
    DEPTH_UNREADABLE = (
        "depth-unreadable",
        Severity.ERROR,
        "a depth map is not a complete PNG or NPY file",
    )
    DEPTH_KIND = ("depth-kind", Severity.ERROR, "a depth map is neither 16-bit gray nor 2-D float")
    DEPTH_SHAPE = (
        "depth-shape",
        Severity.ERROR,
        "a depth map and its image differ in aspect ratio",
    )
    DEPTH_EMPTY = ("depth-empty", Severity.WARNING, "a depth map has no valid pixel")

    TASK_MISMATCH = (
        "task-mismatch",
        Severity.ERROR,
        "the ready versions of the dataset are labelled for another task",
    )
    VERIFICATION_CRASHED = (
        "verification-crashed",
        Severity.ERROR,
        "the verification failed in each of its attempts",
    )
    VERIFICATION_LIMIT = (
        "verification-limit",
        Severity.ERROR,
        "the verification exceeded its limit for memory, CPU time or file size",
    )


class Finding(BaseModel):
    """One finding; `line` counts from 1."""

    model_config = ConfigDict(frozen=True)

    code: Code
    severity: Severity
    message: str
    file: str | None
    line: int | None


@dataclass(frozen=True)
class Remark:
    """A finding about one file, created where the file's name is unknown."""

    code: Code
    message: str
    line: int | None = None


class Findings:
    """Collects findings. Keeps the first `MAX_FINDINGS_PER_CODE` of each code and counts all."""

    def __init__(self) -> None:
        self._kept: list[Finding] = []
        self._counts: Counter[Code] = Counter()

    def add(
        self, code: Code, message: str, *, file: str | None = None, line: int | None = None
    ) -> None:
        """Add one finding. Escapes `file`; callers use `shown` for user text in `message`."""
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
        """Add the remarks about `file`."""
        for remark in remarks:
            self.add(remark.code, remark.message, file=file, line=remark.line)

    @property
    def has_errors(self) -> bool:
        """Whether any finding is an error, which makes the version invalid."""
        return any(code.severity is Severity.ERROR for code in self._counts)

    def kept(self) -> list[Finding]:
        """Return the kept findings, errors first, then by file and line."""
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
        """Return the number of findings of each code, including those that were not kept."""
        return {code.value: self._counts[code] for code in Code if self._counts[code]}


def shown(text: str) -> str:
    """Escape the unprintable characters of `text` and cut it to `MAX_SHOWN_CHARACTERS`."""
    printable = "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text[: MAX_SHOWN_CHARACTERS + 1]
    )
    if len(printable) <= MAX_SHOWN_CHARACTERS:
        return printable
    return printable[: MAX_SHOWN_CHARACTERS - 1] + "…"
