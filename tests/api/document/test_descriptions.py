"""The OpenAPI document describes every operation, parameter, body and field."""

import pytest

from app.core.declared_headers import ON_EVERY_ANSWER
from tests.api.document.openapi_walk import openapi_document, operations, resolved, schemas

ON_EVERY_UPLOAD = {"Tus-Resumable", "Tus-Version"}

pytestmark = pytest.mark.unit


class TestOperations:
    @pytest.mark.parametrize("text", ["summary", "description"])
    def test_every_operation_has_a_text(self, text: str) -> None:
        silent = [operation.name for operation in operations() if not operation.content.get(text)]

        assert silent == []

    def test_every_parameter_is_described(self) -> None:
        silent = [
            f"{operation.name}: {parameter['name']}"
            for operation in operations()
            for parameter in map(resolved, operation.content.get("parameters", ()))
            if not parameter.get("description")
        ]

        assert silent == []

    def test_every_tag_is_described_and_used(self) -> None:
        described = [tag["name"] for tag in openapi_document()["tags"] if tag["description"]]

        used = {tag for operation in operations() for tag in operation.content["tags"]}

        assert set(described) == used

    def test_every_referenced_header_is_described(self) -> None:
        headers = openapi_document()["components"]["headers"]
        referenced = {
            header["$ref"].rpartition("/")[2]
            for operation in operations()
            for answer in operation.content["responses"].values()
            for header in answer.get("headers", {}).values()
        }

        assert headers.keys() == referenced | ON_EVERY_ANSWER.keys() | ON_EVERY_UPLOAD


class TestSchemas:
    def test_every_named_schema_is_described(self) -> None:
        named = openapi_document()["components"]["schemas"]

        assert [name for name, schema in named.items() if not schema.get("description")] == []

    def test_every_field_is_described(self) -> None:
        silent = [
            f"{place}.{name}"
            for place, schema in schemas()
            for name, field in schema.get("properties", {}).items()
            if not field.get("description")
        ]

        assert silent == []
