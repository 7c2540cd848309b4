"""Read the few keys of an uploaded data.yaml that training uses, and write the generated one.

Training never reads the uploaded file, because Ultralytics runs its `download` and follows its
paths (8.4.190, data/utils.py:789-828). Every value arrives as the text that was written.
"""

import math
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictStr,
    ValidationError,
    model_validator,
)

from app.core.plain_text import is_plain
from app.core.plain_yaml import YamlRefusedError, load_plain_yaml
from app.datasets.archives.legacy_text import decode_text
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings, shown

MAX_CLASSES: Final = 30_000
MAX_NAME_CHARACTERS: Final = 200
MAX_KEYPOINTS: Final = 1000
IGNORED_ID: Final = 255

UTF_8: Final = "utf-8"
NULLS: Final = frozenset({"null", "Null", "NULL", "~"})
UNUSED_KEYS: Final = frozenset({"path", "roboflow", "task", "minival", "nc", "no"})
"""Keys that have no effect here and are not reported either."""
KEY_SYNONYMS: Final = {
    "validation": "val",
    "valid": "val",
    "training": "train",
    "testing": "test",
    **{key: key for key in ("train", "val", "test", "names", "nc", "path")},
}
"""The key that is meant, by its usual other names in lower case."""
EXPECTED: Final = {
    "train": "a folder or a list of images is expected",
    "val": "a folder or a list of images is expected",
    "test": "a folder or a list of images is expected",
    "path": "one folder is expected",
    "nc": f"a whole number from 1 to {MAX_CLASSES} is expected",
    "kpt_shape": f"[keypoints, 2 or 3] is expected, with 1 to {MAX_KEYPOINTS} keypoints",
    "flip_idx": "a list with the number of each keypoint's mirror image is expected",
    "kpt_oks_sigmas": "a list of numbers above 0 is expected",
    "channels": "a whole number from 1 to 64 is expected",
    "masks_dir": "the name of one folder is expected",
    "depth_scale": "a number above 0 is expected",
    "max_depth": "a number above 0 is expected",
}
"""By field, what its value must be; the rules themselves are those of `DatasetFields`."""


class UnfitValueError(ValueError):
    """A value has the wrong type or range; pydantic converts this into a validation error."""


def _class_name(value: object) -> str:
    if not isinstance(value, str):
        raise UnfitValueError("a class name must be text")
    if not value.strip() or len(value) > MAX_NAME_CHARACTERS or not is_plain(value):
        raise UnfitValueError(f"a class name has 1 to {MAX_NAME_CHARACTERS} printable characters")
    return value


def _class_names(value: object) -> list[str]:
    """Return the names in class order: from a list, `{0: name, …}`, `{name: 0, …}` or a text."""
    value = _joined_mappings(_listed_in_text(value))
    if isinstance(value, list):
        names = value
    elif isinstance(value, dict):
        by_class = _by_class(value)
        if sorted(by_class) != list(range(len(value))):
            raise UnfitValueError("class numbers must be 0, 1, 2, … without a gap")
        names = [by_class[number] for number in range(len(value))]
    else:
        raise UnfitValueError("names must be a list, or a mapping of class numbers to names")
    if not 1 <= len(names) <= MAX_CLASSES:
        raise UnfitValueError(f"there must be 1 to {MAX_CLASSES} classes")
    return [_class_name(name) for name in names]


def _by_class(value: dict[Any, Any]) -> dict[int, Any]:
    """Return names by class number, from a mapping in either direction."""
    try:
        return {_integer(key): name for key, name in value.items()}
    except UnfitValueError:
        if not all(isinstance(key, str) and _is_integer(number) for key, number in value.items()):
            raise
        return {_integer(number): name for name, number in value.items()}


def _is_integer(value: object) -> bool:
    return isinstance(value, str) and value.strip().isdecimal()


def _listed_in_text(value: object) -> object:
    """Return the names of a text such as `disc, ring` or `['disc', 'ring']` as a list."""
    if not isinstance(value, str) or not value.strip() or _is_file(value):
        return value
    inner = value.strip()
    if inner.startswith("[") and inner.endswith("]"):
        inner = inner[1:-1]
    return [name.strip().strip("\"'") for name in inner.split(",")]


