"""The codes of the verifier's findings: a closed list, each with its severity and meaning.

An error makes the uploaded version invalid; a warning or an info does not. A code that `drops` is
about one image: the lenient policy leaves that image out and reports a warning instead of an error.
"""

from enum import StrEnum
from typing import Final, Self

DROPS: Final = "drops its image"


class Severity(StrEnum):
    """The severity of a finding. Only an error makes the version invalid."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Code(StrEnum):
    """Every possible finding, with its severity and its meaning in one line."""

    severity: Severity
    meaning: str
    drops: bool

    def __new__(cls, value: str, severity: Severity, meaning: str, drops: str = "") -> Self:
        """Create the member `value`; with `drops`, the lenient policy drops the image."""
        code = str.__new__(cls, value)
        code._value_ = value
        code.severity = severity
        code.meaning = meaning
        code.drops = drops == DROPS
        return code

    PATH_TRAVERSAL = (
        "path-traversal",
        Severity.ERROR,
        "a member's name is absolute, contains NUL or points outside the archive",
    )
    SPECIAL_FILE = (
        "special-file",
        Severity.ERROR,
        "a member is a link, a device, a pipe, a socket or a sparse file",
    )
    DUPLICATE_NAME = (
        "duplicate-name",
        Severity.ERROR,
        "two members have names that are equal on some file systems, or a file is also a folder",
    )
    LISTED_FILE_MISSING = ("listed-file-missing", Severity.ERROR, "a listed file was never sent")
    NAME_TOO_LONG = (
        "name-too-long",
        Severity.ERROR,
        "a member's name has too many characters or folders, or all names together are too long",
    )
    NAMES_DECODED = (
        "names-decoded",
        Severity.WARNING,
        "names of members are not UTF-8 and were read in the encoding that explains all of them",
    )
    NAMES_UNDECIDED = (
        "names-undecided",
        Severity.ERROR,
        "names of members are not UTF-8, and their encoding cannot be told from them",
    )
    INNER_ARCHIVE = (
        "inner-archive",
        Severity.INFO,
        "the files were read from an archive that is the only content of the upload",
    )
    ENCRYPTED = ("encrypted", Severity.ERROR, "a member needs a password")
    UNSUPPORTED_COMPRESSION = (
        "unsupported-compression",
        Severity.ERROR,
        "a member of a zip is neither stored nor deflated, or the zip spans several disks",
    )
    ARCHIVE_BOMB = (
        "archive-bomb",
        Severity.ERROR,
        "members overlap, or inflate to more than the limits allow, all inner archives together",
    )
    ARCHIVE_CORRUPT = (
        "archive-corrupt",
        Severity.ERROR,
        "the file is neither a zip nor a tar, is damaged or cut, or has other bytes around it",
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
        Severity.WARNING,
        "`download` in the data.yaml is ignored: the archive has the images",
    )
    YAML_PATH = (
        "yaml-path",
        Severity.ERROR,
        "a path in the data.yaml leads to no folder or list of the archive, or to several",
    )
    YAML_PATH_MATCHED = (
        "yaml-path-matched",
        Severity.INFO,
        "a path in the data.yaml was matched by its last parts",
    )
    YAML_ENCODING = ("yaml-encoding", Severity.WARNING, "a text file of the author is not UTF-8")
    YAML_MISSING = (
        "yaml-missing",
        Severity.ERROR,
        "there is no data.yaml that defines the class names",
    )
    YAML_AMBIGUOUS = (
        "yaml-ambiguous",
        Severity.ERROR,
        "several YAML files describe different datasets, and the upload does not choose one",
    )
    YAML_ROOT_IGNORED = (
        "yaml-root-ignored",
        Severity.INFO,
        "`path` in the data.yaml is no folder of the archive and was not needed",
    )
    YAML_KEY_IGNORED = ("yaml-key-ignored", Severity.WARNING, "a key in the data.yaml is ignored")

    TASK_NEEDED = (
        "task-needed",
        Severity.ERROR,
        "the files do not determine the task, and the upload does not name it",
    )
    FORMAT_CONVERTED = (
        "format-converted",
        Severity.INFO,
        "the annotations were converted from another format",
    )
    FORMAT_UNREAD = (
        "format-unread",
        Severity.ERROR,
        "the archive is in a known format that is not read",
    )
    ANNOTATIONS_INVALID = (
        "annotations-invalid",
        Severity.ERROR,
        "a file of annotations cannot be read",
    )
    ANNOTATION_UNREADABLE = (
        "annotation-unreadable",
        Severity.ERROR,
        "the annotation file of one image cannot be read",
        DROPS,
    )
    ANNOTATIONS_MISSING = (
        "annotations-missing",
        Severity.ERROR,
        "there are images, but no annotations",
    )
    IMAGES_MISSING = ("images-missing", Severity.ERROR, "there are annotations, but no images")
    ANNOTATION_IGNORED = (
        "annotation-ignored",
        Severity.WARNING,
        "an annotation is not used: it has no area, no image or an unknown kind",
    )
    ANNOTATION_CLIPPED = (
        "annotation-clipped",
        Severity.WARNING,
        "an annotation that extends beyond its image was cut at the border",
    )
    LAYOUT_UNKNOWN = ("layout-unknown", Severity.ERROR, "the folders match no known layout")
    NAMES_MISSING = (
        "names-missing",
        Severity.ERROR,
        "the data.yaml has neither names nor nc",
    )
    NAMES_MADE = ("names-made", Severity.WARNING, "classes without names were given names")
    NAMES_MISFIT = (
        "names-misfit",
        Severity.ERROR,
        "the names that were sent are not those of the class folders",
    )
    OPTION_UNFIT = (
        "option-unfit",
        Severity.ERROR,
        "an option that was sent does not fit the files",
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
        "a folder in the data.yaml is not in the archive",
    )
    SPLIT_OVERLAP = (
        "split-overlap",
        Severity.WARNING,
        "an image is in two folders of one split",
    )
    LISTED_IMAGE_MISSING = (
        "listed-image-missing",
        Severity.WARNING,
        "a list of images names files that are not in the archive",
    )
    SPLIT_SAME_FOLDER = (
        "split-same-folder",
        Severity.WARNING,
        "two splits are the same images: scores will be too good",
    )
    SPLIT_MADE = (
        "split-made",
        Severity.WARNING,
        "a missing split was made, or all images were divided by `splits`",
    )
    SPLIT_LEAK = ("split-leak", Severity.WARNING, "the same image bytes are in two splits")
    SPLIT_LOOKALIKE = ("split-lookalike", Severity.WARNING, "images of two splits look alike")
    TOO_MANY_DROPPED = (
        "too-many-dropped",
        Severity.ERROR,
        "more images were dropped than `max_bad_ratio` allows",
    )
    NAMES_REPLACED = (
        "names-replaced",
        Severity.INFO,
        "file names of a split were replaced by numbers in the same order",
    )

    IMAGE_UNREADABLE = (
        "image-unreadable",
        Severity.ERROR,
        "a file is not a complete image of a supported format",
        DROPS,
    )
    IMAGE_TOO_LARGE = (
        "image-too-large",
        Severity.ERROR,
        "an image has more pixels or a longer side than allowed",
        DROPS,
    )
    IMAGE_TOO_SMALL = (
        "image-too-small",
        Severity.ERROR,
        "an image has a side below 10 pixels",
        DROPS,
    )
    IMAGE_CHANNELS = (
        "image-channels",
        Severity.ERROR,
        "an image does not have the number of channels in the data.yaml",
        DROPS,
    )
    IMAGE_TYPE_UNREAD = (
        "image-type-unread",
        Severity.ERROR,
        "an image has a type that is not read",
        DROPS,
    )
    IMAGE_REPEATED = (
        "image-repeated",
        Severity.INFO,
        "images of one split have the same bytes",
    )
    IMAGE_LOOKALIKE = ("image-lookalike", Severity.INFO, "images of one split look alike")
    IMAGE_FRAMES = ("image-frames", Severity.WARNING, "only the first of several frames is used")
    JPEG_RESTORED = (
        "jpeg-restored",
        Severity.WARNING,
        "a JPEG without an end marker was re-encoded, as Ultralytics would do in place",
    )

    LABELS_MISSING = ("labels-missing", Severity.ERROR, "no image of train has an object")
    LABELS_EMPTY = ("labels-empty", Severity.WARNING, "no image of val or test has an object")
    LABEL_NOT_UTF8 = ("label-not-utf8", Severity.ERROR, "a label file is not UTF-8 text", DROPS)
    LABEL_TOO_LARGE = (
        "label-too-large",
        Severity.ERROR,
        "a label file has too many bytes or rows",
        DROPS,
    )
    LABEL_COLUMNS = (
        "label-columns",
        Severity.ERROR,
        "a row does not have the columns that the task requires",
        DROPS,
    )
    LABEL_MIXED = ("label-mixed", Severity.ERROR, "a label file mixes boxes and polygons", DROPS)
    LABEL_NOT_A_NUMBER = (
        "label-not-a-number",
        Severity.ERROR,
        "a value is not a finite number",
        DROPS,
    )
    LABEL_CLASS = (
        "label-class",
        Severity.ERROR,
        "a class is not an integer from 0 to the last class",
        DROPS,
    )
    LABEL_NEGATIVE = ("label-negative", Severity.ERROR, "a value is below zero", DROPS)
    LABEL_OUT_OF_RANGE = ("label-out-of-range", Severity.ERROR, "a coordinate is above 1", DROPS)
    LABEL_OUTSIDE = (
        "label-outside",
        Severity.WARNING,
        "a polygon, or the box of a pose, extends beyond the image",
    )
    LABEL_NO_SIZE = (
        "label-no-size",
        Severity.WARNING,
        "objects have no width or no height: training keeps them, but learns nothing from them",
    )
    LABEL_DUPLICATE = (
        "label-duplicate",
        Severity.WARNING,
        "a row appears twice; training reads it once",
    )
    LABELS_ELSEWHERE = (
        "labels-elsewhere",
        Severity.INFO,
        "the labels of a folder of images are in a folder with another name",
    )
    LABEL_NOT_USED = (
        "label-not-used",
        Severity.WARNING,
        "a label file lies beside its image, but the labels of its folder are elsewhere",
    )
    LABEL_WITHOUT_IMAGE = ("label-without-image", Severity.WARNING, "a label file has no image")
    CLASS_ABSENT = ("class-absent", Severity.WARNING, "a class has no object in a split")
    CLASS_UNKNOWN = (
        "class-unknown",
        Severity.ERROR,
        "a class folder of another split does not exist in train",
        DROPS,
    )

    MASK_MISSING = ("mask-missing", Severity.ERROR, "an image has no mask", DROPS)
    MASK_UNREADABLE = ("mask-unreadable", Severity.ERROR, "a mask is not a complete PNG", DROPS)
    MASK_MODE = ("mask-mode", Severity.ERROR, "a mask contains colours instead of class ids", DROPS)
    MASK_SIZE = ("mask-size", Severity.ERROR, "a mask and its image differ in size", DROPS)
    MASK_IDS = (
        "mask-ids",
        Severity.ERROR,
        "a mask contains ids that are neither a class nor 255",
        DROPS,
    )
    MASKS_BINARY = (
        "masks-binary",
        Severity.WARNING,
        "all masks contain only 0 and 255, so 255 was stored as class 1",
    )

    DEPTH_MISSING = ("depth-missing", Severity.ERROR, "an image has no depth map", DROPS)
    DEPTH_UNREADABLE = (
        "depth-unreadable",
        Severity.ERROR,
        "a depth map is not a complete PNG or NPY file",
        DROPS,
    )
    DEPTH_KIND = (
        "depth-kind",
        Severity.ERROR,
        "a depth map is neither 16-bit gray nor 2-D float",
        DROPS,
    )
    DEPTH_SHAPE = (
        "depth-shape",
        Severity.ERROR,
        "a depth map and its image differ in aspect ratio",
        DROPS,
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
        "the verification failed in each of its attempts, or at the file that is named",
    )
    VERIFICATION_LIMIT = (
        "verification-limit",
        Severity.ERROR,
        "the verification exceeded its limit for memory, CPU time or file size",
    )
