"""An untrusted data.yaml: few keys are read; no code in it is run and no reference followed."""

from typing import Any

import pytest
import yaml

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings
from app.datasets.verification.dataset_yaml import (
    MAX_CLASSES,
    DatasetFields,
    read_dataset_yaml,
    render_dataset_yaml,
)

NAMES = "names: [disc, square]\n"


def read(text: str | bytes) -> tuple[DatasetFields | None, list[Code]]:
    findings = Findings()
    content = text if isinstance(text, bytes) else text.encode()
    fields = read_dataset_yaml(content, "data.yaml", findings)
    return fields, [finding.code for finding in findings.kept()]


def bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    return "\n".join(lines)


REFUSED: dict[str, tuple[str | bytes, Code]] = {
    "U20-download": ("download: |\n  import os\n" + NAMES, Code.YAML_DOWNLOAD),
    "U20-anchors-bomb": (bomb(), Code.YAML_INVALID),
    "U20-alias-of-a-long-text": (f"a: &a {'x' * 1001}\nb: [*a, *a]\n" + NAMES, Code.YAML_INVALID),
    "U20-alias-of-nothing": ("a: *b\n" + NAMES, Code.YAML_INVALID),
    "U20-merge": ("a: &a {x: 1}\nb: {<<: *a}\n", Code.YAML_INVALID),
    "U20-deep": ("names: " + "[" * 20_000, Code.YAML_INVALID),
    "U20-tag": ("names: !!python/object/apply:os.system ['id']\n", Code.YAML_INVALID),
    "U20-own-tag": ("names: !x [a]\n", Code.YAML_INVALID),
    "U20-nc-differs": ("nc: 3\n" + NAMES, Code.YAML_VALUE),
    "U20-many-classes": (f"nc: {MAX_CLASSES + 1}\n", Code.YAML_VALUE),
    "empty-name": ("names: [a, '']\n", Code.YAML_VALUE),
    "U20-duplicate-keys": (NAMES + NAMES, Code.YAML_INVALID),
    "U20-duplicate-class": ("names: {0: a, 0: b}\n", Code.YAML_INVALID),
    "U20-two-documents": (NAMES + "---\n" + NAMES, Code.YAML_INVALID),
    "class-gap": ("names: {0: a, 2: b}\n", Code.YAML_VALUE),
    "control-character-in-name": ('names: ["a\\nb"]\n', Code.YAML_VALUE),
    "no-mapping": ("- a\n- b\n", Code.YAML_INVALID),
    "empty": ("", Code.YAML_INVALID),
    "no-yaml": ("names: [a\n", Code.YAML_INVALID),
    "huge": (b"#" * 5_000_000, Code.YAML_INVALID),
    "F8-long-integer": ("nc: " + "9" * 5000, Code.YAML_VALUE),
    "F8-long-key": ("names: {" + "9" * 400 + ": a}\n", Code.YAML_VALUE),
    "F8-long-mapping": ("label_mapping: {" + "9" * 400 + ": 1}\n" + NAMES, Code.YAML_VALUE),
    "F8-long-keypoint": (
        "kpt_shape: [1, 3]\nkpt_names: {" + "9" * 400 + ": [a]}\n" + NAMES,
        Code.YAML_VALUE,
    ),
    "kpt-shape-4d": ("kpt_shape: [4, 4]\n" + NAMES, Code.YAML_VALUE),
    "kpt-shape-text": ("kpt_shape: four\n" + NAMES, Code.YAML_VALUE),
    "flip-idx-short": ("kpt_shape: [4, 3]\nflip_idx: [1, 0]\n" + NAMES, Code.YAML_VALUE),
    "flip-idx-repeats": ("kpt_shape: [2, 3]\nflip_idx: [1, 1]\n" + NAMES, Code.YAML_VALUE),
    "sigmas-short": ("kpt_shape: [2, 3]\nkpt_oks_sigmas: [0.1]\n" + NAMES, Code.YAML_VALUE),
    "sigma-zero": ("kpt_shape: [1, 3]\nkpt_oks_sigmas: [0]\n" + NAMES, Code.YAML_VALUE),
    "channels-zero": ("channels: 0\n" + NAMES, Code.YAML_VALUE),
    "channels-true": ("channels: true\n" + NAMES, Code.YAML_VALUE),
    "mapping-to-a-list": ("label_mapping: {0: [1]}\n" + NAMES, Code.YAML_VALUE),
    "mapping-beyond": ("label_mapping: {7: 256}\n" + NAMES, Code.YAML_VALUE),
    "depth-scale-nan": ("depth_scale: .nan\n" + NAMES, Code.YAML_VALUE),
    "max-depth-negative": ("max_depth: -1\n" + NAMES, Code.YAML_VALUE),
    "train-mapping": ("train: {a: b}\n" + NAMES, Code.YAML_VALUE),
}


