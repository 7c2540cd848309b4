"""Plugin options are checked against the plugin's schema, within a time limit."""

import time
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from app.jobs.commands.option_schema import MAX_SCHEMA_CHARACTERS, misfits
from tests.api.refusals import CANARY

pytestmark = pytest.mark.unit

BOUND_SECONDS = 20
"""Far more than a check takes, and far less than hostile schemas would take without a limit."""


class Window(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int
    name: str = "x"


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    chance: float = Field(default=0.5, ge=0, le=1)
    mode: Literal["gray", "sepia"] = "gray"
    limit: int | None = None
    window: Window | None = None
    windows: Annotated[list[Window], Field(max_length=2)] = []
    word: Annotated[str, Field(pattern="^(a+)+$", max_length=70_000)] = "a"
    step: int = Field(default=5, multiple_of=5)
    shares: dict[str, float] = {}


SCHEMA = Options.model_json_schema()


def told(options: dict[str, Any], schema: dict[str, Any] = SCHEMA) -> list[tuple[object, ...]]:
    return [(*each["loc"][2:], each["type"]) for each in misfits(options, schema)]


class TestMisfits:
    @pytest.mark.parametrize(
        ("options", "at"),
        [
            ({"chance": 2}, ("chance", "maximum")),
            ({"chance": CANARY}, ("chance", "type")),
            ({"mode": CANARY}, ("mode", "enum")),
            ({"limit": CANARY}, ("limit", "type")),
            ({"window": {}}, ("window", "size", "missing")),
            ({"window": {"size": CANARY}}, ("window", "size", "type")),
            ({"window": {"size": 1, "colour": CANARY}}, ("window", "colour", "unknown_field")),
            ({"windows": [{"size": 1}, {"size": CANARY}]}, ("windows", 1, "size", "type")),
            ({"windows": [{"size": 1}] * 3}, ("windows", "maxItems")),
            ({"word": CANARY}, ("word", "pattern")),
            ({"step": 7}, ("step", "multipleOf")),
            ({"shares": {"a/b": CANARY}}, ("shares", "a/b", "type")),
            ({"hue": CANARY}, ("hue", "unknown_field")),
        ],
    )
    def test_each_misfit_is_located_without_its_value(
        self, options: dict[str, Any], at: tuple[object, ...]
    ) -> None:
        assert told(options) == [at]
        assert CANARY not in str([each["msg"] for each in misfits(options, SCHEMA)])

    def test_a_misfit_is_explained_by_what_the_schema_requires(self) -> None:
        said = [each["msg"] for each in misfits({"chance": 2, "mode": "x", "limit": "x"}, SCHEMA)]

        assert sorted(said) == [
            "It must be at most 1.",
            "It must be of type integer or null.",
            'It must be one of "gray", "sepia".',
        ]

    @settings(deadline=None)  # the first example compiles the patterns
    @given(
        st.fixed_dictionaries(
            {},
            optional={
                "chance": st.one_of(st.floats(-1, 2), st.integers(-1, 2), st.text(max_size=2)),
                "mode": st.sampled_from(["gray", "sepia", "blue", None]),
                "limit": st.one_of(st.none(), st.integers(), st.text(max_size=2)),
                "word": st.text("ab", max_size=4),
                "step": st.integers(-20, 20),
                "hue": st.none(),
            },
        )
    )
    def test_misfits_are_what_the_plugins_own_model_refuses(
        self, options: dict[str, JsonValue]
    ) -> None:
        try:
            Options.model_validate(options, strict=True)
        except ValidationError:
            is_refused = True
        else:
            is_refused = False

        assert bool(misfits(options, SCHEMA)) is is_refused


def doubling(depth: int) -> dict[str, Any]:
    """Return a short schema that takes 2 ** depth steps to check."""
    steps = {f"a{step}": {"anyOf": [{"$ref": f"#/$defs/a{step + 1}"}] * 2} for step in range(depth)}
    return {"$defs": {**steps, f"a{depth}": {"type": "string"}}, "$ref": "#/$defs/a0"}


def of_x(schema: dict[str, Any]) -> dict[str, Any]:
    return {"properties": {"x": schema}}


DRAFT_7 = "http://json-schema.org/draft-07/schema#"
EXPONENTIAL_FOR_PYTHON = "^(a+)+$"


class TestHostileSchemas:
    @pytest.mark.parametrize(
        ("schema", "x", "codes"),
        [
            (doubling(60), 1, ["options_too_complex"]),
            (of_x({"pattern": EXPONENTIAL_FOR_PYTHON}), "a" * 60_000 + "b", ["pattern"]),
            (of_x({"pattern": "(?=a)b"}), "a", []),
            (
                {
                    "patternProperties": {EXPONENTIAL_FOR_PYTHON: {"type": "integer"}},
                    "additionalProperties": False,
                },
                1,
                [],
            ),
            (of_x({"$schema": DRAFT_7, "pattern": EXPONENTIAL_FOR_PYTHON}), "a", ["bad_schema"]),
            (of_x({"$ref": "http://127.0.0.1:1/schema"}), 1, ["bad_schema"]),
            (of_x({"$ref": "file:///etc/passwd"}), 1, ["bad_schema"]),
            ({"$ref": "#"}, 1, ["bad_schema"]),
            (
                {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
                1,
                ["options_too_complex"],
            ),
            (of_x({"uniqueItems": True}), [{}] * 20_000, []),
            (of_x({"items": {"maximum": 1}}), [2] * 15_000, ["maximum"] * 100),
            (of_x({"multipleOf": 0.1}), 10**400, ["options_too_complex"]),
            ({"properties": 5}, 1, ["bad_schema"]),
            ({"type": "no type"}, 1, ["bad_schema"]),
            (of_x({"description": "a" * MAX_SCHEMA_CHARACTERS}), 1, ["bad_schema"]),
            ({"properties": {"x": False}}, CANARY, ["unknown_field"]),
        ],
        ids=[
            "exponential",
            "exponential-pattern",
            "pattern-of-python",
            "exponential-property-names",
            "another-draft-inside",
            "remote-reference",
            "file-reference",
            "reference-to-itself",
            "definition-of-itself",
            "quadratic-items",
            "many-errors",
            "overflow",
            "no-schema",
            "unknown-type",
            "too-long",
            "nothing-fits",
        ],
    )
    def test_a_hostile_schema_neither_takes_long_nor_reaches_out(
        self, schema: dict[str, Any], x: JsonValue, codes: list[str]
    ) -> None:
        began = time.monotonic()

        found = misfits({"x": x}, schema)

        assert [each["type"] for each in found] == codes
        assert time.monotonic() - began < BOUND_SECONDS
