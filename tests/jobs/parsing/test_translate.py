"""What people have for `yolo train` becomes a job spec; what cannot is named with a reason."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import Invalid
from app.jobs.parsing.translate import translate
from app.jobs.parsing.written import MAX_CHARACTERS, literal_of, read_arguments
from app.jobs.spec.job_spec import JobSpec

pytestmark = pytest.mark.unit

DATASET = "ds_01J9Z3K7Q4M8N5P6R7S8T9V0WX"


def spec_of(text: str) -> dict[str, Any]:
    return translate(read_arguments(text)).spec


def left_out_of(text: str) -> dict[str, str]:
    return {each.argument: each.because for each in translate(read_arguments(text)).left_out}


class TestForms:
    @pytest.mark.parametrize(
        "text",
        [
            "yolo train model=yolo26n.pt epochs=5 imgsz=320",
            "$ yolo detect train model=yolo26n.pt epochs=5 imgsz=320",
            "!yolo mode=train model=yolo26n.pt, epochs=5, imgsz=320",
            "yolo train \\\n  model=yolo26n.pt \\\n  epochs = 5 imgsz= 320",
            "model=yolo26n.pt epochs=5 imgsz=320",
            "model=yolo26n.pt\nepochs=5\nimgsz=320\n",
            "--model yolo26n.pt --epochs 5 --imgsz=320",
            "--weights yolo26n.pt --epochs 5 --img-size 320",
            "model: yolo26n.pt\nepochs: 5\nimgsz: 320\n",
            "task: detect\nmode: train\nmodel: /data/yolo26n.pt\nepochs: 5\nimgsz: 320\n",
        ],
    )
    def test_every_form_gives_the_same_spec(self, text: str) -> None:
        spec = spec_of(text)

        assert spec["model"] == "yolo26n.pt"
        assert spec["train"] == {"epochs": 5, "imgsz": 320}

    @pytest.mark.parametrize(
        ("written", "value"),
        [
            ("batch=-1", -1),
            ("batch=0.7", 0.7),
            ("cos_lr=True", True),
            ("--cos-lr", True),
            ("cache=ram", True),
            ("cache=disk", "disk"),
            ("amp=fp32", False),
            ("amp=bf16", "bf16"),
            ("scale=[0.5,1.5]", [0.5, 1.5]),
            ("scale='(0.5, 1.5)'", [0.5, 1.5]),
            ("auto_augment=None", None),
            ("workers=4", 4),
            ("optimizer=AdamW", "AdamW"),
        ],
    )
    def test_a_value_is_read_as_ultralytics_reads_it(self, written: str, value: object) -> None:
        assert [*spec_of(f"yolo train {written}")["train"].values()] == [value]

    @pytest.mark.parametrize("name", ["lr0", "epochs", "freeze", "cls_pw", "scale", "name"])
    def test_a_list_with_a_number_that_python_cannot_write_is_text(self, name: str) -> None:
        number = "0x" + "f" * 3900  # more than the 4300 decimal digits of a written integer

        assert literal_of(f"[{number}]") == f"[{number}]"
        assert name in left_out_of(f"yolo train {name}=[{number}]")

    @pytest.mark.parametrize("written", ["{[]:1}", "{[1]}", "{{}}"])
    def test_a_set_or_mapping_of_what_python_cannot_hash_is_text(self, written: str) -> None:
        assert literal_of(written) == written
        assert "lr0" in left_out_of(f"yolo train lr0={written}")

    def test_the_last_of_two_values_counts(self) -> None:
        assert spec_of("epochs=3 epochs=4")["train"] == {"epochs": 4}

    def test_a_file_that_lists_all_arguments_sets_those_that_differ(self) -> None:
        text = "epochs: 100\nlr0: 0.01\nmomentum: 0.937\ntime: null\npatience: 7\nsave: true\n"

        translation = translate(read_arguments(text))

        assert translation.spec == {"train": {"patience": 7}}
        assert translation.left_out == []

    def test_a_value_that_is_written_in_a_command_stays_also_if_it_is_the_default(self) -> None:
        assert spec_of("yolo train batch=16")["train"] == {"batch": 16}


class TestTranslation:
    @pytest.mark.parametrize(
        ("written", "part"),
        [
            ("device=cpu", {"resources": {"gpus": 0}}),
            ("device=0", {"resources": {"gpus": 1}}),
            ("device=cuda:1", {"resources": {"gpus": 1}}),
            ("name=first-try", {"name": "first-try"}),
            ("task=segment", {"task": "segment"}),
            ("model=yolo26n", {"model": "yolo26n.pt"}),
            ("model=runs\\yolo11s-seg.pt", {"model": "yolo11s-seg.pt"}),
            ("model=ours.pt", {"model": "ours.pt"}),
            ("model=yolo26n-obb.yaml", {"model": "yolo26n-obb.yaml"}),
            ("freeze=10", {"customize": {"freeze": {"layers": 10}}}),
            ("freeze=[0,2]", {"customize": {"freeze": {"layers": [0, 2]}}}),
            (
                "cls_pw=0.5",
                {"customize": {"class_weights": {"mode": "balanced", "power": 0.5}}},
            ),
        ],
    )
    def test_an_argument_of_another_place_goes_there(
        self, written: str, part: dict[str, Any]
    ) -> None:
        assert spec_of(f"yolo train {written}") == part

    @pytest.mark.parametrize(
        ("written", "argument", "reason"),
        [
            ("data=coco8.yaml", "data", "Upload the dataset"),
            ("model=runs/train/weights/best.pt", "model", "POST /v1/models"),
            ("model=custom.yaml", "model", "no such architecture"),
            ("device=0,1", "device", "one GPU"),
            ("device=mps", "device", "NVIDIA"),
            ("save_period=5", "save_period", "last and the best"),
            ("epochs=0", "epochs", "1"),
            ("freeze=-1", "freeze", "Layers are"),
            ("cls_pw=7", "cls_pw", "1"),
            ("lr0=0.02", "lr0", "optimizer"),
            ("task=dance", "task", "detect"),
            ("epoch=3", "epoch", "Did you mean epochs?"),
            ("quickly", "quickly", "name=value"),
            ("model=yolo26n.pt mask_ratio=2", "mask_ratio", "segment"),
            ("task=pose angle=2", "angle", "obb"),
        ],
    )
    def test_what_is_left_out_has_a_reason(self, written: str, argument: str, reason: str) -> None:
        left_out = left_out_of(f"yolo train seed=3 {written}")

        assert reason in left_out[argument]
        assert spec_of(f"yolo train seed=3 {written}")["train"] == {"seed": 3}


class TestRefusals:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "   \n",
            "hello",
            "yolo train name='open",
            "x: *alias\n",
            "- a\n- b: c\n",
            "epochs=1 " * 500 + "a=" + "1" * MAX_CHARACTERS,
            " ".join(f"a{number}=1" for number in range(401)),
            " " * MAX_CHARACTERS,  # minutes, if a pattern is tried at each of them
        ],
    )
    def test_a_text_without_arguments_is_refused_with_an_example(self, text: str) -> None:
        with pytest.raises(Invalid, match="yolo train"):
            read_arguments(text)

    @pytest.mark.parametrize("text", ["yolo predict source=a.jpg", "mode: export\nformat: onnx\n"])
    def test_another_mode_is_refused_by_name(self, text: str) -> None:
        with pytest.raises(Invalid, match=r"predict|export"):
            read_arguments(text)


class TestLaws:
    @given(
        st.one_of(
            st.text(max_size=200),
            st.lists(
                st.tuples(
                    st.sampled_from(
                        ["epochs", "model", "freeze", "device", "scale", "name", "iou"]
                    ),
                    st.text(max_size=20),
                ),
                max_size=8,
            ).map(lambda pairs: " ".join(f"{name}={value}" for name, value in pairs)),
        )
    )
    @settings(max_examples=200, deadline=None)
    def test_any_text_is_refused_or_gives_a_valid_part_of_a_spec(self, text: str) -> None:
        try:
            spec = spec_of(text)
        except Invalid:
            return

        whole = {"dataset": DATASET, "model": "yolo26n.pt"} | spec
        task = whole.pop("task", None)
        JobSpec.model_validate(whole | ({"task": task} if task else {}))
