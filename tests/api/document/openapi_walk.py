"""Walks through the OpenAPI document: its operations, bodies and schemas."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from app.main import create_app
from app.settings import Settings

Node = Mapping[str, Any]
JSON: Final = "application/json"


@cache
def openapi_document() -> dict[str, Any]:
    """Return the document. It is made once, because that takes a second."""
    return create_app(Settings(home=Path("/nowhere"))).openapi()


@dataclass(frozen=True)
class Operation:
    """A method of a path, and what the document says of it."""

    method: str
    path: str
    content: Node

    @property
    def name(self) -> str:
        return f"{self.method.upper()} {self.path}"

    @property
    def id(self) -> str:
        named: str = self.content["operationId"]
        return named

    def request_bodies(self) -> Mapping[str, Node]:
        """Return what the request may be, by media type."""
        found: Mapping[str, Node] = self.content.get("requestBody", {}).get("content", {})
        return found

    def successes(self) -> Iterator[tuple[str, str, Node]]:
        """Yield status, media type and description of each body of a success."""
        for status, answer in self.content["responses"].items():
            if status.startswith("2"):
                for media_type, media in answer.get("content", {}).items():
                    yield status, media_type, media


def operations() -> list[Operation]:
    """Return every operation of the document."""
    return [
        Operation(method, path, content)
        for path, methods in openapi_document()["paths"].items()
        for method, content in methods.items()
    ]


def resolved(node: Node) -> Node:
    """Return what a reference points at; another node is returned as it is."""
    reference = node.get("$ref")
    if reference is None:
        return node
    target: Any = openapi_document()
    for part in reference.removeprefix("#/").split("/"):
        target = target[part]
    found: Node = target
    return found


def schemas() -> Iterator[tuple[str, Node]]:
    """Yield every schema with its place: the named ones, and those of bodies, with all parts."""
    for name, schema in openapi_document()["components"]["schemas"].items():
        yield from _parts(name, schema)
    for operation in operations():
        for media_type, media in operation.request_bodies().items():
            yield from _parts(f"{operation.name} {media_type}", media["schema"])
        for status, media_type, media in operation.successes():
            yield from _parts(f"{operation.name} {status} {media_type}", media.get("schema", {}))


def _parts(place: str, schema: Node) -> Iterator[tuple[str, Node]]:
    yield place, schema
    for group in ("properties", "$defs"):
        for name, part in schema.get(group, {}).items():
            yield from _parts(f"{place}.{name}", part)
    for group in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for number, part in enumerate(schema.get(group, ())):
            yield from _parts(f"{place}/{group}/{number}", part)
    for group in ("items", "additionalProperties"):
        if isinstance(schema.get(group), Mapping):
            yield from _parts(f"{place}/{group}", schema[group])
