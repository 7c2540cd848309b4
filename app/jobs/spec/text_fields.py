"""The text types of the spec: names, notes, tags and references.

Text appears in logs, terminals, file names and HTML. Characters that people cannot see are refused
(`app.core.plain_text`).
"""

import math
import re
from typing import Annotated, Any, Final

from pydantic import (
    BeforeValidator,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from app.core.text_fields import plain_lines, plain_text
from app.jobs.spec.base_model import as_one_error
from app.models.architectures import nearest_model

_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_ULID: Final = "[0-7][0-9A-HJKMNP-TV-Z]{25}"

DATASET_VERSION_PATTERN: Final = f"^dsv_{_ULID}$"
MODEL_PATTERN: Final = rf"^([A-Za-z0-9][A-Za-z0-9._-]{{0,95}}\.(pt|yaml)|(mdl|job)_{_ULID})$"
SLUG_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
PROJECT_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$"
TAG_KEY_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$"


def storable_json(value: JsonValue) -> JsonValue:
    """Return the value; refuse what databases cannot store: NaN, infinity, NUL, lone surrogates."""
    match value:
        case float() if not math.isfinite(value):
            raise PydanticCustomError("finite_number", "Numbers must be finite.")
        case str() if _SURROGATES.search(value):
            raise PydanticCustomError(
                "lone_surrogate", "Text must be Unicode without lone surrogates."
            )
        case str() if "\0" in value:
            raise PydanticCustomError("control_character", "Text must not contain NUL.")
        case list():
            for item in value:
                storable_json(item)
        case dict():
            for name, item in value.items():
                storable_json(name)
                storable_json(item)
    return value


def as_map(schema: dict[str, Any]) -> None:
    """Describe a mapping in a way that generators of clients understand.

    Pydantic writes `patternProperties` for keys with a pattern, which they ignore.
    """
    ((pattern, values),) = schema.pop("patternProperties").items()
    schema["propertyNames"] = {**schema.get("propertyNames", {}), "pattern": pattern}
    schema["additionalProperties"] = values


def _as_a_model(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401 -- any JSON
    """Refuse what names no model, with the model that was probably meant."""
    try:
        return handler(value)
    except ValidationError:
        raise PydanticCustomError("model_reference", _about_models(value)) from None


def _about_models(value: object) -> str:
    ways = "A model is named as yolo26n.yaml, yolo26n.pt, mdl_… or job_…"
    if not isinstance(value, str):
        return f"{ways}."
    place, _, name = value[:200].replace("\\", "/").rpartition("/")
    guess = nearest_model(name)
    meant = f'; did you mean "{guess}"?' if guess else "."
    here = (
        " Files of your machine cannot be named: send them with POST /v1/models." if place else ""
    )
    return ways + meant + here


ModelRef = Annotated[str, StringConstraints(pattern=MODEL_PATTERN), WrapValidator(_as_a_model)]
DatasetRef = Annotated[str, Field(min_length=1, max_length=220), BeforeValidator(plain_text)]
Name = Annotated[str, Field(min_length=1, max_length=200), BeforeValidator(plain_text)]
Notes = Annotated[str, Field(max_length=10_000), BeforeValidator(plain_lines)]
TagKey = Annotated[str, StringConstraints(pattern=TAG_KEY_PATTERN)]
TagValue = Annotated[str, Field(max_length=200), BeforeValidator(plain_text)]
Slug = Annotated[
    str,
    StringConstraints(pattern=SLUG_PATTERN),
    as_one_error("name", "Use 1 to 63 letters, digits, _ and -, a letter or a digit first."),
]
ProjectName = Annotated[
    str,
    StringConstraints(pattern=PROJECT_PATTERN),
    as_one_error("name", "Use 1 to 100 letters, digits and . _ @ + -, as project names have."),
]
"""Every name that a project can have matches."""
