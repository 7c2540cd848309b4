"""Options checked against the JSON Schema that workers reported for their plugin.

The check takes bounded time for any schema and any options. jsonschema takes seconds to load where
all of its formats are installed, so that only a job with a trainer plugin loads this module.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from functools import lru_cache
from itertools import count, islice
from typing import Any, Final

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from pydantic import JsonValue
from pydantic_core import ErrorDetails, SchemaValidator, core_schema
from pydantic_core import SchemaError as PatternError
from referencing import Registry
from referencing.exceptions import Unresolvable

from app.core.problems import MAX_FIELDS

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError]]

MAX_STEPS: Final = 20_000
"""The maximum number of keywords applied to one job's options: about a second if all are
references."""
MAX_SCHEMA_CHARACTERS: Final = 65_536
MAX_SHOWN: Final = 200
REFERENCE: Final = re.compile(r'"\$ref": "((?:[^"\\]|\\.)*)"')
DEFINITION: Final = re.compile(r"#/\$defs/[^/\\]+")
NO_SUCH_OPTION: Final = "There is no such option."
AT: Final = ("trainer", "options")

# The keywords that pydantic writes, except those that read other documents or run Python's regular
# expressions, and uniqueItems, which pydantic's sets do not enforce either.
KEYWORDS: Final = (
    *("$ref", "allOf", "anyOf", "oneOf", "const", "enum", "type"),
    *("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"),
    *("items", "maxItems", "minItems", "prefixItems", "maxLength", "minLength"),
    *("maxProperties", "minProperties", "properties", "required"),
)


class TooMuchToJudge(Exception):
    """Checking the options against the schema would take too long."""


def misfits(options: Mapping[str, JsonValue], schema: Mapping[str, Any]) -> list[ErrorDetails]:
    """Return a problem for each option that does not fit the schema, without its value."""
    _steps.set(count())
    try:
        _check_schema(schema)
        judge = _Judge(dict(schema), registry=Registry())  # empty, so that no reference is fetched
        found = list(islice(judge.iter_errors(dict(options)), MAX_FIELDS))
    except (TooMuchToJudge, RecursionError, OverflowError):
        message = "These options are too complex to check against the plugin's schema."
        return [option_problem((), "options_too_complex", message)]
    except (SchemaError, Unresolvable):
        return [
            option_problem(
                (), "bad_schema", "The plugin's schema is invalid; report this to its author."
            )
        ]
    return [problem for error in found for problem in _problems(error)][:MAX_FIELDS]


def _check_schema(schema: Mapping[str, Any]) -> None:
    text = json.dumps(schema)
    # A part with "$schema" would be checked by another draft, with all of its keywords.
    if len(text) > MAX_SCHEMA_CHARACTERS or '"$schema"' in text:
        raise SchemaError("It is too long or mixes drafts of JSON Schema.")
    if not all(DEFINITION.fullmatch(target) for target in REFERENCE.findall(text)):
        raise SchemaError("It has a reference outside of its own definitions.")
    Draft202012Validator.check_schema(schema)


_steps: ContextVar[Iterator[int]] = ContextVar("steps")


def _counted(keyword: Keyword) -> Keyword:
    def judge(
        validator: Any,  # noqa: ANN401 -- jsonschema's
        value: Any,  # noqa: ANN401 -- any JSON
        instance: Any,  # noqa: ANN401 -- any JSON
        schema: Any,  # noqa: ANN401 -- any JSON
    ) -> Iterator[ValidationError]:
        if next(_steps.get()) > MAX_STEPS:
            raise TooMuchToJudge
        return keyword(validator, value, instance, schema)

    return judge


def _unknown_fields(
    validator: Any,  # noqa: ANN401 -- jsonschema's
    allowed: JsonValue,
    instance: JsonValue,
    schema: Mapping[str, Any],
) -> Iterator[ValidationError]:
    """Check `additionalProperties`; jsonschema's version would run the schema's patterns."""
    if not isinstance(instance, dict) or "patternProperties" in schema:
        return
    for name in instance.keys() - schema.get("properties", {}).keys():
        if allowed is False:
            yield ValidationError(NO_SUCH_OPTION, path=[name])
        elif isinstance(allowed, dict):
            yield from validator.descend(instance[name], allowed, path=name)


def _pattern(
    _: Any,  # noqa: ANN401 -- jsonschema's
    pattern: JsonValue,
    instance: JsonValue,
    __: Any,  # noqa: ANN401 -- any JSON
) -> Iterator[ValidationError]:
    """Check `pattern` with pydantic's engine, whose time is linear in the length of the text."""
    expression = _compiled(pattern) if isinstance(pattern, str) else None
    if isinstance(instance, str) and expression and not expression.isinstance_python(instance):
        yield ValidationError("The text does not match the pattern.")


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> SchemaValidator | None:
    with suppress(PatternError):  # Python's own syntax: the plugin checks it itself
        text = core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")
        return SchemaValidator(text)
    return None


