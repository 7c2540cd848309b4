import json
import math

import pytest
from pydantic import TypeAdapter, ValidationError

from app.jobs.spec.job_spec import JobSpec
from tests.jobs.spec.documents import a_document, problems_of


class TestTrainerOptions:
    @pytest.mark.parametrize("levels", [300, 900])
    def test_options_nested_too_deep_are_refused_at_a_path_that_exists(self, levels: int) -> None:
        options = {"deep": json.loads("[" * levels + "]" * levels)}

        found = problems_of(a_document(trainer={"name": "any", "options": options}))

        assert found == {("trainer/options", "options")}

    @pytest.mark.parametrize(
        ("value", "code"),
        [
            pytest.param(math.nan, "finite_number", id="not-a-number"),
            pytest.param([1, {"x": -math.inf}], "finite_number", id="infinity-inside"),
            pytest.param("\ud800", "lone_surrogate", id="half-a-character"),
            pytest.param({"\udc00": 1}, "lone_surrogate", id="half-a-character-as-name"),
            pytest.param(["\0"], "control_character", id="nul"),
            pytest.param({"\0": 1}, "control_character", id="nul-as-name"),
        ],
    )
    def test_options_that_no_database_keeps_are_refused(self, value: object, code: str) -> None:
        # FastAPI reads a body as part of another type, and then the model's settings do not apply.
        body = TypeAdapter(tuple[JobSpec])

        with pytest.raises(ValidationError) as refused:
            body.validate_python((a_document(trainer={"name": "any", "options": {"any": value}}),))

        (error,) = refused.value.errors()
        assert (error["loc"], error["type"]) == ((0, "trainer", "options"), code)

    def test_all_other_json_is_left_to_the_schema_of_the_plugin(self) -> None:
        options = {"a": [None, True, 1.5, {"é": "line\nline"}], "b": 10**30}

        spec = JobSpec.model_validate(a_document(trainer={"name": "any", "options": options}))

        assert spec.trainer is not None
        assert spec.trainer.options == options
