"""Markdown tables, and a field's type, range and default from a JSON schema."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

Schema = dict[str, Any]

LONGEST_PATTERN: Final = 45


@dataclass(frozen=True)
class Field:
    """One field of a schema as shown in a table; `path` is dotted."""

    path: str
    type: str
    default: str
    range: str
    meaning: str


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    ruled = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in ruled)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def code(text: str) -> str:
    """Return `text` as code; an empty text stays empty."""
    return f"`{text}`" if text else ""


def fields_of(schema: Schema, root: Schema, prefix: str = "") -> Iterator[Field]:
    """Yield the fields of an object schema; nested objects are replaced by their fields."""
    required = set(schema.get("required", ()))
    for name, given in schema["properties"].items():
        found = _resolved(given, root)
        if "properties" in found:
            yield from fields_of(found, root, f"{prefix}{name}.")
            continue
        shown = code(json.dumps(found["default"])) if "default" in found else ""
        yield Field(
            path=prefix + name,
            type=_type(found, root),
            default="required" if name in required else shown,
            range=_range(found, root),
            meaning=found.get("description", ""),
        )


def _resolved(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    target: Schema = root["$defs"][reference.rpartition("/")[2]]
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def _members(schema: Schema, root: Schema) -> list[Schema]:
    return [_resolved(member, root) for member in schema.get("anyOf", [schema])]


def _type(schema: Schema, root: Schema) -> str:
    return " or ".join(dict.fromkeys(_type_of(each, root) for each in _members(schema, root)))


def _type_of(schema: Schema, root: Schema) -> str:
    kind = str(schema.get("type", "string"))
    if kind == "array":
        parts = schema.get("prefixItems")
        inner = "number" if parts else _type(schema.get("items", {}), root)
        return f"list of {len(parts)} {inner}s" if parts else f"list of {inner}s"
    return {"object": "object", "integer": "whole number"}.get(kind, kind)


def _range(schema: Schema, root: Schema) -> str:
    ranges = [_range_of(each) for each in _members(schema, root)]
    return "; ".join(dict.fromkeys(each for each in ranges if each))


def _range_of(schema: Schema) -> str:
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return ", ".join(json.dumps(value) for value in schema["enum"])
    if "pattern" in schema:
        return code(schema["pattern"]) if len(schema["pattern"]) <= LONGEST_PATTERN else ""
    if schema.get("type") == "array" and "prefixItems" in schema:
        return f"[{', '.join(_range_of(part) for part in schema['prefixItems'])}]"
    if "maxProperties" in schema:
        return f"at most {schema['maxProperties']} keys" if schema["maxProperties"] else "{}"
    if "minLength" in schema or "maxLength" in schema:
        return f"{_span(schema.get('minLength'), schema.get('maxLength'))} characters"
    low, high = schema.get("minimum"), schema.get("maximum")
    exclusive = {"exclusiveMinimum": "> {}", "exclusiveMaximum": "< {}"}
    bounds = [text.format(schema[key]) for key, text in exclusive.items() if key in schema]
    return ", ".join(each for each in (_span(low, high), *bounds) if each)


def _span(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{low} to {high}"
    if low is None and high is None:
        return ""
    return f"≥ {low}" if high is None else f"≤ {high}"