def _is_file(value: str) -> bool:
    return value.strip().lower().endswith((".txt", ".names", ".yaml", ".yml", ".json"))


def _joined_mappings(value: object) -> object:
    """Return a list of mappings, such as `[{0: disc}, {1: ring}]`, as one mapping."""
    if not isinstance(value, list) or not value:
        return value
    pairs = [pair for each in value if isinstance(each, dict) for pair in each.items()]
    is_joined = all(isinstance(each, dict) for each in value) and len(dict(pairs)) == len(pairs)
    return dict(pairs) if is_joined else value


def _integer(value: object) -> int:
    """Return `value` as an integer; `3.0` is accepted too."""
    try:
        is_number = isinstance(value, str | int) and not isinstance(value, bool)
        number = float(value) if is_number else math.nan  # type: ignore[arg-type] # checked above
    except (ValueError, OverflowError):
        number = math.nan
    if not number.is_integer():
        raise UnfitValueError("a whole number is expected")
    return int(number)


def _integers(value: object) -> object:
    return [_integer(each) for each in value] if isinstance(value, list) else value


def _folders(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _label_mapping(value: object) -> dict[int, int]:
    """Return class ids by raw mask id; `ignore_label` and null become 255, as in Ultralytics."""
    if not isinstance(value, dict):
        raise UnfitValueError("a mapping of mask ids to class ids is expected")
    mapping = {}
    for raw, mapped in value.items():
        ignored = isinstance(mapped, str) and mapped in NULLS | {"", "ignore_label"}
        mapping[_integer(raw)] = IGNORED_ID if ignored else _integer(mapped)
    if any(not 0 <= mapped <= IGNORED_ID for mapped in mapping.values()):
        raise UnfitValueError("mapped ids are 0 to 255; 255 means ignored")
    return mapping


def _keypoint_names(value: object) -> dict[int, list[str]]:
    if not isinstance(value, dict):
        raise UnfitValueError("a mapping of class numbers to lists of names is expected")
    names = {}
    for number, points in value.items():
        if not isinstance(points, list):
            raise UnfitValueError("each class needs a list of names")
        names[_integer(number)] = [_class_name(point) for point in points]
    return names


Folders = Annotated[
    list[Annotated[StrictStr, Field(min_length=1, max_length=1000)]],
    Field(min_length=1, max_length=100),
    BeforeValidator(_folders),
]
Integer = Annotated[int, BeforeValidator(_integer)]
PositiveFloat = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]


