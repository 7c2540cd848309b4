"""The training arguments match the installed Ultralytics: new or changed ones fail here."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.tasks import Task
from app.jobs.parsing.other_defaults import OTHER_DEFAULTS
from app.jobs.parsing.translate import translate
from app.jobs.parsing.written import read_arguments
from app.jobs.spec.argument_groups import GROUPS
from app.jobs.spec.refused_arguments import REFUSED_ARGUMENTS
from app.jobs.spec.train_arguments import ULTRALYTICS_NAMES, Optimizer, TrainArguments

OFFERED = set(TrainArguments.model_fields)
TASKS: tuple[Task, ...] = get_args(Task)
NOT_IN_DEFAULT_YAML = {"save_dir", "augmentations"}


@pytest.fixture(scope="module")
def ultralytics_cfg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """Import `ultralytics.cfg` without touching the network or the home directory."""
    home: Path = tmp_path_factory.mktemp("ultralytics")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "YOLO_OFFLINE", "true")
        patch.setitem(os.environ, "YOLO_CONFIG_DIR", str(home))
        import ultralytics.cfg

        yield ultralytics.cfg


def schema_of(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = TrainArguments.model_json_schema()["properties"][name]
    return schema


def types_of(name: str) -> set[str]:
    schema = schema_of(name)
    return {each["type"] for each in schema.get("anyOf", [schema])} - {"null"}


def upstream(name: str) -> str:
    return ULTRALYTICS_NAMES.get(name, name)


def in_range(name: str) -> st.SearchStrategy[object]:
    """Draw values at and within the limits of the field's own schema."""
    schema = schema_of(name)
    return st.one_of([_one_kind(each) for each in schema.get("anyOf", [schema])])


def _one_kind(schema: dict[str, Any]) -> st.SearchStrategy[object]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    match schema["type"]:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(schema["minimum"], schema["maximum"])
        case "array":
            return st.tuples(*map(_one_kind, schema["prefixItems"])).map(list)
        case _:
            return _number(schema)


def _number(schema: dict[str, Any]) -> st.SearchStrategy[object]:
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    return st.floats(
        schema["minimum"] if above is None else above,
        schema["maximum"] if below is None else below,
        exclude_min=above is not None,
        exclude_max=below is not None,
        allow_subnormal=False,
    )


class TestDrift:
    def test_every_argument_upstream_is_offered_or_refused_with_a_reason(
        self, ultralytics_cfg: ModuleType
    ) -> None:
        upstream_names = set(ultralytics_cfg.DEFAULT_CFG_DICT)

        ours = {upstream(name) for name in OFFERED} | set(REFUSED_ARGUMENTS)

        assert ours - NOT_IN_DEFAULT_YAML == upstream_names

    def test_no_argument_is_both_offered_and_refused(self) -> None:
        assert OFFERED.isdisjoint(REFUSED_ARGUMENTS)

    @pytest.mark.parametrize("name", sorted(OFFERED))
    def test_the_default_is_that_of_upstream(self, ultralytics_cfg: ModuleType, name: str) -> None:
        ours = TrainArguments.model_fields[name].default

        theirs = ultralytics_cfg.DEFAULT_CFG_DICT[upstream(name)]

        assert (ours, type(ours)) == (theirs, type(theirs))

    @pytest.mark.parametrize("name", sorted(OFFERED))
    def test_the_type_is_that_of_upstream(self, ultralytics_cfg: ModuleType, name: str) -> None:
        kinds = {
            "CFG_INT_KEYS": {"integer"},
            "CFG_BOOL_KEYS": {"boolean"},
            "CFG_FRACTION_KEYS": {"number"},
            "CFG_FLOAT_KEYS": {"number"},
            "CFG_STR_KEYS": {"string"},
        }
        known_unions = {"batch": {"integer", "number"}, "fraction": {"integer", "number"}}
        untyped = {
            "amp": {"boolean", "string"},
            "cache": {"boolean", "string"},
            "imgsz": {"integer"},
            "scale": {"number", "array"},
        }
        typed = next(
            (
                kind
                for keys, kind in kinds.items()
                if upstream(name) in getattr(ultralytics_cfg, keys)
            ),
            None,
        )

        expected = known_unions.get(name) or typed or untyped[name]

        assert types_of(name) == expected

    def test_every_optimizer_named_is_known_upstream(self, ultralytics_cfg: ModuleType) -> None:
        described = Path(ultralytics_cfg.DEFAULT_CFG_PATH).read_text(encoding="utf-8")
        line = next(each for each in described.splitlines() if each.startswith("optimizer:"))

        named = {
            each.strip(" ,") for each in line.split("optimizer:")[-1].replace(" or ", " ").split()
        }

        assert named == set(get_args(Optimizer))

    @pytest.mark.parametrize("task", TASKS)
    def test_stating_all_defaults_changes_nothing_upstream(
        self, ultralytics_cfg: ModuleType, task: Task
    ) -> None:
        stated = TrainArguments().effective(task).to_ultralytics()

        configured = ultralytics_cfg.get_cfg(overrides=stated | {"task": task})

        assert vars(configured) == vars(ultralytics_cfg.get_cfg(overrides={"task": task}))

    @settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(st.data())
    @pytest.mark.slow
    def test_arguments_that_we_accept_are_accepted_upstream(
        self, ultralytics_cfg: ModuleType, data: st.DataObject
    ) -> None:
        chosen = data.draw(st.sets(st.sampled_from(sorted(OFFERED - {"optimizer"})), max_size=8))
        document = {name: data.draw(in_range(name), label=name) for name in sorted(chosen)}
        train = TrainArguments.model_validate({"optimizer": "SGD"} | document)

        ultralytics_cfg.check_cfg(train.to_ultralytics(), hard=True)


class TestOtherArguments:
    def test_defaults_of_arguments_that_train_lacks_are_those_of_ultralytics(
        self, ultralytics_cfg: ModuleType
    ) -> None:
        theirs = {**dict.fromkeys(NOT_IN_DEFAULT_YAML), **ultralytics_cfg.DEFAULT_CFG_DICT}

        assert dict(OTHER_DEFAULTS) == {name: theirs[name] for name in OTHER_DEFAULTS}

    def test_the_file_of_all_defaults_translates_to_no_argument(
        self, ultralytics_cfg: ModuleType
    ) -> None:
        text = ultralytics_cfg.DEFAULT_CFG_PATH.read_text()

        translation = translate(read_arguments(text))

        assert translation.spec == {"task": "detect"}
        assert translation.left_out == []


def test_every_argument_is_in_one_group() -> None:
    grouped = [name for names in GROUPS.values() for name in names]

    assert sorted(grouped) == sorted(TrainArguments.model_fields)
