"""Files of a job: current checkpoints, files made of its rows, media types, and all as one zip."""

import hashlib
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.artifacts.media_types import BYTES, media_type_of
from app.artifacts.names import ArtifactKind
from app.artifacts.repository import insert_artifact
from app.core.storage import StoredObject
from tests.api.jobs.running_job import Running, claimed
from tests.api.refusals import assert_refused
from tests.counting import statements_to
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

PLOT = b"\x89PNG a plot"
TABLE = b"epoch,loss\n1,0.5\n"


@pytest.fixture
def running(api: Api) -> Running:
    api.submit(customize={"metrics": {"f1": True}})
    return claimed(api)


def add(
    running: Running,
    folder: Path,
    name: str,
    content: bytes,
    kind: ArtifactKind,
    epoch: int | None = None,
) -> StoredObject:
    (folder / "file").write_bytes(content)
    stored = running.api.context.store.put_file(folder / "file")
    with running.api.database.write() as unit:
        insert_artifact(
            unit.session,
            running.hold.job_id,
            stored,
            attempt=1,
            kind=kind,
            name=name,
            epoch=epoch,
        )
    return stored


class TestCheckpoints:
    def test_the_current_weights_are_downloaded_by_their_epoch(
        self, running: Running, tmp_path: Path
    ) -> None:
        add(running, tmp_path, "best.pt", b"best of 2", ArtifactKind.CHECKPOINT, 2)
        add(running, tmp_path, "last.pt", b"last of 3", ArtifactKind.CHECKPOINT, 3)
        client = running.api.client

        listed = client.get(f"{running.path}/checkpoints").json()["data"]

        found = {each["name"]: client.get(each["links"]["download"]).content for each in listed}
        assert found == {"best.pt": b"best of 2", "last.pt": b"last of 3"}
        assert [each["checks"] for each in listed] == [None, None]

    def test_a_training_state_is_not_handed_out(self, running: Running, tmp_path: Path) -> None:
        add(running, tmp_path, "state.pt", b"a state", ArtifactKind.CHECKPOINT, 3)
        client = running.api.client

        (listed,) = client.get(f"{running.path}/checkpoints").json()["data"]

        assert listed["links"] == {}
        answer = client.get(f"{running.path}/checkpoints/3/state.pt")
        assert_refused(answer, status=404, slug="checkpoint-not-found")

    def test_weights_that_newer_ones_replaced_are_not_found(
        self, running: Running, tmp_path: Path
    ) -> None:
        add(running, tmp_path, "best.pt", b"best of 2", ArtifactKind.CHECKPOINT, 2)

        answer = running.api.client.get(f"{running.path}/checkpoints/1/best.pt")

        assert_refused(answer, status=404, slug="checkpoint-not-found")

    def test_a_checkpoint_is_no_artifact(self, running: Running, tmp_path: Path) -> None:
        add(running, tmp_path, "best.pt", b"best of 2", ArtifactKind.CHECKPOINT, 2)

        answer = running.api.client.get(f"{running.path}/artifacts/best.pt")

        assert_refused(answer, status=404, slug="artifact-not-found")


class TestMadeFiles:
    def test_spec_and_plan_are_among_the_files_of_a_running_job(self, running: Running) -> None:
        listed = running.api.client.get(f"{running.path}/artifacts").json()["data"]

        assert [each["name"] for each in listed] == ["plan.json", "spec.json"]
        for each in listed:
            content = running.api.client.get(each["links"]["download"]).content
            assert hashlib.sha256(content).hexdigest() == each["sha256"]
            assert len(content) == each["size_bytes"]

    def test_the_spec_has_the_customizations_and_can_be_posted_again(
        self, running: Running
    ) -> None:
        client = running.api.client

        spec = client.get(f"{running.path}/artifacts/spec.json").json()

        assert spec["customize"] == {"metrics": {"f1": True}}
        assert client.post("/v1/jobs", json=spec).status_code == 201

    def test_the_plan_is_the_answer_of_the_plan(self, running: Running) -> None:
        made = running.api.client.get(f"{running.path}/artifacts/plan.json").json()

        assert made == running.api.client.get(f"{running.path}/plan").json()

    def test_a_file_of_the_trainer_does_not_take_the_name(
        self, running: Running, tmp_path: Path
    ) -> None:
        add(running, tmp_path, "spec.json", b'{"not": "ours"}', ArtifactKind.CONFIG)

        listed = running.api.client.get(f"{running.path}/artifacts").json()["data"]

        assert [each["name"] for each in listed] == ["plan.json", "spec.json"]
        spec = running.api.client.get(f"{running.path}/artifacts/spec.json").json()
        assert "not" not in spec