class DatasetFields(BaseModel):
    """The keys of a data.yaml that are read, with their types and ranges."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    train: Folders | None = None
    val: Folders | None = None
    test: Folders | None = None
    path: Annotated[StrictStr, Field(max_length=1000)] | None = None
    nc: Annotated[Integer, Field(ge=1, le=MAX_CLASSES)] | None = None
    names: Annotated[list[str], BeforeValidator(_class_names)] | None = None
    kpt_shape: (
        Annotated[
            tuple[Annotated[int, Field(ge=1, le=MAX_KEYPOINTS)], Literal[2, 3]],
            BeforeValidator(_integers),
        ]
        | None
    ) = None
    flip_idx: Annotated[list[Annotated[int, Field(ge=0)]], BeforeValidator(_integers)] | None = None
    kpt_names: Annotated[dict[int, list[str]], BeforeValidator(_keypoint_names)] | None = None
    kpt_oks_sigmas: list[PositiveFloat] | None = None
    channels: Annotated[Integer, Field(ge=1, le=64)] = 3
    masks_dir: Annotated[StrictStr, Field(min_length=1, max_length=200)] | None = None
    label_mapping: Annotated[dict[int, int], BeforeValidator(_label_mapping)] | None = None
    depth_scale: PositiveFloat | None = None
    max_depth: PositiveFloat | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.nc is not None and self.names is not None and len(self.names) != self.nc:
            raise UnfitValueError(f"nc is {self.nc}, but there are {len(self.names)} names")
        points = self.kpt_shape[0] if self.kpt_shape else None
        self._agree_on_keypoints(points)
        return self

    def _agree_on_keypoints(self, points: int | None) -> None:
        if points is None:
            return
        if self.flip_idx and sorted(self.flip_idx) != list(range(points)):
            raise UnfitValueError(f"flip_idx must name each of the {points} keypoints once")
        if self.kpt_oks_sigmas is not None and len(self.kpt_oks_sigmas) != points:
            raise UnfitValueError(f"kpt_oks_sigmas needs {points} values")
        if any(len(names) != points for names in (self.kpt_names or {}).values()):
            raise UnfitValueError(f"kpt_names needs {points} names for each class")

    @property
    def class_names(self) -> list[str] | None:
        """The class names; with nc alone, the names that Ultralytics generates."""
        if self.names is None and self.nc is not None:
            return [f"class_{number}" for number in range(self.nc)]
        return self.names


def read_dataset_yaml(content: bytes, file: str, findings: Findings) -> DatasetFields | None:
    """Read a data.yaml. Return None, with the reasons in `findings`, if it cannot be used."""
    keys = read_keys(content, file, findings)
    return None if keys is None else dataset_fields(keys, file, findings)


def read_keys(content: bytes, file: str, findings: Findings) -> dict[str, Any] | None:
    """Return the keys of a YAML file with their values as text, or None with a finding."""
    decoded = decode_text(content)
    if decoded is None:
        findings.add(Code.YAML_INVALID, "It is not text. Save it as UTF-8.", file=file)
        return None
    text, encoding = decoded
    if encoding != UTF_8:
        findings.add(Code.YAML_ENCODING, f"It was read as {encoding}. Save it as UTF-8.", file=file)
    try:
        return load_plain_yaml(text, may_repeat=findings.policy == "lenient")
    except YamlRefusedError as error:
        findings.add(Code.YAML_INVALID, str(error), file=file, line=error.line)
        return None


def dataset_fields(keys: dict[str, Any], file: str, findings: Findings) -> DatasetFields | None:
    """Return the fields among the keys of a data.yaml, or None with findings on their values."""
    keys = {KEY_SYNONYMS.get(key.strip().casefold(), key): value for key, value in keys.items()}
    if not _is_empty(keys.get("download")):
        findings.add(
            Code.YAML_DOWNLOAD, "`download` is not run; the archive holds the images.", file=file
        )
    known = DatasetFields.model_fields.keys() | UNUSED_KEYS | {"download"}
    ignored = sorted(shown(key) for key in keys.keys() - known)
    if ignored:
        text = f"These keys are not used: {shown(', '.join(ignored[:20]))}."
        findings.add(Code.YAML_KEY_IGNORED, text, file=file)
    return _validated(keys, file, findings)


def _is_empty(value: object) -> bool:
    return value is None or value in ("", [], {}) or (isinstance(value, str) and value in NULLS)


def _validated(keys: dict[str, Any], file: str, findings: Findings) -> DatasetFields | None:
    given = {key: value for key, value in keys.items() if not _is_empty(value)}
    names = given.get("names")
    if isinstance(names, str) and _is_file(names):  # the names are read from a file of names
        del given["names"]
    try:
        return DatasetFields.model_validate(given)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            where = ".".join(str(part) for part in error["loc"])
            reason = error.get("ctx", {}).get("error") or EXPECTED.get(str(error["loc"][0]), "")
            value = "" if isinstance(error["input"], DatasetFields) else error["input"]
            text = f"{where}: {reason}; it is {shown(str(value))!r}." if where else f"{reason}."
            findings.add(Code.YAML_VALUE, shown(text), file=file)
        return None


def render_dataset_yaml(fields: dict[str, Any], names: list[str], splits: Iterable[str]) -> bytes:
    """Return the generated data.yaml: the pack's folders, the class names, then `fields`."""
    content: dict[str, Any] = {split: f"images/{split}" for split in splits}
    content["names"] = dict(enumerate(names))
    content.update(fields)
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=math.inf)
    return text.encode()
