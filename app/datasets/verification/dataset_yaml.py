"""Read the few keys of an uploaded data.yaml that training uses, and write the generated one.

Training never reads the uploaded file, because Ultralytics runs its `download` and follows its
paths (8.4.190, data/utils.py:789-828). Aliases, tags, deep nesting and repeated keys are refused.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from app.datasets.archives.findings import Code, Findings, shown

MAX_YAML_BYTES: Final = 4 * 1024 * 1024
MAX_YAML_DEPTH: Final = 12
MAX_CLASSES: Final = 30_000
MAX_NAME_CHARACTERS: Final = 200
MAX_KEYPOINTS: Final = 1000
IGNORED_ID: Final = 255

UNUSED_KEYS: Final = frozenset({"path", "roboflow", "task", "minival"})
"""Keys that have no effect here and are not reported either."""


class UnfitValueError(ValueError):
    """A value has the wrong type or range; pydantic converts this into a validation error."""


class YamlRefusedError(Exception):
    """The text is not in the accepted subset of YAML; `line` counts from 1."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def _class_name(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UnfitValueError(
            f"a class name must be text: quote {shown(str(value))!r}, which YAML reads as"
            f" {type(value).__name__}"
        )
    name = str(value)
    if not name.strip() or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise UnfitValueError(f"a class name has 1 to {MAX_NAME_CHARACTERS} printable characters")
    return name


def _class_names(value: object) -> list[str]:
    """Return the names in class order, from a list or from `{0: name, …}`."""
    if isinstance(value, list):
        names = value
    elif isinstance(value, dict):
        by_class = {_integer(key): name for key, name in value.items()}
        if sorted(by_class) != list(range(len(value))):
            raise UnfitValueError("class numbers must be 0, 1, 2, … without a gap")
        names = [by_class[number] for number in range(len(value))]
    else:
        raise UnfitValueError("names must be a list, or a mapping of class numbers to names")
    if not 1 <= len(names) <= MAX_CLASSES:
        raise UnfitValueError(f"there must be 1 to {MAX_CLASSES} classes")
    return [_class_name(name) for name in names]


def _integer(value: object) -> int:
    """Return `value` as an integer; `3.0` and `"3"` are accepted too."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise UnfitValueError("an integer is expected")
    number = float(value)
    if not number.is_integer():
        raise UnfitValueError("an integer is expected")
    return int(number)


def _folders(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _label_mapping(value: object) -> dict[int, int]:
    """Return class ids by raw mask id; `ignore_label` and null become 255, as in Ultralytics."""
    if not isinstance(value, dict):
        raise UnfitValueError("a mapping of mask ids to class ids is expected")
    mapping = {}
    for raw, mapped in value.items():
        ignored = mapped is None or mapped == "ignore_label"
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
PositiveFloat = Annotated[StrictFloat, Field(gt=0, le=1e6, allow_inf_nan=False)]


class DatasetFields(BaseModel):
    """The keys of a data.yaml that are read, with their types and ranges."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    train: Folders | None = None
    val: Folders | None = None
    test: Folders | None = None
    path: Annotated[StrictStr, Field(max_length=1000)] | None = None
    nc: Annotated[int, BeforeValidator(_integer), Field(ge=1, le=MAX_CLASSES)] | None = None
    names: Annotated[list[str], BeforeValidator(_class_names)] | None = None
    kpt_shape: tuple[Annotated[int, Field(ge=1, le=MAX_KEYPOINTS)], Literal[2, 3]] | None = None
    flip_idx: list[Annotated[StrictInt, Field(ge=0)]] | None = None
    kpt_names: Annotated[dict[int, list[str]], BeforeValidator(_keypoint_names)] | None = None
    kpt_oks_sigmas: list[PositiveFloat] | None = None
    channels: Annotated[StrictInt, Field(ge=1, le=64)] = 3
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
    try:
        keys = load_plain_yaml(content)
    except YamlRefusedError as error:
        findings.add(Code.YAML_INVALID, str(error), file=file, line=error.line)
        return None
    if keys.get("download") is not None:
        findings.add(
            Code.YAML_DOWNLOAD,
            "Remove `download`: an archive must contain all files of its dataset.",
            file=file,
        )
    if "val" not in keys and "validation" in keys:
        keys["val"] = keys.pop("validation")
    known = DatasetFields.model_fields.keys() | UNUSED_KEYS | {"download"}
    for key in sorted(keys.keys() - known):
        findings.add(Code.YAML_KEY_IGNORED, f"`{shown(key)}` is ignored.", file=file)
    return _validated(keys, file, findings)


def _validated(keys: dict[str, Any], file: str, findings: Findings) -> DatasetFields | None:
    given = {key: value for key, value in keys.items() if value is not None}
    try:
        return DatasetFields.model_validate(given)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False, include_input=False, include_context=False):
            where = ".".join(str(part) for part in error["loc"])
            text = f"{where}: {error['msg']}" if where else error["msg"]
            findings.add(Code.YAML_VALUE, shown(text), file=file)
        return None


@dataclass
class _Nesting:
    """Checks YAML events and refuses what appears only in an attack or by mistake."""

    depth: int = 0

    def follow(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise YamlRefusedError("Anchors and aliases (& and *) are not supported.", line)
        if getattr(event, "tag", None):
            raise YamlRefusedError("Tags (!) are not supported.", line)
        if isinstance(event, yaml.CollectionStartEvent):
            self.depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            self.depth -= 1
        if self.depth > MAX_YAML_DEPTH:
            raise YamlRefusedError(f"More than {MAX_YAML_DEPTH} levels are not supported.", line)


def load_plain_yaml(content: bytes) -> dict[str, Any]:
    """Return the mapping in `content`. Its keys are text and unique.

    Raises:
        YamlRefusedError: the text is too large, is not YAML or not a mapping, or uses a refused
            feature.
    """
    if len(content) > MAX_YAML_BYTES:
        raise YamlRefusedError(f"It has more than {MAX_YAML_BYTES} bytes.")
    try:
        text = content.decode("utf-8-sig")
        nesting = _Nesting()
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            nesting.follow(event)
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
        _refuse_repeated_keys([node] if node else [])
        loaded = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise YamlRefusedError(shown(f"It is not valid YAML: {error.problem}."), line) from error
    except (yaml.YAMLError, ValueError) as error:
        raise YamlRefusedError(shown(f"It cannot be read: {error}.")) from error
    if not isinstance(loaded, dict) or not all(isinstance(key, str) for key in loaded):
        raise YamlRefusedError("A mapping with text as keys is expected.")
    return loaded


def _refuse_repeated_keys(nodes: Iterable[yaml.Node]) -> None:
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if isinstance(node, yaml.SequenceNode):
            pending.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise YamlRefusedError("A key must be one word.", key.start_mark.line + 1)
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise YamlRefusedError(f"The key {shown(key.value)!r} appears twice.", line)
                seen.add(key.value)
                pending.append(value)


def render_dataset_yaml(fields: dict[str, Any], names: list[str], splits: Iterable[str]) -> bytes:
    """Return the generated data.yaml: the pack's folders, the class names, then `fields`."""
    content: dict[str, Any] = {split: f"images/{split}" for split in splits}
    content["names"] = dict(enumerate(names))
    content.update(fields)
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=math.inf)
    return text.encode()