class TestRefusedYaml:
    @pytest.mark.parametrize("row", REFUSED)
    def test_a_bad_yaml_is_refused_for_its_reason(self, row: str) -> None:
        text, code = REFUSED[row]

        _, codes = read(text)

        assert codes == [code]

    def test_the_line_of_a_repeated_key_is_named(self) -> None:
        findings = Findings()

        read_dataset_yaml(b"nc: 1\nnames: [a]\nnc: 1\n", "data.yaml", findings)

        assert [finding.line for finding in findings.kept()] == [3]


ACCEPTED: dict[str, tuple[str, dict[str, Any]]] = {
    "list": ("names: [a, b]", {"names": ["a", "b"]}),
    "mapping": ("names: {1: b, 0: a}", {"names": ["a", "b"]}),
    "numbers-as-text": ("names: {'0': a}", {"names": ["a"]}),
    "digits": ("names: [0, 1, 2]", {"names": ["0", "1", "2"]}),
    "yes-and-no": ("names: [yes, no, on, true]", {"names": ["yes", "no", "on", "true"]}),
    "null-as-name": ("names: [null, ~]", {"names": ["null", "~"]}),
    "floats": ("names: [1.50, 1e3]", {"names": ["1.50", "1e3"]}),
    "dates": ("names: [2024-01-01, 2023-99-99]", {"names": ["2024-01-01", "2023-99-99"]}),
    "empty-names": ("names: []\nnc: 1", {"class_names": ["class_0"]}),
    "empty-test": ("test: ''\n" + NAMES, {"test": None}),
    "no-as-key": ("no: 4\n" + NAMES, {"names": ["disc", "square"]}),
    "capital-keys": ("Train: a\nValidation: b\n" + NAMES, {"train": ["a"], "val": ["b"]}),
    "nc-only": ("nc: 2", {"class_names": ["class_0", "class_1"]}),
    "nc-as-text": ("nc: '2'", {"nc": 2}),
    "validation": ("validation: valid/images\n" + NAMES, {"val": ["valid/images"]}),
    "several-folders": ("train: [a, b]\n" + NAMES, {"train": ["a", "b"]}),
    "empty-value": ("test:\n" + NAMES, {"test": None}),
    "bom": ("\ufeff" + NAMES, {"names": ["disc", "square"]}),
    "mapping-ignore": (
        "label_mapping:\n  -1: ignore_label\n  7: 0\n  8: ~\n  9:\n" + NAMES,
        {"label_mapping": {-1: 255, 7: 0, 8: 255, 9: 255}},
    ),
    "whole-scale": ("depth_scale: 256\n" + NAMES, {"depth_scale": 256}),
    "keypoint-names": (
        "kpt_shape: [2, 3]\nkpt_names: {0: [l, r]}\n" + NAMES,
        {"kpt_names": {0: ["l", "r"]}},
    ),
}


class TestAcceptedYaml:
    @pytest.mark.parametrize("row", ACCEPTED)
    def test_a_yaml_is_read_as_ultralytics_reads_it(self, row: str) -> None:
        text, expected = ACCEPTED[row]

        fields, codes = read(text)

        assert codes == []
        assert {key: getattr(fields, key) for key in expected} == expected

    def test_unknown_keys_are_ignored_with_a_warning(self) -> None:
        fields, codes = read("licence: MIT\n" + NAMES)

        assert fields is not None
        assert codes == [Code.YAML_KEY_IGNORED]

    def test_a_yaml_with_the_keys_that_roboflow_adds_is_accepted(self) -> None:
        _, codes = read("roboflow: {workspace: x, version: 1}\n" + NAMES)

        assert codes == []


class TestOurYaml:
    @pytest.mark.parametrize(
        "name", ["plain", "yes", "null", "1.5", "a: b", "#x", "Straße 🚦", "'q'"]
    )
    def test_any_name_comes_back_as_text(self, name: str) -> None:
        written = render_dataset_yaml({"channels": 3}, [name, "x"], ["train", "val"])

        assert yaml.safe_load(written) == {
            "train": "images/train",
            "val": "images/val",
            "names": {0: name, 1: "x"},
            "channels": 3,
        }
