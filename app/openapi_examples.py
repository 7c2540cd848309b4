"""Examples of whole bodies in the OpenAPI document, put together from the examples of fields.

A model that reads better as a whole has an example of its own, and so has a model whose fields
exclude each other. Each example is in the document once, and the operations refer to it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

JSON: Final = "application/json"
TIME: Final = "2026-11-30T08:00:00Z"
SCHEMAS: Final = "#/components/schemas/"
EXAMPLES: Final = "#/components/examples/"


class NoExample(LookupError):
    """A field has no example, and none follows from its type."""


def add_examples(document: dict[str, Any], operations: Iterator[dict[str, Any]]) -> None:
    """Add an example to each JSON body of a request or a success.

    Raises:
        NoExample: a field has none.
    """
    examples = Examples(document["components"]["schemas"])
    for operation in operations:
        for media in _json_bodies(operation):
            schema = media["schema"]
            schema = schema.get("anyOf", [schema])[0]
            reference = schema.get("$ref")
            if reference is None:
                media["example"] = examples.example_of(schema, operation["operationId"])
            else:
                name = reference.removeprefix(SCHEMAS)
                examples.named(name)
                media["examples"] = {name: {"$ref": EXAMPLES + name}}
    shown = sorted(examples.made.items())
    document["components"]["examples"] = {name: {"value": value} for name, value in shown}


def _json_bodies(operation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    successes = [
        answer for status, answer in operation["responses"].items() if status.startswith("2")
    ]
    for body in [operation.get("requestBody", {}), *successes]:
        media = body.get("content", {}).get(JSON, {})
        if "schema" in media:  # a range of a file has none
            yield media


class Examples:
    """Puts examples together. `made` has those that operations asked for, by schema."""

    def __init__(self, schemas: Mapping[str, Any]) -> None:
        self._schemas = schemas
        self.made: dict[str, Any] = {}

    def named(self, name: str) -> Any:  # noqa: ANN401 -- any JSON value
        """Return the example of a named schema."""
        if name not in self.made:
            self.made[name] = self.example_of(self._schemas[name], name)
        return self.made[name]

    def example_of(self, schema: Mapping[str, Any], place: str) -> Any:  # noqa: ANN401 -- any JSON value
        """Return the first example of a schema, or one that follows from its type.

        Raises:
            NoExample: there is none.
        """
        match schema:
            case {"examples": [first, *_]}:
                return first
            case {"default": first} if first is not None:
                return first
            case {"const": first} | {"enum": [first, *_]}:
                return first
            case {"$ref": reference}:
                name = reference.removeprefix(SCHEMAS)
                return self.example_of(self._schemas[name], name)
            case {"anyOf": [first, *_]} | {"oneOf": [first, *_]}:
                return self.example_of(first, place)
            case {"properties": fields}:
                return {
                    name: self.example_of(field, f"{place}.{name}")
                    for name, field in fields.items()
                }
        return self._example_of_type(schema, place)

    def _example_of_type(self, schema: Mapping[str, Any], place: str) -> Any:  # noqa: ANN401 -- any JSON value
        match schema:
            case {"type": "boolean"}:
                return True
            case {"format": "date-time"}:
                return TIME
            case {"type": "array", "items": items}:
                return [self.example_of(items, f"{place}[]")]
            case {"propertyNames": names, "additionalProperties": values}:
                key = self.example_of(names, f"{place} key")
                return {key: self.example_of(values, f"{place}[{key}]")}
        raise NoExample(place)