class TestMediaTypes:
    @pytest.mark.parametrize(
        ("name", "kind", "media_type", "disposition"),
        [
            ("results.csv", ArtifactKind.TABLE, "text/csv; charset=utf-8", "inline"),
            ("results.png", ArtifactKind.PLOT, "image/png", "inline"),
            ("val_batch0_pred.jpg", ArtifactKind.PLOT, "image/jpeg", "inline"),
            ("args.yaml", ArtifactKind.CONFIG, "application/yaml", "attachment"),
            ("best.pt", ArtifactKind.WEIGHTS, "application/octet-stream", "attachment"),
            ("page.html", ArtifactKind.PLOT, "application/octet-stream", "attachment"),
            ("results.png.svg", ArtifactKind.PLOT, "application/octet-stream", "attachment"),
        ],
    )
    def test_names_that_we_write_have_their_type_and_all_others_are_bytes(
        self,
        running: Running,
        tmp_path: Path,
        name: str,
        kind: ArtifactKind,
        media_type: str,
        disposition: str,
    ) -> None:
        add(running, tmp_path, name, PLOT, kind)

        headers = running.api.client.get(f"{running.path}/artifacts/{name}").headers

        assert headers["Content-Type"] == media_type
        assert headers["Content-Disposition"].startswith(disposition)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"].startswith("sandbox")

    @pytest.mark.parametrize(
        "name", ["results.CSV", "a/results.csv", "train_batch1.jpg\n", "xBoxF1_curve.png", ""]
    )
    def test_a_name_that_only_resembles_ours_is_bytes(self, name: str) -> None:
        assert media_type_of(name) is BYTES


class TestZip:
    @pytest.fixture
    def filled(self, running: Running, tmp_path: Path) -> Running:
        add(running, tmp_path, "results.csv", TABLE, ArtifactKind.TABLE)
        add(running, tmp_path, "best.pt", b"weights", ArtifactKind.WEIGHTS)
        add(running, tmp_path, "last.pt", b"a checkpoint", ArtifactKind.CHECKPOINT, 1)
        return running

    def test_the_zip_has_every_file_in_the_order_of_names(self, filled: Running) -> None:
        answer = filled.api.client.get(f"{filled.path}/artifacts.zip")

        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.testzip() is None
            assert archive.namelist() == ["best.pt", "plan.json", "results.csv", "spec.json"]
            assert archive.read("results.csv") == TABLE
            assert json.loads(archive.read("spec.json"))["model"] == "yolo26n.yaml"
        assert answer.headers["Content-Type"] == "application/zip"

    def test_the_zip_of_the_same_files_has_the_same_bytes_and_tag(self, filled: Running) -> None:
        path, client = f"{filled.path}/artifacts.zip", filled.api.client

        first, second = client.get(path), client.get(path)

        assert (first.content, first.headers["ETag"]) == (second.content, second.headers["ETag"])
        known = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (known.status_code, known.content) == (304, b"")

    def test_the_zip_of_a_job_whose_bytes_are_lost_is_refused_before_anything_is_sent(
        self, filled: Running
    ) -> None:
        filled.api.context.store.delete(hashlib.sha256(TABLE).hexdigest())

        answer = filled.api.client.get(f"{filled.path}/artifacts.zip")

        assert_refused(answer, status=410, slug="artifact-bytes-missing")

    def test_a_file_that_was_set_aside_is_in_the_zip(self, filled: Running) -> None:
        digest = hashlib.sha256(TABLE).hexdigest()
        filled.api.context.store.set_aside(
            digest, due_at=datetime.now(UTC), within=timedelta(minutes=1)
        )

        answer = filled.api.client.get(f"{filled.path}/artifacts.zip")

        assert answer.status_code == 200
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.read("results.csv") == TABLE

    def test_the_zip_takes_as_many_statements_for_many_files_as_for_few(
        self, filled: Running, tmp_path: Path
    ) -> None:
        path, client = f"{filled.path}/artifacts.zip", filled.api.client
        with statements_to(filled.api.database) as few:
            client.get(path)
        for number in range(20):
            add(filled, tmp_path, f"train_batch{number}.jpg", PLOT, ArtifactKind.PLOT)

        with statements_to(filled.api.database) as many:
            client.get(path)

        assert many == few