_Judge: Final = validators.create(
    meta_schema=Draft202012Validator.META_SCHEMA,
    validators={
        **{name: _counted(Draft202012Validator.VALIDATORS[name]) for name in KEYWORDS},
        "additionalProperties": _counted(_unknown_fields),
        "pattern": _counted(_pattern),
    },
    type_checker=Draft202012Validator.TYPE_CHECKER,
)

_SENTENCES: Final = {
    "type": "It must be of type {}.",
    "minimum": "It must be at least {}.",
    "maximum": "It must be at most {}.",
    "exclusiveMinimum": "It must be more than {}.",
    "exclusiveMaximum": "It must be less than {}.",
    "multipleOf": "It must be a multiple of {}.",
    "minLength": "It must have at least {} characters.",
    "maxLength": "It must have at most {} characters.",
    "minItems": "It must have at least {} items.",
    "maxItems": "It must have at most {} items.",
    "minProperties": "It must have at least {} fields.",
    "maxProperties": "It must have at most {} fields.",
    "enum": "It must be one of {}.",
    "const": "It must be {}.",
}


def _problems(error: ValidationError) -> Iterator[ErrorDetails]:
    where = tuple(error.absolute_path)
    keyword: Any = error.validator
    value: Any = error.validator_value
    match keyword:
        case "required":
            instance: Any = error.instance
            for name in (option for option in value if option not in instance):
                yield option_problem((*where, name), "missing", "This option is required.")
        case "anyOf" | "oneOf":
            yield from _problems_of_choice(error)
        case None:  # the schema says `false`
            yield option_problem(where, "unknown_field", NO_SUCH_OPTION)
        case "additionalProperties":
            yield option_problem(where, "unknown_field", error.message)
        case "pattern":
            yield option_problem(where, "pattern", error.message)
        case _:
            sentence = _SENTENCES.get(keyword, "It does not fit the plugin's schema.")
            yield option_problem(where, keyword, sentence.format(_shown(value)))


def _problems_of_choice(error: ValidationError) -> Iterator[ErrorDetails]:
    where = tuple(error.absolute_path)
    context = error.context or []
    if all(cause.validator == "type" and not cause.path for cause in context):
        types = " or ".join(str(cause.validator_value) for cause in context)
        yield option_problem(where, "type", f"It must be of type {types}.")
        return
    nearest = best_match([error])
    if nearest is error:
        yield option_problem(where, "any_of", "It matches none of the allowed forms.")
    else:
        yield from _problems(nearest)


def _shown(value: JsonValue) -> str:
    """Return a part of the schema as text."""
    if isinstance(value, list):
        return ", ".join(json.dumps(item) for item in value)[:MAX_SHOWN]
    return str(value if isinstance(value, str) else json.dumps(value))[:MAX_SHOWN]


def option_problem(where: tuple[str | int, ...], code: str, message: str) -> ErrorDetails:
    """Return the problem of one option, or of all of them if `where` is empty."""
    return {"type": code, "loc": (*AT, *where), "msg": message, "input": None}
