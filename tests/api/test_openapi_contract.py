"""The OpenAPI document equals the pinned one, and the server conforms to it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from app.core.database import Database
from app.openapi import openapi_document
from tests.architecture.sources import ROOT
from tests.worlds.rows import a_ready_dataset
from tests.worlds.server import a_server

pytestmark = pytest.mark.integration

PINNED = ROOT / "docs" / "schema" / "openapi.json"
SCHEMATHESIS = Path(sys.executable).with_name("st")
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
SECONDS = 900


class TestDocument:
    def test_the_openapi_document_is_the_pinned_one(self) -> None:
        """If intended, run `python -m app.openapi > docs/schema/openapi.json`."""
        assert openapi_document() == PINNED.read_text(), (
            self.test_the_openapi_document_is_the_pinned_one.__doc__
        )


class TestConformance:
    @pytest.mark.parametrize("phase", ["fuzzing", pytest.param("coverage", marks=pytest.mark.slow)])
    def test_requests_made_from_the_document_get_documented_answers(
        self, postgres_url: str, tmp_path: Path, phase: str
    ) -> None:
        with a_server(tmp_path / "home", postgres_url) as server:
            base, key = server.url, server.key
            dataset, job = existing_ids(base, key, postgres_url)
            names = {
                "PYTHONPATH": str(ROOT),
                "TRAINYARD_TEST_KEY": key,
                "TRAINYARD_TEST_JOB": job,
                "TRAINYARD_TEST_DATASET": dataset,
                "TRAINYARD_TEST_UPLOAD": an_upload(base, key),
            }

            said = subprocess.run(
                [
                    *(SCHEMATHESIS, "--config-file", CONFIGURATION),
                    *("run", f"{base}/openapi.json", "--phases", phase),
                ],
                cwd=tmp_path,
                env={**os.environ, **names},
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )

        report = said.stdout[-60_000:] + said.stderr
        assert said.returncode == 0, report
        assert f"Tested: {number_of_operations()}\n" in said.stdout, report


def number_of_operations() -> int:
    """Count the operations of the document, without the streams: the configuration leaves them."""
    paths = json.loads(PINNED.read_text())["paths"]
    return sum(
        not operation["operationId"].startswith("stream_")
        for path in paths.values()
        for method, operation in path.items()
        if method != "parameters"
    )


def an_upload(base: str, key: str) -> str:
    """Create an upload without bytes; return its id."""
    headers = {"Authorization": f"Bearer {key}", "Tus-Resumable": "1.0.0", "Upload-Length": "9"}
    upload_id: str = httpx2.post(f"{base}/v1/uploads", headers=headers, timeout=30).json()["id"]
    return upload_id


def existing_ids(base: str, key: str, database_url: str) -> tuple[str, str]:
    """Create a dataset and a job, so that some requests do not end with 404."""
    database = Database(database_url)
    dataset = a_ready_dataset(database).dataset_id
    database.dispose()
    spec = {"dataset": dataset, "model": "yolo26n.yaml"}
    headers = {"Authorization": f"Bearer {key}"}
    job = httpx2.post(f"{base}/v1/jobs", json=spec, headers=headers, timeout=30).json()
    return dataset, job["id"]
