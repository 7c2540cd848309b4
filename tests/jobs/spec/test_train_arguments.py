"""The training arguments: ranges, refusals with reasons, and the effective values by task."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.core.tasks import Task
from app.jobs.spec.refused_arguments import MEANT_AS, REFUSED_ARGUMENTS
from app.jobs.spec.train_arguments import TASKS_OF_ARGUMENT, TrainArguments, check_task, tasks_of

OFFERED = set(TrainArguments.model_fields)
TASKS: tuple[Task, ...] = get_args(Task)
WORDS = {"SGD", "bf16", "val", "test", "flip", "mixup", "auto"}
NAN, INFINITY = float("nan"), float("inf")

INSIDE: dict[str, list[object]] = {
    "epochs": [1, 100_000],
    "time": [None, 0.01, 8760],
    "patience": [0, 100_000],
    "batch": [1, 4096, -1, 0.1, 0.9],
    "imgsz": [32, 4096],
    "loader_workers": [0, 64],
    "seed": [0, 2**31 - 1],
    "amp": [True, False, "bf16"],
    "fraction": [0.001, 1.0, 1, 500],
    "multi_scale": [0, 0.9],
    "scale": [0, 1, 0.5, [0.5, 2.0], [1, 1]],
    "close_mosaic": [0, 100_000],
    "mask_ratio": [1, 32],
    "dropout": [0, 0.99],
    "conf": [None, 0, 1],
    "max_det": [1, 100_000],
    "nbs": [1, 65_536],
    "warmup_epochs": [0, 0.5, 1000],
    "degrees": [0, 180],
    "shear": [0, 80],
    "perspective": [0, 0.001],
    "auto_augment": [None, "augmix"],
    "copy_paste_mode": ["flip", "mixup"],
    "split": ["val", "test"],
}

OUTSIDE: dict[str, list[object]] = {
    "epochs": [0, -1, 10**9, 10**400, 1.0, True, "10", None, NAN],
    "time": [0, -1, 8761, INFINITY],
    "patience": [-1, 100_001],
    "batch": [0, -2, 0.99, 0.0, 1.0, 4097, 10**400, True, "16", NAN, None],
    "imgsz": [31, 4097, 100_000, -640, 640.0, [640, 480], True],
    "cache": ["Disk", "ram", 1],
    "loader_workers": [-1, 65, 10**6],
    "seed": [-1, 2**31],
    "amp": [1, 0, "fp16", "x", None],
    "fraction": [0, 0.0, -1, 1.5, True, [0.5, 0.5], 10**9, NAN],
    "multi_scale": [-0.1, 0.91],
    "scale": [-0.1, 1.1, [0.5], [0.5, 1, 2], [0, 1], [1, 11], [True, 1], "half"],
    "close_mosaic": [-1],
    "mask_ratio": [0, 33],
    "dropout": [-0.1, 1],
    "conf": [-0.1, 1.1],
    "max_det": [0, 100_001],
    "nbs": [0, 65_537],
    "box": [-3, 1001, NAN, INFINITY, 10**400],
    "iou": [-0.1, 1.1],
    "warmup_epochs": [-1, 1001],
    "degrees": [-1, 181, 9999],
    "shear": [-1, 81],
    "perspective": [-0.001, 0.002],
    "mosaic": [-0.1, 1.1, True],
    "optimizer": ["foo", "sgd", "", None],
    "auto_augment": ["none", "x"],
    "copy_paste_mode": ["paste"],
    "split": ["train", "../val"],
    "cos_lr": [1, "true"],
}

NEEDS_AN_OPTIMIZER: dict[str, tuple[list[object], list[object]]] = {
    "lr0": ([1e-8, 1], [0, -0.1, 1.1, NAN, INFINITY, True, "0.1"]),
    "momentum": ([0, 0.999], [-0.1, 1]),
    "warmup_bias_lr": ([0, 1], [-0.1, 1.1]),
}


def codes_of(document: object) -> set[tuple[str, str]]:
    """Return (path, code) of each refusal; an empty result means that all are accepted."""
    try:
        TrainArguments.model_validate(document)
    except ValidationError as error:
        return {("/".join(map(str, each["loc"])), each["type"]) for each in error.errors()}
    return set()


def message_of(document: object) -> str:
    with pytest.raises(ValidationError) as caught:
        TrainArguments.model_validate(document)
    return caught.value.errors()[0]["msg"]


def rows(table: dict[str, list[object]]) -> list[object]:
    return [
        pytest.param(name, value, id=f"J2-{name}-{str(value)[:20]}")
        for name, values in table.items()
        for value in values
    ]


class TestRangesJ2:
    @pytest.mark.parametrize(("name", "value"), rows(INSIDE))
    def test_a_value_at_the_edge_is_accepted(self, name: str, value: object) -> None:
        assert codes_of({name: value}) == set()

    @pytest.mark.parametrize(("name", "value"), rows(OUTSIDE))
    def test_a_value_beyond_is_refused_once_at_its_field(self, name: str, value: object) -> None:
        found = codes_of({name: value})

        assert [path for path, _ in found] == [name]

    @pytest.mark.parametrize(
        ("name", "value"), rows({name: good for name, (good, _) in NEEDS_AN_OPTIMIZER.items()})
    )
    def test_a_rate_at_the_edge_is_accepted(self, name: str, value: object) -> None:
        assert codes_of({"optimizer": "SGD", name: value}) == set()

    @pytest.mark.parametrize(
        ("name", "value"), rows({name: bad for name, (_, bad) in NEEDS_AN_OPTIMIZER.items()})
    )
    def test_a_rate_beyond_is_refused_once_at_its_field(self, name: str, value: object) -> None:
        found = codes_of({"optimizer": "SGD", name: value})

        assert [path for path, _ in found] == [name]

    @given(
        name=st.sampled_from(sorted(OFFERED)),
        value=st.text().filter(lambda text: text not in WORDS)
        | st.lists(st.text(), max_size=3)
        | st.dictionaries(st.text(), st.integers(), max_size=2),
    )
    def test_a_value_of_another_kind_is_refused_at_its_field(
        self, name: str, value: object
    ) -> None:
        found = codes_of({name: value})

        assert {path.split("/")[0] for path, _ in found} == {name}

    @pytest.mark.parametrize(
        ("name", "value", "limits"),
        [
            ("epochs", 0, ("1",)),
            ("imgsz", 100_000, ("4096",)),
            ("batch", 0.99, ("1", "4096", "0.1", "0.9")),
            ("scale", 7, ("0", "10")),
            ("fraction", 0, ("0", "1")),
            ("amp", "fp16", ("bf16",)),
        ],
    )
    def test_the_refusal_states_the_range(
        self, name: str, value: object, limits: tuple[str, ...]
    ) -> None:
        message = message_of({name: value})

        assert all(limit in message for limit in limits)


class TestRefusalsJ1:
    @pytest.mark.parametrize("name", sorted(REFUSED_ARGUMENTS))
    def test_a_reserved_argument_is_refused_whatever_its_value(self, name: str) -> None:
        code = REFUSED_ARGUMENTS[name].code

        assert codes_of({name: "/etc/passwd"}) == codes_of({name: None}) == {(name, code)}

    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("project", "service_owned"),
            ("save_dir", "service_owned"),
            ("resume", "service_owned"),
            ("data", "service_owned"),
            ("model", "service_owned"),
            ("device", "service_owned"),
            ("mode", "service_owned"),
            ("exist_ok", "service_owned"),
            ("cfg", "service_owned"),
            ("name", "service_owned"),
            ("freeze", "set_elsewhere"),
            ("cls_pw", "set_elsewhere"),
            ("workers", "set_elsewhere"),
            ("compile", "not_offered"),
            ("tracker", "not_offered"),
        ],
    )
    def test_the_kind_of_refusal_is_stable(self, name: str, code: str) -> None:
        assert codes_of({name: 1}) == {(name, code)}

    @pytest.mark.parametrize(
        ("name", "instead"),
        [
            ("freeze", "customize.freeze"),
            ("cls_pw", "customize.class_weights"),
            ("workers", "loader_workers"),
        ],
    )
    def test_the_refusal_of_an_argument_names_the_field_to_use_instead(
        self, name: str, instead: str
    ) -> None:
        assert f'"{instead}"' in message_of({name: 1})

    @pytest.mark.parametrize(
        ("typed", "meant"),
        [("epoch", "epochs"), ("imgs", "imgsz"), ("learning_rate", "lr0"), ("Batch_Size", "batch")],
    )
    def test_h8_an_unknown_argument_gets_a_suggestion(self, typed: str, meant: str) -> None:
        assert codes_of({typed: 1}) == {(typed, "unknown_field")}
        assert f'Did you mean "{meant}"?' in message_of({typed: 1})

    def test_every_other_word_means_an_offered_argument(self) -> None:
        assert set(MEANT_AS.values()) <= OFFERED
        assert set(MEANT_AS).isdisjoint(OFFERED | set(REFUSED_ARGUMENTS))


class TestAutoOptimizer:
    @pytest.mark.parametrize("name", ["lr0", "momentum", "warmup_bias_lr"])
    @pytest.mark.parametrize("optimizer", [{}, {"optimizer": "auto"}], ids=["default", "asked"])
    def test_an_argument_that_the_auto_optimizer_ignores_is_refused(
        self, name: str, optimizer: dict[str, str]
    ) -> None:
        document = optimizer | {name: 0.02}

        assert codes_of(document) == {(name, "ignored_by_auto_optimizer")}
        assert '"optimizer"' in message_of(document)

    @pytest.mark.parametrize("name", sorted(OFFERED))
    def test_the_default_value_of_an_argument_is_never_refused(self, name: str) -> None:
        default = TrainArguments.model_fields[name].default

        assert codes_of({name: default}) == set()

    @pytest.mark.parametrize("task", TASKS)
    def test_all_default_values_together_are_what_nothing_sent_is(self, task: Task) -> None:
        fields = TrainArguments.model_fields
        sent = TrainArguments.model_validate(
            {name: field.default for name, field in fields.items()}
        )

        assert check_task(sent, task) == []
        assert sent.effective(task) == TrainArguments().effective(task)

    def test_the_shape_of_the_schedule_may_still_be_set(self) -> None:
        assert codes_of({"lrf": 0.1, "weight_decay": 0.001, "cos_lr": True}) == set()

    def test_an_optimizer_by_name_takes_them_all(self) -> None:
        document = {"optimizer": "AdamW", "lr0": 0.002, "momentum": 0.9, "warmup_bias_lr": 0.0}

        assert codes_of(document) == set()


class TestTasks:
    def test_the_table_names_offered_arguments_and_no_full_row(self) -> None:
        assert set(TASKS_OF_ARGUMENT) <= OFFERED
        assert all(0 < len(tasks) < len(TASKS) for tasks in TASKS_OF_ARGUMENT.values())

    @pytest.mark.parametrize(
        ("name", "tasks"),
        [
            ("epochs", set(TASKS)),
            ("box", {"detect", "segment", "pose", "obb"}),
            ("mosaic", {"detect", "segment", "pose", "obb", "semantic"}),
            ("degrees", set(TASKS) - {"classify"}),
            ("kobj", {"pose"}),
            ("angle", {"obb"}),
            ("dlam", {"depth"}),
            ("mask_ratio", {"segment"}),
            ("dropout", {"classify"}),
            ("copy_paste", {"segment", "obb", "semantic"}),
        ],
    )
    def test_an_argument_counts_for_its_tasks(self, name: str, tasks: set[str]) -> None:
        assert tasks_of(name) == tasks

    @pytest.mark.parametrize("task", TASKS)
    def test_only_arguments_that_do_not_apply_to_the_task_are_reported(self, task: Task) -> None:
        train = TrainArguments().model_copy(update=dict.fromkeys(OFFERED, "changed"))

        problems = check_task(train, task)

        assert {each.loc for each in problems} == {
            (name,) for name in OFFERED if task not in tasks_of(name)
        }
        assert {each.code for each in problems} == {"not_for_this_task"}

    def test_default_arguments_are_never_reported(self) -> None:
        assert [check_task(TrainArguments(), task) for task in TASKS] == [[]] * len(TASKS)

    @pytest.mark.parametrize("task", TASKS)
    def test_effective_arguments_fit_their_task(self, task: Task) -> None:
        effective = TrainArguments().effective(task)

        assert check_task(effective, task) == []
        assert effective.effective(task) == effective


class TestToUltralytics:
    def test_nothing_set_overrides_nothing(self) -> None:
        assert TrainArguments().to_ultralytics() == {}

    def test_arguments_that_were_set_have_their_upstream_name_and_type(self) -> None:
        train = TrainArguments.model_validate(
            {"epochs": 100, "loader_workers": 2, "scale": [0.5, 2], "amp": "bf16", "time": None}
        )

        assert train.to_ultralytics() == {
            "epochs": 100,
            "time": None,
            "workers": 2,
            "amp": "bf16",
            "scale": [0.5, 2.0],
        }

    @pytest.mark.parametrize("value", [True, False])
    def test_amp_stays_a_boolean_for_ultralytics(self, value: bool) -> None:  # noqa: FBT001 - table value
        assert TrainArguments.model_validate({"amp": value}).to_ultralytics() == {"amp": value}
