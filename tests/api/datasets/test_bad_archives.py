"""Hostile and odd archives over HTTP: each gets its report, and no job trains on a bad one."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from app.datasets.reports.finding_codes import Severity
from tests.api.datasets.uploading import spooled, upload, verified
from tests.api.refusals import assert_refused
from tests.datasets.hostile_archives import FAULTY, ODD
from tests.waiting import eventually
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]


def report_of(api: Api, reference: str) -> dict[str, Any]:
    answer: dict[str, Any] = api.client.get(f"/v1/datasets/{reference}/report").json()
    return answer["report"] or {}


def stored_files(api: Api) -> set[Path]:
    """Return all files of the instance, without the id of its spool of uploads."""
    files = {path for path in api.context.settings.home.rglob("*") if path.is_file()}
    return files - {api.context.settings.home / "spool" / "uploads" / ".id"}


def every_sixteenth(rows: Iterable[str]) -> list[Any]:
    """Mark the other rows as slow: each takes a process, and the audit has its own tests."""
    return [
        row if number % 16 == 0 else pytest.param(row, marks=pytest.mark.slow)
        for number, row in enumerate(rows)
    ]


class TestFaultyArchives:
    @pytest.mark.parametrize("row", every_sixteenth(FAULTY))
    def test_a_faulty_archive_is_reported_with_its_fault_and_no_job_can_use_it(
        self, shared_api: Api, row: str
    ) -> None:
        api, faulty = shared_api, FAULTY[row]
        content = faulty.build()
        before = stored_files(api)

        sent = upload(api, content, name=row, task="detect", policy="strict")

        view = verified(api, sent["id"])
        report = report_of(api, view["id"])
        errors = [each for each in report["findings"] if each["severity"] == Severity.ERROR]
        assert view["state"] == report["state"] == "invalid"
        assert faulty.code in [error["code"] for error in errors], errors
        if faulty.file is not None:
            assert (faulty.code, faulty.file) in [(e["code"], e["file"]) for e in errors], errors
        if faulty.line is not None:
            found = [(error["code"], error["file"], error["line"]) for error in errors]
            assert (faulty.code, faulty.file, faulty.line) in found
        archive = hashlib.sha256(content).hexdigest()
        eventually(  # the folder of the verification is removed after its end was recorded
            lambda: {path.name for path in stored_files(api) - before} <= {archive}, within=30
        )
        assert spooled(api) == []
        answer = api.client.post("/v1/jobs", json=api.spec(dataset=view["id"]))
        assert_refused(answer, status=409, slug="dataset-not-ready")


class TestOddArchives:
    @pytest.mark.parametrize("row", every_sixteenth(ODD))
    def test_an_odd_archive_is_ready_and_its_report_names_what_is_odd(
        self, shared_api: Api, row: str
    ) -> None:
        api, odd = shared_api, ODD[row]

        view = verified(api, upload(api, odd.build(), name=row, task="detect")["id"])

        report = report_of(api, view["id"])
        assert view["state"] == "ready", report["findings"]
        assert view["images"] == {"train": odd.images, "val": 2}
        assert odd.codes <= report["finding_totals"].keys()
        assert odd.ignored == {each["reason"] for each in report["ignored"]}
