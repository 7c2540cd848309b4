"""The job spec for its users: accepted and refused documents, pointers and stored values."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.accounts.requests import ProjectRequest
from app.core.plain_text import first_hidden, is_plain
from app.jobs.spec.job_spec import JobSpec, ResolvedSpec
from tests.jobs.spec.documents import DATASET, ULID, VERSION, a_document, problems_of


def message_at(document: object, path: str) -> str:
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate(document)
    return next(
        each["msg"] for each in caught.value.errors() if "/".join(map(str, each["loc"])) == path
    )


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)


class TestMinimalSpec:
    def test_dataset_and_model_are_enough(self) -> None:
        spec = JobSpec.model_validate(a_document())

        assert spec.project == "default"
        assert spec.task is None
        assert spec.train.model_fields_set == set()
        assert (spec.resources.gpus, spec.resources.queue) == (None, "default")
        assert (spec.priority, spec.max_restarts, spec.timeout_hours, spec.on_oom) == (
            0,
            5,
            None,
            None,
        )
        assert (spec.tags, spec.notes, spec.customize, spec.trainer) == ({}, "", None, None)

    @pytest.mark.parametrize("name", ["team.a", "ann+lab@example.org", "0", "x" * 100])
    def test_every_name_that_a_project_can_have_is_accepted(self, name: str) -> None:
        assert ProjectRequest(name=name).name == name

        assert JobSpec.model_validate(a_document(project=name)).project == name

    def test_the_blueprint_example_is_accepted(self) -> None:
        document = a_document(
            name="defects-v3",
            project="default",
            model="yolo26n.pt",
            task="detect",
            train={
                "epochs": 100,
                "imgsz": 640,
                "batch": 16,
                "optimizer": "AdamW",
                "lr0": 0.002,
                "box": 7.5,
                "cls": 0.5,
                "dfl": 1.5,
            },
            customize={
                "metrics": {"f1": True, "per_class": True},
                "class_weights": {"mode": "explicit", "weights": {"triangle": 3.0}},
                "best_model": {"metric": "metrics/mAP50(B)"},
                "keep_best": [
                    {
                        "name": "high_recall",
                        "metric": "metrics/recall(B)",
                        "where": {"metrics/precision(B)": {"min": 0.9}},
                    }
                ],
                "freeze": {"layers": "backbone", "epochs": 5},
                "layer_lrs": [{"layers": "backbone", "factor": 0.1}],
            },
            trainer=None,
            resources={"gpus": None, "queue": "default"},
            priority=0,
            max_restarts=5,
            timeout_hours=None,
            on_oom=None,
            tags={"line": "4"},
            notes="",
        )

        assert problems_of(document) == set()

    @pytest.mark.parametrize("missing", ["dataset", "model"])
    def test_dataset_and_model_are_required(self, missing: str) -> None:
        document = a_document()
        del document[missing]

        assert problems_of(document) == {(missing, "missing")}

    def test_a_spec_cannot_be_changed(self) -> None:
        spec = JobSpec.model_validate(a_document())

        with pytest.raises(ValidationError, match="frozen"):
            spec.priority = 3  # type: ignore[misc] # it is read-only

    @pytest.mark.parametrize("document", [None, [], "spec", 3, True], ids=repr)
    def test_a_document_that_is_no_object_is_no_spec(self, document: object) -> None:
        assert {path for path, _ in problems_of(document)} == {""}


class TestReferences:
    @pytest.mark.parametrize("dataset", [DATASET, VERSION, "bccd", "bccd@3", "night shift é"])
    def test_a_dataset_or_one_version_is_accepted(self, dataset: str) -> None:
        assert problems_of(a_document(dataset=dataset)) == set()

    @pytest.mark.parametrize(
        "dataset",
        ["", "a\nb", "a\0b", "x" * 221, 5, None],
    )
    def test_anything_else_is_no_dataset(self, dataset: object) -> None:
        assert {path for path, _ in problems_of(a_document(dataset=dataset))} == {"dataset"}

    @pytest.mark.parametrize(
        "model",
        ["yolo26n.pt", "yolo26x-depth.yaml", "my_weights-2.1.pt", f"mdl_{ULID}", f"job_{ULID}"],
    )
    def test_a_model_goes_by_its_name(self, model: str) -> None:
        assert problems_of(a_document(model=model)) == set()

    @pytest.mark.parametrize(
        "model",
        [
            "/etc/passwd.pt",
            "../yolo26n.pt",
            "weights/yolo26n.pt",
            "weights\\yolo26n.pt",
            "https://example.org/yolo26n.pt",
            "ul://yolo26n.pt",
            ".pt",
            "..pt",
            "yolo26n",
            "yolo26n.pt\n",
            "yolo26n.onnx",
            "yolo26n\u0000.pt",
            "yolo26n\ud800.pt",
            "a" * 97 + ".pt",
            f"ds_{ULID}",
        ],
    )
    def test_a_path_or_an_address_is_no_model(self, model: str) -> None:
        assert {path for path, _ in problems_of(a_document(model=model))} == {"model"}

    @pytest.mark.parametrize("queue", ["", "a b", "x" * 64, "../q", "q\n", None])
    def test_a_queue_is_one_short_word(self, queue: object) -> None:
        found = problems_of(a_document(resources={"queue": queue}))

        assert {path for path, _ in found} == {"resources/queue"}


class TestNumbers:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("priority", -101),
            ("priority", 101),
            ("priority", 10**400),
            ("priority", 1.5),
            ("priority", True),
            ("priority", "1"),
            ("max_restarts", -1),
            ("max_restarts", 101),
            ("timeout_hours", 0),
            ("timeout_hours", -1),
            ("timeout_hours", 8761),
            ("timeout_hours", float("nan")),
            ("timeout_hours", float("inf")),
            ("timeout_hours", 10**400),
            ("timeout_hours", True),
            ("on_oom", "retry"),
        ],
    )
    def test_a_number_out_of_range_is_refused_at_the_field(self, field: str, value: object) -> None:
        assert {path for path, _ in problems_of(a_document(**{field: value}))} == {field}

    @pytest.mark.parametrize("gpus", [None, 0, 1])
    def test_any_slot_a_cpu_or_one_gpu_can_be_asked_for(self, gpus: int | None) -> None:
        assert problems_of(a_document(resources={"gpus": gpus})) == set()

    @pytest.mark.parametrize("gpus", [2, 8, 10**30])
    def test_more_than_one_gpu_is_not_supported_yet(self, gpus: int) -> None:
        found = problems_of(a_document(resources={"gpus": gpus}))

        assert found == {("resources/gpus", "not_supported_yet")}

    def test_h2_not_a_number_is_refused_also_from_json(self) -> None:
        for literal in ("NaN", "Infinity", "-Infinity", "1e999"):
            document = json.loads(f'{{"timeout_hours": {literal}}}')

            assert problems_of(a_document(**document)) == {("timeout_hours", "finite_number")}


class TestTextH3:
    @given(ANY_TEXT)
    def test_a_note_is_kept_unless_it_hides_something(self, text: str) -> None:
        found = problems_of(a_document(notes=text))

        if first_hidden(text, allowed="\n\t"):
            assert {path for path, _ in found} == {"notes"}
        else:
            assert found == set()
            assert JobSpec.model_validate(a_document(notes=text)).notes == text

    @given(ANY_TEXT)
    def test_a_name_is_kept_unless_it_hides_something(self, text: str) -> None:
        found = problems_of(a_document(name=text))

        assert (found == set()) == (text != "" and is_plain(text))

    @given(ANY_TEXT, ANY_TEXT)
    def test_text_that_is_accepted_can_be_written_as_utf8(self, key: str, value: str) -> None:
        document = a_document(name=value, tags={key: value}, notes=value)

        if problems_of(document) == set():
            JobSpec.model_validate(document).model_dump_json().encode()

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            pytest.param("a\ud800", "lone_surrogate", id="lone-surrogate"),
            pytest.param("a\u0000b", "control_character", id="nul"),
            pytest.param("a\x1b[31m", "control_character", id="escape"),
            pytest.param("a\x9b", "control_character", id="c1"),
            pytest.param("a\u2028b", "control_character", id="line-separator"),
            pytest.param("gpj.\u202etfos", "bidi_control", id="bidi-override"),
            pytest.param("a\u2066b", "bidi_control", id="bidi-isolate"),
            pytest.param("a\u200bb", "invisible_character", id="zero-width-space"),
            pytest.param("a\U000e0041\U000e007f", "invisible_character", id="tags"),
            pytest.param("a\uffff", "invisible_character", id="noncharacter"),
        ],
    )
    @pytest.mark.parametrize("field", ["name", "notes"])
    def test_hidden_characters_are_refused_with_a_code(
        self, field: str, text: str, code: str
    ) -> None:
        assert problems_of(a_document(**{field: text})) == {(field, code)}

    def test_a_job_that_an_earlier_release_accepted_can_still_be_read(self) -> None:
        stored = a_document(
            dataset=VERSION, task="detect", on_oom="fail", name="a\u200bb", tags={"k": "\uffff"}
        )

        assert ResolvedSpec.model_validate(stored).name == "a\u200bb"

    @pytest.mark.parametrize("name", ["žluť 線 🚂", "a" * 200, "عربى", "👩\u200d💻"])
    def test_all_scripts_are_welcome(self, name: str) -> None:
        assert JobSpec.model_validate(a_document(name=name)).name == name

    def test_lengths_of_texts_are_bounded(self) -> None:
        document = a_document(name="a" * 201, notes="b" * 10_001, tags={"k": "c" * 201})

        assert problems_of(document) == {
            ("name", "string_too_long"),
            ("notes", "string_too_long"),
            ("tags/k", "string_too_long"),
        }

    def test_a_name_is_one_line_and_notes_have_many(self) -> None:
        assert problems_of(a_document(notes="one\n\ttwo")) == set()
        assert problems_of(a_document(name="one\ntwo")) == {("name", "control_character")}


class TestTags:
    def test_32_tags_are_enough(self) -> None:
        assert problems_of(a_document(tags={f"k{n}": "v" for n in range(32)})) == set()
        assert problems_of(a_document(tags={f"k{n}": "v" for n in range(33)})) == {
            ("tags", "too_long")
        }

    @pytest.mark.parametrize("key", ["", " ", "a b", "a\n", "é", "\ud800", "a" * 64, "-a", "a:b"])
    def test_a_bad_key_is_refused_at_a_path_that_exists(self, key: str) -> None:
        assert problems_of(a_document(tags={"good": "1", key: "v"})) == {("tags", "tag_key")}

    @pytest.mark.parametrize("value", [1, None, True, ["x"], {}], ids=repr)
    def test_a_value_is_text(self, value: object) -> None:
        assert problems_of(a_document(tags={"k": value})) == {("tags/k", "string_type")}


class TestUnknownFieldsH8:
    @pytest.mark.parametrize(
        ("field", "meant"),
        [("datset", "dataset"), ("prioritys", "priority"), ("note", "notes")],
    )
    def test_a_misspelt_field_gets_a_suggestion(self, field: str, meant: str) -> None:
        document = a_document(**{field: "x"})

        assert problems_of(document) == {(field, "unknown_field")}
        assert f'Did you mean "{meant}"?' in message_at(document, field)

    def test_the_nested_object_answers_for_itself(self) -> None:
        document = a_document(resources={"gpu": 1}, train={"epoch": 3})

        assert problems_of(document) == {
            ("resources/gpu", "unknown_field"),
            ("train/epoch", "unknown_field"),
        }
        assert 'Did you mean "epochs"?' in message_at(document, "train/epoch")

    def test_all_that_is_wrong_is_told_at_once(self) -> None:
        document = a_document(nam="x", priority="high", train={"epochs": 0, "workers": 2})

        assert problems_of(document) == {
            ("nam", "unknown_field"),
            ("priority", "not_an_integer"),
            ("train/epochs", "greater_than_equal"),
            ("train/workers", "set_elsewhere"),
        }

    def test_the_text_and_repr_of_an_error_hide_what_was_sent(self) -> None:
        document = a_document(tokn="hunter2", name="hunter2\n", train={"lr0": "hunter2"})

        with pytest.raises(ValidationError) as caught:
            JobSpec.model_validate(document)

        assert "hunter2" not in str(caught.value) + repr(caught.value)
        assert not any("hunter2" in each["msg"] for each in caught.value.errors())

    @given(st.dictionaries(ANY_TEXT, ANY_JSON, max_size=4), ANY_JSON, ANY_JSON)
    def test_no_document_raises_anything_but_a_validation_error(
        self, unknown: dict[str, object], train: object, tags: object
    ) -> None:
        found = problems_of(a_document(train=train, tags=tags) | unknown)

        assert all(code and path.encode().decode() == path for path, code in found)


class TestTask:
    def test_an_argument_of_another_task_is_refused_at_its_field(self) -> None:
        document = a_document(task="detect", train={"kobj": 2.0, "box": 7.0})

        assert problems_of(document) == {("train/kobj", "not_for_this_task")}

    def test_a_spec_without_a_task_accepts_arguments_of_any_task(self) -> None:
        assert problems_of(a_document(train={"kobj": 2.0})) == set()

    def test_an_unknown_task_is_refused(self) -> None:
        assert problems_of(a_document(task="track")) == {("task", "literal_error")}
