"""A fault of a library in one file becomes a finding that names the file."""

import cv2
import pytest
import yaml

from app.datasets.reports.finding_codes import Code
from tests.datasets.builders import label_files
from tests.datasets.verdicts import Verify


def fail(*_: object, **__: object) -> object:
    raise ZeroDivisionError("a bug of a library")


class TestParserFaults:
    def test_a_fault_of_a_decoder_names_the_image(
        self, verified: Verify, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cv2, "imdecode", fail)

        report = verified(label_files("detect", train=1, val=1))

        found = {finding.file for finding in report.findings if finding.code.drops}
        assert report.state == "invalid"
        assert any(file is not None and file.startswith("images/") for file in found)

    def test_a_fault_of_a_parser_names_its_file(
        self, verified: Verify, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(yaml, "compose", fail)
        monkeypatch.setattr(yaml, "load", fail)
        monkeypatch.setattr(yaml, "parse", fail)

        report = verified(label_files("detect", train=1, val=1))

        (finding,) = [each for each in report.findings if each.code is Code.VERIFICATION_CRASHED]
        assert finding.file == "data.yaml"
        assert report.state == "invalid"
