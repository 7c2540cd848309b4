"""Remedies of findings, and the requests that fix them."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from app.datasets.http.routes import NewVersionBody
from app.datasets.remedies.requests import FindingView, FindingViews
from app.datasets.remedies.sentences import REMEDIES
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Finding
from app.datasets.reports.report import ImportOptions, Report, VerificationRequest
from app.datasets.verification.verify import verify
from tests.datasets.builders import (
    Files,
    a_yaml,
    a_zip,
    an_image,
    class_files,
    label_files,
)
from tests.datasets.verdicts import without

FIRST_TRY: Final = Path(__file__).parents[2] / "data" / "first_try"
EXPECTED: Final[dict[str, dict[str, Any]]] = json.loads((FIRST_TRY / "expected.json").read_text())
VERSION: Final = "dsv_01ARZ3NDEKTSV4RRFFQ69G5FAV"
ONE_BAD: Final = {**label_files("detect", train=4), "labels/train/0003.txt": b"0 0.5\n"}
TWO_YAMLS: Final = {
    **without(label_files("detect"), "data.yaml"),
    "one.yaml": a_yaml(),
    "sub/two.yaml": a_yaml(names=["a", "b", "c", "d"]),
}


def views_of(report: Report, options: dict[str, Any]) -> list[FindingView]:
    views = FindingViews("ds_1", VERSION, options)
    return [views.view(found) for found in report.findings]


def asked(view: FindingView) -> ImportOptions:
    """Return what the request of a finding asks for, as the route reads it."""
    assert view.request is not None
    body = NewVersionBody.model_validate_json(json.dumps(view.request.body))
    assert body.version == VERSION
    return body.options()


def verdict(archive: Path, folder: Path, options: ImportOptions) -> Report:
    return verify(VerificationRequest(archive=archive, output=folder, options=options))


def a_finding(code: Code, **fields: Any) -> Finding:  # noqa: ANN401 -- any field
    severity = fields.pop("severity", code.severity)
    given = {"message": "", "file": None, "line": None, **fields}
    return Finding(code=code, severity=severity, **given)


class TestRemedies:
    @pytest.mark.parametrize("code", Code)
    def test_every_code_has_a_remedy_of_one_sentence(self, code: Code) -> None:
        remedy = REMEDIES[code]

        assert remedy[0].isupper()
        assert remedy.endswith(".")
        assert ". " not in remedy


class TestReadyRequests:
    @pytest.mark.parametrize(
        ("files", "options", "code", "change"),
        [
            pytest.param(
                label_files("obb"), {}, Code.TASK_NEEDED, {"task": "obb"}, id="task-needed"
            ),
            pytest.param(
                TWO_YAMLS, {}, Code.YAML_AMBIGUOUS, {"data_yaml": "one.yaml"}, id="several-yaml"
            ),
            pytest.param(
                label_files("detect"),
                {"data_yaml": "other.yaml"},
                Code.YAML_MISSING,
                {"data_yaml": "data.yaml"},
                id="no-such-yaml",
            ),
            pytest.param(
                {
                    name: content
                    for name, content in label_files("detect", val=0).items()
                    if name != "data.yaml"
                },
                {"policy": "strict", "names": ["a", "b", "c"]},
                Code.SPLIT_MISSING,
                {"splits": "80:20"},
                id="val-missing",
            ),
            pytest.param(
                ONE_BAD,
                {"max_bad_ratio": 0.01},
                Code.TOO_MANY_DROPPED,
                {"max_bad_ratio": 0.13},
                id="too-many-dropped",
            ),
            pytest.param(
                ONE_BAD,
                {"policy": "strict"},
                Code.LABEL_COLUMNS,
                {"policy": "lenient"},
                id="strict",
            ),
            pytest.param(
                class_files(),
                {"names": ["x", "y", "z"]},
                Code.NAMES_MISFIT,
                {"names": None},
                id="names-of-folders",
            ),
            pytest.param(
                label_files("detect"),
                {"class_map": {"disk": "a", "disc": "b"}},
                Code.OPTION_UNFIT,
                {"class_map": {"disc": "b"}},
                id="class-map",
            ),
            pytest.param(
                label_files("detect"),
                {"class_map": {"disk": "a"}},
                Code.OPTION_UNFIT,
                {"class_map": None},
                id="class-map-of-nothing",
            ),
            pytest.param(
                label_files("detect"),
                {"colours": {"disc": [1, 2, 3]}, "task": "detect"},
                Code.OPTION_UNFIT,
                {"colours": None},
                id="colours",
            ),
            pytest.param(
                label_files("detect", names=["disc", "disc", "triangle"]),
                {},
                Code.NAMES_REPEATED,
                {"class_map": {"disc": "disc"}},
                id="names-repeated",
            ),
            pytest.param(
                {**label_files("detect"), "data.yaml": a_yaml(path=".", val="images/train")},
                {},
                Code.SPLIT_SAME_FOLDER,
                {"splits": "80:20"},
                id="same-folder",
            ),
            pytest.param(
                {**class_files(), "val/star/1.jpg": an_image(5)},
                {},
                Code.CLASS_UNKNOWN,
                {"splits": "80:20"},
                id="class-of-val",
            ),
        ],
    )
    def test_the_request_of_a_finding_corrects_it(
        self,
        files: Files,
        options: dict[str, Any],
        code: Code,
        change: dict[str, Any],
        tmp_path: Path,
    ) -> None:
        archive = a_zip(tmp_path / "upload.zip", files)
        before = ImportOptions.model_validate(options)
        report = verdict(archive, tmp_path, before)
        view = next(view for view in views_of(report, options) if view.code is code)

        corrected = verdict(archive, tmp_path, asked(view))

        changed = ImportOptions.model_validate(change).model_dump(include=set(change))
        assert asked(view).model_dump() == {**before.model_dump(), **changed}
        assert corrected.state == "ready"
        assert (code, view.severity) not in {
            (found.code, found.severity) for found in corrected.findings
        }


class TestFirstTry:
    """The archives that ask for something: their requests, sent as they are, lead to `ready`."""

    @pytest.mark.parametrize(
        "name", [each for each in EXPECTED if EXPECTED[each]["answer"] == "asks"]
    )
    def test_the_request_of_an_archive_that_asks_makes_it_ready(
        self, name: str, tmp_path: Path
    ) -> None:
        archive = FIRST_TRY / f"{name}.zip"
        report = verdict(archive, tmp_path, ImportOptions())
        (view,) = [view for view in views_of(report, {}) if view.severity == "error"]

        if view.code is Code.NAMES_MISSING:  # nothing in the archive has the names
            assert view.request is None
            return

        corrected = verdict(archive, tmp_path, asked(view))
        assert (corrected.state, corrected.task) == ("ready", EXPECTED[name]["task"])

    @pytest.mark.parametrize("name", list(EXPECTED))
    def test_every_request_has_options_that_can_be_sent(self, name: str, tmp_path: Path) -> None:
        report = verdict(FIRST_TRY / f"{name}.zip", tmp_path, ImportOptions(policy="strict"))

        for view in views_of(report, {"policy": "strict"}):
            if view.request is not None:
                assert asked(view) != ImportOptions(policy="strict")


class TestViews:
    def test_a_choice_of_several_lists_them_and_the_body_has_the_first(self) -> None:
        found = a_finding(Code.TASK_NEEDED, fixes=({"task": "obb"}, {"task": "segment"}))

        view = FindingViews("ds_1", VERSION, {"names": ["a"], "task": None}).view(found)

        assert view.choices is not None
        assert (view.choices.field, view.choices.values) == ("task", ["obb", "segment"])
        assert view.request is not None
        assert view.request.model_dump() == {
            "method": "POST",
            "path": "/v1/datasets/ds_1/versions",
            "body": {"version": VERSION, "names": ["a"], "task": "obb"},
        }

    def test_a_request_repeats_no_options_that_are_too_long(self) -> None:
        found = a_finding(Code.TASK_NEEDED, fixes=({"task": "obb"},))

        view = FindingViews("ds_1", VERSION, {"names": ["n" * 200] * 100}).view(found)

        assert view.request is None
        assert view.remedy

    def test_a_finding_that_no_option_mends_has_no_request(self) -> None:
        view = FindingViews("ds_1", VERSION, {}).view(a_finding(Code.ARCHIVE_CORRUPT))

        assert (view.request, view.choices) == (None, None)

    def test_a_verification_that_crashed_can_be_repeated(self) -> None:
        view = FindingViews("ds_1", VERSION, {"splits": "80:20"}).view(
            a_finding(Code.VERIFICATION_CRASHED)
        )

        assert view.request is not None
        assert view.request.body == {"version": VERSION, "splits": "80:20"}

    def test_a_finding_of_an_earlier_release_has_a_remedy(self) -> None:
        stored = {"code": "label-class", "severity": "error", "message": "", "file": "a", "line": 1}

        view = FindingViews("ds_1", VERSION, {}).view(Finding.model_validate(stored))

        assert asked(view).policy == "lenient"
