from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.core.class_weights import inverse_frequency
from app.core.tasks import Task
from app.jobs.spec.customize import Customize, layer_indices, part_name
from app.jobs.spec.job_spec import JobSpec, ResolvedSpec, SpecFacts, resolve_spec
from app.jobs.spec.metric_table import F1_METRICS, direction_of, metrics_of
from tests.jobs.customizing import CLASSES, customizations
from tests.jobs.spec.documents import VERSION, a_document, problems_of

TASKS: tuple[Task, ...] = get_args(Task)
COUNTS = {"circle": 40, "square": 10, "triangle": 0}


def facts(task: Task = "detect", **known: Any) -> SpecFacts:  # noqa: ANN401 -- fields of SpecFacts
    of_the_data = {"classes": CLASSES, "class_counts": COUNTS}
    return SpecFacts(**{"dataset_version": VERSION, "task": task} | of_the_data | known)


def resolved(customize: object, task: Task = "detect", **known: Any) -> ResolvedSpec:  # noqa: ANN401 -- as above
    spec = JobSpec.model_validate(a_document(customize=customize))
    return resolve_spec(spec, facts(task, **known))


def refusals(
    customize: object,
    task: Task = "detect",
    **known: Any,  # noqa: ANN401 -- as above
) -> set[tuple[str, str]]:
    """Return pointer and code of each refusal, by the spec itself or by its resolution."""
    try:
        resolved(customize, task, **known)
    except ValidationError as error:
        return {
            ("/".join(str(part) for part in each["loc"]), each["type"]) for each in error.errors()
        }
    return set()


class TestShape:
    @pytest.mark.parametrize(
        ("customize", "pointer", "code"),
        [
            pytest.param({"metric": {}}, "customize/metric", "unknown_field", id="misspelled"),
            pytest.param(
                {"class_weights": {"mode": "explicit", "weights": {}}},
                "customize/class_weights/weights",
                "too_short",
                id="no-weights",
            ),
            pytest.param(
                {"class_weights": {"mode": "explicit", "weights": {"circle": 0}}},
                "customize/class_weights/weights/circle",
                "greater_than",
                id="weight-0",
            ),
            pytest.param(
                {"class_weights": {"mode": "inverse_frequency", "cap": 0.5}},
                "customize/class_weights/cap",
                "greater_than_equal",
                id="cap-below-1",
            ),
            pytest.param(
                {"freeze": {"layers": "head"}},
                "customize/freeze/layers",
                "layers",
                id="no-selector",
            ),
            pytest.param(
                {"freeze": {"layers": 0}}, "customize/freeze/layers", "layers", id="no-layers"
            ),
            pytest.param(
                {"freeze": {"layers": []}}, "customize/freeze/layers", "layers", id="empty-list"
            ),
            pytest.param(
                {"freeze": {"layers": "backbone", "epochs": 0}},
                "customize/freeze/epochs",
                "greater_than_equal",
                id="frozen-for-0-epochs",
            ),
            pytest.param(
                {"layer_lrs": [{"layers": 3, "factor": 0}]},
                "customize/layer_lrs/0/factor",
                "greater_than",
                id="factor-0",
            ),
            pytest.param(
                {"layer_lrs": [{"layers": 3, "factor": 101}]},
                "customize/layer_lrs/0/factor",
                "less_than_equal",
                id="factor-101",
            ),
            pytest.param(
                {"keep_best": [{"name": "a", "metric": "metrics/mAP50(B)"}] * 2},
                "customize/keep_best",
                "duplicate_name",
                id="same-name-twice",
            ),
            pytest.param(
                {"keep_best": [{"name": "../x", "metric": "metrics/mAP50(B)"}]},
                "customize/keep_best/0/name",
                "name",
                id="name-with-a-path",
            ),
            pytest.param(
                {"keep_best": [{"name": f"a{n}", "metric": "metrics/mAP50(B)"} for n in range(6)]},
                "customize/keep_best",
                "too_long",
                id="six-kept",
            ),
            pytest.param(
                {
                    "keep_best": [
                        {
                            "name": "a",
                            "metric": "metrics/mAP50(B)",
                            "where": {"metrics/recall(B)": {}},
                        }
                    ]
                },
                "customize/keep_best/0/where/metrics/recall(B)",
                "empty_bounds",
                id="bounds-without-an-end",
            ),
            pytest.param(
                {
                    "keep_best": [
                        {
                            "name": "a",
                            "metric": "metrics/mAP50(B)",
                            "where": {"no metric": {"min": 0}},
                        }
                    ]
                },
                "customize/keep_best/0/where/no metric",
                "name",
                id="bound-on-no-metric",
            ),
        ],
    )
    def test_a_wrong_part_is_named(self, customize: object, pointer: str, code: str) -> None:
        assert problems_of(a_document(customize=customize)) == {(pointer, code)}

    @pytest.mark.parametrize(
        "weights",
        [
            pytest.param({"mode": "focal"}, id="unknown"),
            pytest.param({"mode": ["focal"]}, id="no-text"),
            pytest.param({"weights": {"circle": 2.0}}, id="absent"),
        ],
    )
    def test_a_mode_that_is_none_is_named_and_not_repeated(self, weights: object) -> None:
        with pytest.raises(ValidationError) as refused:
            JobSpec.model_validate(a_document(customize={"class_weights": weights}))

        (error,) = refused.value.errors()
        assert error["loc"] == ("customize", "class_weights", "mode")
        assert error["type"] == "unknown_choice"
        assert error["msg"] == 'It is one of "explicit", "inverse_frequency", "balanced".'


