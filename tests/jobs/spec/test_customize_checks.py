"""Any content of `customize` is accepted, or refused at fields that exist in the JSON."""

import json
from collections.abc import Iterator
from typing import Any, Final, get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.core.tasks import Task
from app.jobs.spec.job_spec import JobSpec, ResolvedSpec, SpecFacts, resolve_spec
from tests.jobs.customizing import CLASSES, customizations
from tests.jobs.spec.documents import VERSION, a_document
from tests.worker.trainer.jobs import ARCHITECTURES

Place = tuple[str | int, ...]

TASKS: Final[tuple[Task, ...]] = get_args(Task)
ANY_LEAF: Final = (
    st.none()
    | st.booleans()
    | st.integers(-2, 30)
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["backbone", "balanced", "explicit", "fitness", "metrics/F1(B)", "lower"])
)
ANY_JSON: Final = st.recursive(
    ANY_LEAF,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def places_in(node: object, place: Place = ()) -> Iterator[Place]:
    """Yield the place of every value, including the whole document."""
    yield place
    if isinstance(node, dict):
        for name, value in node.items():
            yield from places_in(value, (*place, name))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from places_in(value, (*place, index))


def with_value(document: Any, place: Place, value: object) -> Any:  # noqa: ANN401 -- any JSON
    """Return a copy of the document with another value at the place."""
    if not place:
        return value
    changed = json.loads(json.dumps(document))  # deepcopy keeps objects that are shared
    parent = changed
    for part in place[:-1]:
        parent = parent[part]
    parent[place[-1]] = value
    return changed


def exists(document: Any, place: Place) -> bool:  # noqa: ANN401 -- any JSON
    """Return whether the JSON has the place, or an object that lacks only its last name."""
    for depth, part in enumerate(place):
        is_last = depth == len(place) - 1
        if isinstance(document, dict) and (part in document or is_last):
            document = document.get(part)
        elif isinstance(document, list) and isinstance(part, int) and part < len(document):
            document = document[part]
        else:
            return False
    return True


@st.composite
def damaged(draw: st.DrawFn) -> tuple[Task, Any, Place]:
    """Draw a customization that fits its task, with one value replaced by any other JSON."""
    task = draw(st.sampled_from(TASKS))
    whole = draw(customizations(task, CLASSES, ARCHITECTURES[task]))
    place = draw(st.sampled_from(sorted(places_in(whole), key=str)))
    return task, with_value(whole, place, draw(ANY_JSON)), place


def resolved(customize: object, task: Task) -> ResolvedSpec:
    spec = JobSpec.model_validate(a_document(customize=customize))
    counts = dict.fromkeys(CLASSES, 1)
    facts: dict[str, Any] = {"classes": CLASSES, "class_counts": counts}
    return resolve_spec(spec, SpecFacts(VERSION, task, architecture=ARCHITECTURES[task], **facts))


class TestRefusals:
    @given(damaged())
    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_a_refusal_names_the_damaged_field_at_a_place_that_the_json_has(
        self, drawn: tuple[Task, Any, Place]
    ) -> None:
        task, customize, place = drawn
        try:
            spec = resolved(customize, task)
        except ValidationError as error:
            for each in error.errors(include_url=False, include_input=False):
                assert each["loc"][0] == "customize"
                told = each["loc"][1:]
                assert exists(customize, told), told
                beside = max(len(place) - 1, 0)
                assert told[:beside] == place[: min(beside, len(told))], (told, place)
        else:
            assert ResolvedSpec.model_validate_json(spec.model_dump_json()) == spec

    def test_a_damaged_value_is_refused_at_its_place(self) -> None:
        """Every place refuses a value that fits no field."""
        whole = {
            "metrics": {"f1": True},
            "class_weights": {"mode": "explicit", "weights": {"circle": 2.0}},
            "best_model": {"metric": "fitness"},
            "keep_best": [{"name": "a", "metric": "val/cls_loss"}],
            "freeze": {"layers": "backbone", "epochs": 1},
            "layer_lrs": [{"layers": [0], "factor": 0.5}],
        }
        places = [place for place in places_in(whole) if place]

        for place in places:
            try:
                resolved(with_value(whole, place, {"?": [None]}), "detect")
            except ValidationError as error:
                told = {each["loc"][1:] for each in error.errors()}
                assert all(each[: len(place)] == place[: len(each)] for each in told), place
            else:
                raise AssertionError(place)
