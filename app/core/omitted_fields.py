"""Models of changes: a field that is left out keeps its value."""

from collections.abc import Callable
from typing import Any

from pydantic import JsonValue


def change_schema(*examples: dict[str, JsonValue]) -> Callable[[dict[str, Any]], None]:
    """Return the `json_schema_extra` of a model of changes.

    It removes the defaults from the schema. They stand for fields that were left out, and a client
    that fills them in would overwrite what the object has.
    """

    def complete(schema: dict[str, Any]) -> None:
        for field in schema["properties"].values():
            field.pop("default", None)
        schema["examples"] = list(examples)

    return complete
