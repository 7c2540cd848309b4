"""The verification process: for any upload it reports within its limits."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from zipfile import ZIP_STORED

import numpy as np
import pytest
from PIL import Image

from app.datasets.reports.finding_codes import Code, Severity
from app.datasets.reports.findings import MAX_FINDINGS_PER_CODE, Findings, shown
from app.datasets.reports.report import (
    Limits,
    ProcessLimits,
    Report,
    VerificationRequest,
)
from app.datasets.verification.verify import verify
from tests.datasets.builders import a_detect_zip, a_zip, an_image, encoded, label_files
from tests.datasets.outputs import files_of_output

BCCD = Path("tests/data/bccd-yolo.zip")


def run(request: VerificationRequest) -> "subprocess.CompletedProcess[str]":
    path = request.output / "request.json"
    path.write_text(request.model_dump_json())
    return subprocess.run(
        [sys.executable, "-m", "app.datasets.verification", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def report_of(request: VerificationRequest) -> Report:
    finished = run(request)
    assert (finished.returncode, finished.stderr) == (0, "")
    return Report.model_validate_json((request.output / "report.json").read_bytes())


def codes(report: Report) -> list[Code]:
    return [finding.code for finding in report.findings]


class TestTheProcess:
    @pytest.mark.slow
    def test_photographs_of_blood_cells_are_ready(self, tmp_path: Path) -> None:
        report = report_of(VerificationRequest(archive=BCCD, output=tmp_path))

        assert (report.task, report.state) == ("detect", "ready")
        assert codes(report) == [Code.SPLIT_LOOKALIKE]
        assert "BloodImage_00037" in report.findings[0].message
        assert report.classes == ["RBC", "WBC", "Platelets"]
        assert {split: held.images for split, held in report.splits.items()} == {
            "train": 205,
            "val": 87,
            "test": 72,
        }
        assert report.class_counts["train"] == {"RBC": 2381, "WBC": 214, "Platelets": 209}
        assert report.pack_bytes == sum(map(len, files_of_output(tmp_path).values()))

    def test_an_invalid_set_leaves_a_report_and_no_pack(self, tmp_path: Path) -> None:
        archive = a_zip(tmp_path / "a.zip", label_files("detect") | {"data.yaml": b"train: a\n"})

        report = report_of(VerificationRequest(archive=archive, output=tmp_path))

        assert set(codes(report)) == {Code.NAMES_MISSING, Code.SPLIT_FOLDER_MISSING}
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "a.zip",
            "progress.json",
            "report.json",
            "request.json",
        ]

    @pytest.mark.slow
    def test_a_file_that_is_no_zip_gets_a_report_too(self, tmp_path: Path) -> None:
        (tmp_path / "a.zip").write_bytes(b"%PDF-1.7")

        report = report_of(VerificationRequest(archive=tmp_path / "a.zip", output=tmp_path))

        assert codes(report) == [Code.ARCHIVE_CORRUPT]

    def test_a_report_holds_no_character_that_a_database_refuses(self, tmp_path: Path) -> None:
        files = label_files("detect") | {
            "labels/train/\ud7ff\u0001\u202e.txt": b"0 1",
            "\u0002.jpg": b"",
        }
        archive = a_zip(tmp_path / "a.zip", files)

        text = verify(VerificationRequest(archive=archive, output=tmp_path)).model_dump_json()

        values = json.dumps(json.loads(text), ensure_ascii=False)
        assert [character for character in values if not character.isprintable()] == []

    def test_a_request_that_it_does_not_know_is_not_carried_out(self, tmp_path: Path) -> None:
        (tmp_path / "request.json").write_text('{"archive": "a", "output": "b", "shell": "id"}')

        finished = subprocess.run(
            [
                sys.executable,
                "-m",
                "app.datasets.verification",
                str(tmp_path / "request.json"),
            ],
            capture_output=True,
            check=False,
        )

        assert finished.returncode == 1

    def test_an_archive_that_is_gone_is_a_failure_and_no_verdict(self, tmp_path: Path) -> None:
        finished = run(VerificationRequest(archive=tmp_path / "none.zip", output=tmp_path))

        assert finished.returncode == 1
        assert not (tmp_path / "report.json").exists()


class TestLimits:
    def limited(self, folder: Path, **limits: int) -> VerificationRequest:
        return VerificationRequest(
            archive=a_detect_zip(folder / "a.zip", train=40, val=40),
            output=folder,
            process_limits=replace(ProcessLimits(), **limits),
        )

    def test_too_large_a_pack_is_a_finding(self, tmp_path: Path) -> None:
        report = report_of(self.limited(tmp_path, file_bytes=30_000))

        assert codes(report) == [Code.VERIFICATION_LIMIT]
        assert not (tmp_path / "pack.zip").exists()

    def test_too_much_memory_is_a_finding(self, tmp_path: Path) -> None:
        huge = encoded(Image.fromarray(np.zeros((7000, 7000, 3), np.uint8)), compress_level=1)
        archive = a_zip(tmp_path / "a.zip", label_files("detect") | {"images/train/z.png": huge})
        limits = ProcessLimits(address_space_bytes=60 * 1024 * 1024)

        report = report_of(
            VerificationRequest(archive=archive, output=tmp_path, process_limits=limits)
        )

        assert codes(report) == [Code.VERIFICATION_LIMIT]

    @pytest.mark.slow
    def test_a_json_file_larger_than_the_memory_is_read_in_pieces(self, tmp_path: Path) -> None:
        memory = 64 * 1024 * 1024
        size = {"width": 64, "height": 64}
        images = [{"id": number, "file_name": f"{number}.jpg", **size} for number in range(2)]
        boxes = [
            {"image_id": number, "category_id": 1, "bbox": [1, 1, 9, 9]} for number in range(2)
        ]
        elsewhere = {**boxes[0], "image_id": 3, "note": "x" * 100_000}
        listed = [*map(json.dumps, boxes), *[json.dumps(elsewhere)] * (memory // 50_000)]
        end = json.dumps({"images": images, "categories": [{"id": 1, "name": "disc"}]})[1:]
        text = f'{{"annotations": [{",".join(listed)}],{end}'
        files = {f"{number}.jpg": an_image(number) for number in range(2)}
        request = VerificationRequest(
            archive=a_zip(tmp_path / "a.zip", {**files, "all.json": text.encode()}, ZIP_STORED),
            output=tmp_path,
            process_limits=ProcessLimits(address_space_bytes=memory),
        )

        report = report_of(request)

        assert len(text) > 2 * memory
        assert report.state == "ready"
        assert sum(split.objects for split in report.splits.values()) == len(boxes)

    def test_too_much_time_is_a_finding(self, tmp_path: Path) -> None:
        rows = b"0 0.5 0.5 0.1 0.1\n" * 90_000
        files = label_files("detect", train=30)
        files |= {name: rows for name in files if name.startswith("labels/train")}
        request = VerificationRequest(
            archive=a_zip(tmp_path / "a.zip", files),
            output=tmp_path,
            limits=replace(Limits(), max_ratio=1000),
            process_limits=ProcessLimits(cpu_seconds=2),
        )

        report = report_of(request)

        assert codes(report) == [Code.VERIFICATION_LIMIT]


class TestFindings:
    def test_every_code_has_a_meaning_and_a_severity(self) -> None:
        assert all(code.meaning and isinstance(code.severity, Severity) for code in Code)
        assert len({code.value for code in Code}) == len(Code)

    def test_a_thousand_of_one_kind_do_not_hide_another(self) -> None:
        findings = Findings()
        for number in range(1000):
            findings.add(Code.LABEL_CLASS, "wrong", file="a.txt", line=number)
        findings.add(Code.SPLIT_LEAK, "same")

        assert len(findings.kept()) == MAX_FINDINGS_PER_CODE + 1
        assert findings.totals() == {"split-leak": 1, "label-class": 1000}

    def test_findings_are_sorted_by_error_then_file_and_line(self) -> None:
        findings = Findings()
        findings.add(Code.SPLIT_LEAK, "", file="a")
        findings.add(Code.LABEL_CLASS, "", file="b", line=2)
        findings.add(Code.LABEL_CLASS, "", file="b", line=1)

        assert [(found.file, found.line) for found in findings.kept()] == [
            ("b", 1),
            ("b", 2),
            ("a", None),
        ]

    @pytest.mark.parametrize(
        ("text", "printable"),
        [
            ("a\nb", "a\\nb"),
            ("\u202ex", "\\u202ex"),
            ("ünïcode 🚦", "ünïcode 🚦"),
            ("\ud800", "\\ud800"),
        ],
    )
    def test_text_of_users_is_harmless_in_findings(self, text: str, printable: str) -> None:
        assert shown(text) == printable

    def test_long_text_is_cut_in_findings(self) -> None:
        assert len(shown("x" * 5000)) == 300
