"""A change has no defaults: a generated client would send them and overwrite what is there."""

from typing import Final

import pytest

from tests.api.document.openapi_walk import JSON, Node, openapi_document, operations, resolved

pytestmark = pytest.mark.unit

NESTED: Final = ("BulkChange",)
"""Models of changes inside the body of a POST."""


def change_schemas() -> dict[str, Node]:
    """Return the schemas of what is sent to change an object, by operation or name."""
    named = openapi_document()["components"]["schemas"]
    patched = {
        each.name: resolved(each.request_bodies()[JSON]["schema"])
        for each in operations()
        if each.method == "patch" and JSON in each.request_bodies()
    }
    return patched | {name: named[name] for name in NESTED}


class TestChanges:
    def test_no_field_of_a_change_has_a_default(self) -> None:
        with_default = [
            f"{place}: {name}"
            for place, schema in change_schemas().items()
            for name, field in schema["properties"].items()
            if "default" in field
        ]

        assert with_default == []

    def test_no_field_of_a_change_is_required(self) -> None:
        required = {place: schema.get("required", []) for place, schema in change_schemas().items()}

        assert {place: names for place, names in required.items() if names} == {}

    def test_every_patch_of_an_object_is_looked_at(self) -> None:
        assert len(change_schemas()) == len(NESTED) + 5