class TestForTheTask:
    @pytest.mark.parametrize("metric", ["f1", "per_class"])
    def test_depth_has_no_metrics_of_classes(self, metric: str) -> None:
        found = refusals({"metrics": {metric: True}}, "depth")

        assert found == {(f"customize/metrics/{metric}", "not_for_this_task")}

    def test_depth_has_no_class_weights(self) -> None:
        found = refusals({"class_weights": {"mode": "inverse_frequency"}}, "depth")

        assert found == {("customize/class_weights", "not_for_this_task")}

    def test_balanced_weights_are_refused_where_ultralytics_ignores_them(self) -> None:
        found = refusals({"class_weights": {"mode": "balanced"}}, "classify")

        assert found == {("customize/class_weights/mode", "not_for_this_task")}

    def test_one_semantic_class_cannot_be_weighted(self) -> None:
        weights = {"class_weights": {"mode": "inverse_frequency"}}

        assert refusals(weights, "semantic", classes=("road",)) == {
            ("customize/class_weights", "one_class")
        }
        assert refusals(weights, "semantic") == set()

    @pytest.mark.parametrize(
        ("customize", "place"),
        [
            ({"class_weights": {"mode": "inverse_frequency"}}, "class_weights"),
            ({"metrics": {"per_class": True}}, "metrics/per_class"),
        ],
    )
    def test_classes_made_one_cannot_be_told_apart(self, customize: object, place: str) -> None:
        document = a_document(task="detect", customize=customize, train={"single_cls": True})

        assert problems_of(document) == {(f"customize/{place}", "one_class")}


class TestMetricNames:
    @pytest.mark.parametrize("task", TASKS)
    def test_every_metric_of_the_task_can_choose_the_best_model(self, task: Task) -> None:
        for metric in metrics_of(task):
            spec = resolved({"best_model": {"metric": metric}}, task)

            best = spec.customize.best_model
            assert best is not None
            assert best.direction == direction_of(task, metric)

    def test_losses_and_errors_are_better_when_lower(self) -> None:
        assert direction_of("depth", "metrics/rmse") == "lower"
        assert direction_of("detect", "val/box_loss") == "lower"
        assert direction_of("detect", "metrics/mAP50(B)") == "higher"

    @pytest.mark.parametrize("metric", ["metrics/mAP50(M)", "mAP50", "train/box_loss"])
    def test_a_metric_that_the_task_has_not_is_refused(self, metric: str) -> None:
        found = refusals({"best_model": {"metric": metric}})

        assert found == {("customize/best_model/metric", "unknown_metric")}

    def test_a_bound_on_a_metric_that_is_not_there_is_refused(self) -> None:
        kept = {"name": "a", "metric": "metrics/mAP50(B)", "where": {"fitness": {"min": 0.1}}}

        assert refusals({"keep_best": [kept]}) == {
            ("customize/keep_best/0/where/fitness", "unknown_metric")
        }

    def test_no_plugin_makes_fitness_a_column(self) -> None:
        kept = {"name": "a", "metric": "fitness", "direction": "higher"}
        document = a_document(
            task="detect", trainer={"name": "mine"}, customize={"keep_best": [kept]}
        )

        assert problems_of(document) == {("customize/keep_best/0/metric", "unknown_metric")}

    def test_a_loss_of_another_family_is_refused_once_the_model_is_known(self) -> None:
        best = {"best_model": {"metric": "val/dfl_loss"}}

        assert refusals(best, architecture="yolo11n.yaml") == set()
        assert refusals(best, architecture="yolo26n.yaml") == {
            ("customize/best_model/metric", "unknown_metric")
        }

    def test_a_known_direction_cannot_be_turned_around(self) -> None:
        best = {"best_model": {"metric": "metrics/mAP50(B)", "direction": "lower"}}

        assert refusals(best) == {("customize/best_model/direction", "known_direction")}

    def test_a_plugin_says_which_way_its_metric_is_better(self) -> None:
        plugin = {"name": "mine", "options": {}}
        silent = a_document(
            task="detect", trainer=plugin, customize={"best_model": {"metric": "mine/score"}}
        )
        stated = {"best_model": {"metric": "mine/score", "direction": "lower"}}

        assert problems_of(silent) == {("customize/best_model/direction", "unknown_direction")}
        assert problems_of(silent | {"customize": stated}) == set()

    @pytest.mark.parametrize("task", [task for task in TASKS if F1_METRICS[task]])
    def test_a_metric_of_another_customization_switches_that_on(self, task: Task) -> None:
        f1 = F1_METRICS[task][-1]

        chosen = resolved({"best_model": {"metric": f1}}, task)
        kept = resolved({"keep_best": [{"name": "a", "metric": f1}]}, task)

        assert chosen.customize.metrics.f1
        assert kept.customize.metrics.f1

    def test_fitness_decides_by_default_and_nothing_is_switched_on(self) -> None:
        best = resolved(None).customize.best_model

        assert best is not None
        assert (best.metric, best.direction) == ("fitness", "higher")
        assert not resolved(None).customize.metrics.f1


