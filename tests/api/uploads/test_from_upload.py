"""`POST /v1/datasets/from-upload` makes a version of a finished upload."""

from pathlib import Path

import pytest
from sqlalchemy import select, update

from app.core.storage import ArtifactStore
from app.uploads.tables import Upload
from tests.api.datasets.uploading import names, shapes_zip, verified
from tests.api.refusals import assert_refused
from tests.api.uploads.tus import create, patch, stored_bytes, upload
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

PATH = "/v1/datasets/from-upload"


class TestFromUpload:
    def test_a_finished_upload_becomes_a_ready_dataset(self, api: Api) -> None:
        content = shapes_zip(0)
        made = upload(api, content, filename="shapes.zip")

        body = {"upload": made["id"], "name": "mine", "splits": "50:50"}
        answer = api.client.post(PATH, json=body)

        view = answer.json()
        assert answer.status_code == 202
        assert answer.headers["Location"] == f"/v1/datasets/{view['id']}"
        assert (view["name"], view["size_bytes"]) == ("mine", len(content))
        assert verified(api, view["id"])["state"] == "ready"
        assert verified(api, view["id"])["images"] == {"train": 3, "val": 3}

    def test_the_bytes_are_not_copied(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        made = upload(api, shapes_zip(0))

        def put_file(_: ArtifactStore, path: Path) -> None:
            raise AssertionError(path)

        with monkeypatch.context() as patched:
            patched.setattr(ArtifactStore, "put_file", put_file)
            answer = api.client.post(PATH, json={"upload": made["id"], "name": "mine"})
            assert answer.status_code == 202

    def test_an_upload_with_the_bytes_of_a_valid_version_answers_with_that_version(
        self, api: Api
    ) -> None:
        first = api.client.post("/v1/datasets?name=mine", content=shapes_zip(0)).json()
        made = upload(api, shapes_zip(0))

        answer = api.client.post(PATH, json={"upload": made["id"], "name": "mine"})

        assert (answer.status_code, answer.json()["version"]) == (200, first["version"])

    def test_an_upload_whose_bytes_a_crash_left_in_the_spool_is_stored_first(
        self, api: Api
    ) -> None:
        content = shapes_zip(0)
        path = create(api, len(content))
        patch(api, path, 0, content[:-1])
        upload_id = path.rpartition("/")[2]
        with (api.context.settings.home / "spool" / "uploads" / upload_id).open("ab") as file:
            file.write(content[-1:])
        with api.database.write() as unit:
            unit.session.execute(update(Upload).values(offset_bytes=len(content)))

        answer = api.client.post(PATH, json={"upload": upload_id, "name": "mine"})

        assert answer.status_code == 202
        with api.database.read() as unit:
            sha256 = unit.session.scalars(select(Upload.sha256)).one()
        assert sha256 is not None
        assert stored_bytes(api, sha256, len(content)) == content

    def test_an_unfinished_upload_is_refused_with_what_is_missing(self, api: Api) -> None:
        path = create(api, 1000)
        patch(api, path, 0, bytes(10))

        answer = api.client.post(PATH, json={"upload": path.rpartition("/")[2], "name": "mine"})

        assert_refused(answer, status=409, slug="upload-incomplete")
        assert (answer.json()["offset_bytes"], answer.json()["size_bytes"]) == (10, 1000)
        assert names(api) == ["shapes"]

    @pytest.mark.parametrize(
        ("change", "slug", "pointer"),
        [
            pytest.param({"upload": "upl_" + "0" * 26}, "unknown-upload", "/upload", id="unknown"),
            pytest.param({"upload": "upl_\x00"}, "unknown-upload", "/upload", id="nul"),
            pytest.param({"name": "../x"}, "validation-error", "/name", id="name"),
            pytest.param({"project": "nope"}, "unknown-project", "/project", id="project"),
            pytest.param({"task": "fly"}, "validation-error", "/task", id="task"),
            pytest.param({"other": 1}, "validation-error", "/other", id="unknown-field"),
        ],
    )
    def test_a_bad_body_is_refused_by_the_name_of_its_field(
        self, shared_api: Api, change: dict[str, object], slug: str, pointer: str
    ) -> None:
        made = upload(shared_api, b"not yet looked at")

        answer = shared_api.client.post(PATH, json={"upload": made["id"], "name": "mine", **change})

        assert_refused(answer, status=422, slug=slug, pointer=pointer)
