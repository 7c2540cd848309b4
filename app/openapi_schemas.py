"""Schemas of the OpenAPI document that generated clients can live with when the server changes.

Enumerations of requests are closed. Those of answers are open: a client of this document reads a
member that a later release adds as plain text. Stored specs are typed, but an earlier or later
release may have written other fields.
"""

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from app.core.errors import TrainyardError
from app.core.problems import URN
from app.http_server import errors as _connection_errors  # noqa: F401 -- they are answers, too
from app.jobs.spec.job_spec import JobSpec, ResolvedSpec

REFERENCE: Final = "#/components/schemas/"
STORED: Final = "Stored"
BOUNDS: Final = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
LIMITS: Final = BOUNDS | {
    *("pattern", "minLength", "maxLength", "minItems", "maxItems", "minProperties"),
    *("maxProperties", "propertyNames", "additionalProperties"),
}
"""What a request must keep to, and what a stored spec may have from another release."""
LIST_NAME: Final = re.compile(r"(?P<kind>Page|WholeList)_(?P<item>\w+)_")
ANY_TEXT: Final = {"type": "string"}

Schema = dict[str, Any]
OF_PROGRAMS: Final = frozenset(
    {"app.core.database_errors", "app.core.devices", "app.core.home", "app.listening"}
)
"""Modules of errors that end a program, which no response has, whether or not it is loaded."""


def complete_schemas(document: Schema) -> None:
    """Complete the schemas of a document whose operations are all there."""
    _rename_lists(document)
    schemas = document["components"]["schemas"]
    _type_stored_specs(schemas)
    _title_by_name(schemas)
    for part in _parts_of(document):
        _write_choices_as_enumerations(part)
    schemas["Problem"]["properties"]["type"]["enum"] = problem_types()
    closed = _reachable(schemas, _of_requests(document))
    for name in schemas.keys() - closed:
        schemas[name] = _opened(schemas[name], schemas)
    for part in _parts_of(document):
        if part.get("type") == "integer":
            _write_bounds_as_integers(part)


def _rename_lists(document: Schema) -> None:
    """Name pages and lists after their items: pydantic calls a `KeyViewPage` `Page_KeyView_`."""
    schemas = document["components"]["schemas"]
    names = {name: LIST_NAME.sub(_list_name, name) for name in schemas}
    document["components"]["schemas"] = {names[name]: part for name, part in schemas.items()}
    for part in _parts_of(document):
        reference = part.get("$ref")
        if isinstance(reference, str) and reference.startswith(REFERENCE):
            name = reference.removeprefix(REFERENCE)
            part["$ref"] = REFERENCE + names.get(name, name)


def _list_name(found: re.Match[str]) -> str:
    return f"{found['item']}{'Page' if found['kind'] == 'Page' else 'List'}"


def problem_types() -> list[str]:
    """Return the type of every problem that this release can answer with."""
    kinds: list[type[TrainyardError]] = [TrainyardError, *_subclasses(TrainyardError)]
    answered = [kind for kind in kinds if kind.__module__ not in OF_PROGRAMS]
    return sorted({URN + kind.slug for kind in answered if kind.__module__.startswith("app.")})


def _subclasses(kind: type[TrainyardError]) -> Iterator[type[TrainyardError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)


def _type_stored_specs(schemas: Schema) -> None:
    """Add the schemas of specs as they are stored, and refer to them from the view of a job."""
    fields = schemas["JobView"]["properties"]
    for model, field in ((JobSpec, "spec"), (ResolvedSpec, "resolved")):
        made = model.model_json_schema(ref_template=f"{REFERENCE}{STORED}{{model}}")
        parts = {**made.pop("$defs", {}), model.__name__: made}
        for name, part in parts.items():
            schemas[STORED + name] = _as_stored(part) if part else schemas[name]
        kept = {key: fields[field][key] for key in ("description", "examples")}
        fields[field] = {"$ref": f"{REFERENCE}{STORED}{model.__name__}", **kept}


def _as_stored(part: Schema) -> Schema:
    """Return the schema of a part of a stored spec: the same fields, without limits or defaults."""
    stored = copy.deepcopy(part)
    for each in _parts_of(stored):
        if "default" in each:
            each.setdefault("examples", [each.pop("default")])
        for name in LIMITS & each.keys():
            if name != "additionalProperties" or each[name] is False:
                del each[name]
    stored.pop("examples", None)
    stored.pop("required", None)
    return stored


def _title_by_name(schemas: Schema) -> None:
    """Give each schema its name as title: some generators name classes by titles.

    Two with one title would be one class too few.
    """
    for name, part in schemas.items():
        if "title" in part:
            part["title"] = name


def _of_requests(document: Schema) -> Iterator[str]:
    for methods in document["paths"].values():
        for operation in methods.values():
            yield from _references(operation.get("requestBody", {}))
            yield from _references(operation.get("parameters", []))


def _reachable(schemas: Schema, names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= set(_references(schemas[name])) - found
    return found


def _references(node: object) -> Iterator[str]:
    for part in _parts_of(node):
        reference = part.get("$ref")
        if isinstance(reference, str) and reference.startswith(REFERENCE):
            yield reference.removeprefix(REFERENCE)


def _parts_of(node: object) -> Iterator[Schema]:
    """Yield every object inside a document, the outer ones first."""
    if isinstance(node, dict):
        yield node
        for value in list(node.values()):
            yield from _parts_of(value)
    elif isinstance(node, list):
        for value in node:
            yield from _parts_of(value)


def _opened(schema: Any, schemas: Mapping[str, Any]) -> Any:  # noqa: ANN401 -- any part of a schema
    """Return a schema whose fields and items accept other text than the members of their enums.

    The named enumerations themselves stay as they are, so that they have the known members.
    """
    opened = dict(schema)
    for group in ("properties", "$defs"):
        if group in opened:
            opened[group] = {
                name: _open_place(part, schemas) for name, part in opened[group].items()
            }
    for group in ("items", "additionalProperties"):
        if isinstance(opened.get(group), dict):
            opened[group] = _open_place(opened[group], schemas)
    for group in ("anyOf", "oneOf", "prefixItems"):
        if group in opened:
            opened[group] = [_opened(part, schemas) for part in opened[group]]
    return opened


def _open_place(place: Schema, schemas: Mapping[str, Any]) -> Schema:
    """Return the schema of a field or an item, open if it is an enumeration of text."""
    place = _opened(place, schemas)
    if any(_is_enumeration(part, schemas) for part in place.get("anyOf", ())):
        return {**place, "anyOf": [*place["anyOf"], ANY_TEXT]}
    if not _is_enumeration(place, schemas):
        return place
    said: Schema = {key: place[key] for key in ("title", "description", "examples") if key in place}
    members = {key: value for key, value in place.items() if key not in said}
    return {"anyOf": [members, ANY_TEXT], **said}


def _is_enumeration(part: Schema, schemas: Mapping[str, Any]) -> bool:
    named = schemas.get(str(part.get("$ref", "")).removeprefix(REFERENCE), part)
    return "enum" in named and named.get("type", "string") == "string"


def _write_choices_as_enumerations(part: Schema) -> None:
    """Write a value that is one of several choices as an enumeration with one member.

    Some generators refuse every other choice beside a `const`.
    """
    for choice in part.get("anyOf", ()):
        if "const" in choice:
            choice["enum"] = [choice.pop("const")]


def _write_bounds_as_integers(part: Schema) -> None:
    for name in BOUNDS & part.keys():
        if isinstance(part[name], float) and part[name].is_integer():
            part[name] = int(part[name])