class TestLayers:
    @pytest.mark.parametrize(
        ("layers", "indices", "part"),
        [
            ("backbone", (0, 1, 2), "backbone"),
            (2, (0, 1), "layers[0:2]"),
            ([0, 3], (0, 3), "layers[0,3]"),
            ([3, 0, 3], (0, 3), "layers[3,0,3]"),
        ],
        ids=str,
    )
    def test_a_selector_names_layers(
        self, layers: object, indices: tuple[int, ...], part: str
    ) -> None:
        freeze = Customize.model_validate({"freeze": {"layers": layers}}).freeze
        assert freeze is not None

        assert layer_indices(freeze.layers, backbone_layers=3) == indices
        assert part_name(freeze.layers) == part

    @pytest.mark.parametrize(
        "customize",
        [
            {"freeze": {"layers": 25}},
            {"freeze": {"layers": [24]}},
        ],
        ids=str,
    )
    def test_a_layer_beyond_the_last_is_refused(self, customize: object) -> None:
        found = refusals(customize, architecture="yolo26n.yaml")

        assert found == {("customize/freeze/layers", "no_such_layer")}

    def test_each_entry_of_layer_rates_is_checked(self) -> None:
        rates = [{"layers": 3, "factor": 0.1}, {"layers": [99], "factor": 0.2}]

        assert refusals({"layer_lrs": rates}, architecture="yolo26n.yaml") == {
            ("customize/layer_lrs/1/layers", "no_such_layer")
        }

    def test_freezing_all_that_can_learn_is_refused(self) -> None:
        learning = frozenset(range(24)) - {11, 12}
        all_that_learn = {"freeze": {"layers": sorted(learning)}}
        all_but_one = {"freeze": {"layers": sorted(learning - {23})}}
        known: dict[str, Any] = {
            "architecture": "yolo26n.yaml",
            "layers_with_parameters": learning,
        }

        assert refusals(all_that_learn, **known) == {
            ("customize/freeze/layers", "everything_frozen")
        }
        assert refusals(all_but_one, **known) == set()


class TestClassWeights:
    def test_a_class_that_the_dataset_has_not_is_refused(self) -> None:
        weights = {"class_weights": {"mode": "explicit", "weights": {"circel": 2.0}}}

        assert refusals(weights) == {("customize/class_weights/weights/circel", "unknown_class")}

    def test_classes_that_are_not_named_weigh_1(self) -> None:
        weights = {"class_weights": {"mode": "explicit", "weights": {"square": 3.0}}}

        assert resolved(weights).class_weights == {"circle": 1.0, "square": 3.0, "triangle": 1.0}

    def test_inverse_frequency_divides_the_largest_count_by_each(self) -> None:
        spec = resolved({"class_weights": {"mode": "inverse_frequency"}})

        assert spec.class_weights == {"circle": 1.0, "square": 4.0, "triangle": 1.0}

    def test_a_cap_bounds_the_weights(self) -> None:
        spec = resolved({"class_weights": {"mode": "inverse_frequency", "cap": 2.5}})

        assert spec.class_weights == {"circle": 1.0, "square": 2.5, "triangle": 1.0}

    def test_balanced_weights_are_left_to_ultralytics(self) -> None:
        assert resolved({"class_weights": {"mode": "balanced"}}).class_weights is None

    @given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 10**6)))
    def test_the_rarer_a_class_the_heavier_it_weighs(self, counts: dict[str, int]) -> None:
        weights = inverse_frequency(counts, tuple("abcdef"), cap=None)

        present = {name: count for name, count in counts.items() if count}
        assert min(weights.values()) == 1.0
        ordered = sorted(present, key=lambda name: present[name])
        assert [weights[name] for name in ordered] == sorted(
            (weights[name] for name in ordered), reverse=True
        )


class TestResolution:
    @given(
        st.sampled_from(TASKS).flatmap(lambda task: st.tuples(st.just(task), customizations(task)))
    )
    def test_an_accepted_customization_resolves_and_reads_back(
        self, drawn: tuple[Task, dict[str, Any]]
    ) -> None:
        task, customize = drawn

        spec = resolved(customize, task)

        assert ResolvedSpec.model_validate_json(spec.model_dump_json()) == spec
        assert resolve_spec(spec, facts(task)) == spec

    def test_a_spec_of_before_customizations_reads_as_one_without(self) -> None:
        old = resolved(None).model_dump(mode="json") | {"customize": None}

        assert ResolvedSpec.model_validate(old).customize == Customize()
