"""The typed answers are those of the OpenAPI document."""

import json
import types
import typing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from trainyard.views import datasets, jobs, models, results, stream
from trainyard.views.base import View

DOCUMENT = json.loads((Path(__file__).parents[2] / "docs/schema/openapi.json").read_text())
SCHEMAS = DOCUMENT["components"]["schemas"]
MADE_HERE = {"Tick", "EpochView", "JobEvent"}
"""Views that no schema has: they join several, or are the data of an event."""
VIEWS = {
    name: kind
    for module in (datasets, jobs, models, results, stream)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, View) and kind is not View
    if name not in MADE_HERE
}
PLAIN: dict[Any, set[str]] = {
    str: {"string"},
    int: {"integer"},
    float: {"number"},
    bool: {"boolean"},
    datetime: {"string"},
    type(None): {"null"},
    dict: {"object"},
    list: {"array"},
}


def kinds_in_schema(schema: dict[str, Any]) -> set[str]:
    """Return the JSON types that a schema allows."""
    if "$ref" in schema:
        return kinds_in_schema(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return {kind for each in schema[several] for kind in kinds_in_schema(each)}
    kind = schema.get("type", "any")
    return set(kind) if isinstance(kind, list) else {kind}


def kinds_of(annotation: Any) -> set[str]:  # noqa: ANN401
    """Return the JSON types that an annotation allows."""
    origin = typing.get_origin(annotation)
    if origin in {typing.Union, types.UnionType}:
        return {kind for each in typing.get_args(annotation) for kind in kinds_of(each)}
    if annotation is Any:
        return {"any"}
    if isinstance(annotation, type) and issubclass(annotation, View):
        return {"object"}
    return PLAIN[origin or annotation]


@pytest.mark.unit
class TestViews:
    @pytest.mark.parametrize("name", sorted(VIEWS))
    def test_its_fields_are_those_of_the_schema(self, name: str) -> None:
        schema = SCHEMAS[name]
        wrong = []
        for field_name, field in VIEWS[name].model_fields.items():
            wire = field.alias or field_name
            if wire not in schema["properties"]:
                wrong.append(f"{wire} is not in the schema")
                continue
            theirs = kinds_in_schema(schema["properties"][wire])
            ours = kinds_of(field.annotation)
            if not theirs <= ours | ({"integer"} if "number" in ours else set()):
                wrong.append(f"{wire} may be {theirs}, not only {ours}")
            if field.is_required() and wire not in schema.get("required", []):
                wrong.append(f"{wire} may be left out")

        assert wrong == []

    @pytest.mark.parametrize("name", sorted(VIEWS.keys() & DOCUMENT["components"]["examples"]))
    def test_the_example_of_the_document_can_be_read(self, name: str) -> None:
        example = DOCUMENT["components"]["examples"][name]["value"]

        assert (
            VIEWS[name].model_validate(example).model_dump(by_alias=True).keys() >= example.keys()
        )

    def test_a_field_and_a_word_of_a_later_server_are_kept(self) -> None:
        finding = {"code": "new-code", "severity": "dire", "message": "m", "file": None, "line": 1}
        later = {**finding, "remedy": "r", "request": None, "choices": None, "since": "v9"}

        view = datasets.FindingView.model_validate(later)

        assert view.model_dump()["since"] == "v9"
        assert view.severity == "dire"
