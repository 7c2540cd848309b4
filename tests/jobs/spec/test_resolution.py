"""The JSON round trip of a spec, its resolution, and its pinned schema."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.jobs.spec.job_spec import (
    JobSpec,
    ResolvedSpec,
    SpecFacts,
    job_spec_json_schema,
    resolve_spec,
)
from tests.jobs.spec.documents import VERSION, a_document

PINNED_SCHEMA = Path(__file__).parents[3] / "docs" / "schema" / "job-spec.schema.json"


class TestRoundTrip:
    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"train": {"epochs": 3, "scale": [0.5, 2.0], "batch": 0.5, "amp": "bf16"}},
            {"train": {"time": None, "auto_augment": None}, "task": "classify"},
            {"name": "é", "tags": {"a": "b"}, "notes": "x\ny", "resources": {"gpus": 1}},
        ],
        ids=["minimal", "unions", "nulls", "texts"],
    )
    def test_json_reads_back_as_the_same_spec(self, fields: dict[str, object]) -> None:
        spec = JobSpec.model_validate(a_document(**fields))

        from_text = JobSpec.model_validate_json(spec.model_dump_json())
        from_objects = JobSpec.model_validate(json.loads(spec.model_dump_json()))

        assert from_text == from_objects == spec
        assert from_text.train.model_fields_set == spec.train.model_fields_set

    def test_only_train_arguments_that_were_set_are_written(self) -> None:
        spec = JobSpec.model_validate(a_document(train={"epochs": 100}))

        assert spec.model_dump(mode="json")["train"] == {"epochs": 100}


class TestResolve:
    def test_every_value_that_counts_for_the_task_is_stated(self) -> None:
        spec = JobSpec.model_validate(a_document(train={"epochs": 3, "optimizer": "SGD"}))

        resolved = resolve_spec(spec, SpecFacts(dataset_version=VERSION, task="pose"))

        train = resolved.model_dump(mode="json")["train"]
        assert (resolved.dataset, resolved.task, resolved.threads) == (VERSION, "pose", None)
        assert (train["epochs"], train["optimizer"], train["lr0"]) == (3, "SGD", 0.01)
        assert train["kobj"] == 1.0
        assert "angle" not in train

    def test_arguments_that_the_auto_optimizer_decides_stay_open(self) -> None:
        resolved = resolve_spec(
            JobSpec.model_validate(a_document()), SpecFacts(dataset_version=VERSION, task="detect")
        )

        assert resolved.train.model_fields_set.isdisjoint({"lr0", "momentum", "warmup_bias_lr"})
        assert "lrf" in resolved.train.model_fields_set

    @pytest.mark.parametrize(
        ("fields", "on_oom"),
        [
            ({}, "halve_batch"),
            ({"on_oom": "fail"}, "fail"),
            ({"train": {"epochs": 3}}, "halve_batch"),
            ({"train": {"batch": 16}}, "fail"),
            ({"train": {"batch": -1}}, "fail"),
            ({"train": {"batch": 16}, "on_oom": "halve_batch"}, "halve_batch"),
        ],
        ids=["nothing-said", "asked", "other-argument", "batch", "auto-batch", "batch-and-asked"],
    )
    def test_only_a_default_batch_is_halved_unless_the_user_asks_for_it(
        self, fields: dict[str, object], on_oom: str
    ) -> None:
        spec = JobSpec.model_validate(a_document(**fields))

        resolved = resolve_spec(spec, SpecFacts(dataset_version=VERSION, task="detect"))

        assert resolved.on_oom == on_oom

    def test_json_reads_back_as_the_same_resolved_spec(self) -> None:
        resolved = resolve_spec(
            JobSpec.model_validate(a_document()),
            SpecFacts(dataset_version=VERSION, task="semantic"),
        ).model_copy(update={"threads": 2})

        assert ResolvedSpec.model_validate_json(resolved.model_dump_json()) == resolved

    def test_resolving_a_spec_again_changes_nothing(self) -> None:
        once = resolve_spec(
            JobSpec.model_validate(a_document()), SpecFacts(dataset_version=VERSION, task="obb")
        )

        twice = resolve_spec(once, SpecFacts(dataset_version=VERSION, task="obb"))

        assert twice == once

    def test_an_argument_of_another_task_is_refused_then(self) -> None:
        spec = JobSpec.model_validate(a_document(train={"dlog": 2.0}))

        with pytest.raises(ValidationError) as caught:
            resolve_spec(spec, SpecFacts(dataset_version=VERSION, task="detect"))

        assert caught.value.errors()[0]["loc"] == ("train", "dlog")

    @pytest.mark.parametrize("missing", ["task", "on_oom"])
    def test_a_resolved_spec_leaves_nothing_open(self, missing: str) -> None:
        document = a_document(dataset=VERSION, task="detect", on_oom="fail") | {missing: None}

        with pytest.raises(ValidationError) as caught:
            ResolvedSpec.model_validate(document)

        assert {each["loc"] for each in caught.value.errors()} == {(missing,)}


class TestJsonSchema:
    def test_the_pinned_schema_is_the_current_one(self) -> None:
        """If intended, run `python -m app.jobs.spec > docs/schema/job-spec.schema.json`."""
        assert json.loads(PINNED_SCHEMA.read_text(encoding="utf-8")) == job_spec_json_schema()

    def test_the_schema_of_a_resolved_spec_describes_fields_as_that_of_a_request(self) -> None:
        asked = JobSpec.model_json_schema(mode="validation")["$defs"]["TrainArguments"]
        answered = JobSpec.model_json_schema(mode="serialization")["$defs"]["TrainArguments"]

        assert answered["properties"].keys() == asked["properties"].keys()

    def test_every_field_is_explained(self) -> None:
        schema = job_spec_json_schema()

        for owner in (schema, *schema["$defs"].values()):
            assert all("description" in field for field in owner.get("properties", {}).values())


class TestImport:
    def test_the_spec_needs_neither_server_libraries_nor_torch(self) -> None:
        script = (
            "import sys, app.jobs.spec.job_spec\n"
            "print([m for m in ('fastapi', 'starlette', 'sqlalchemy', 'torch', 'ultralytics')"
            " if m in sys.modules])"
        )

        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
        )

        assert done.stdout.strip() == "[]"
