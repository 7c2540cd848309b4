"""tus 1.0 at `/v1/uploads`: core, creation, checksum, expiration and termination."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
from sqlalchemy import update

from app.core.database import database_now
from app.uploads.creation import begin_upload
from app.uploads.repository import NewUpload
from app.uploads.tables import Upload
from tests.api.refusals import assert_refused
from tests.api.uploads.tus import (
    CHUNK_TYPE,
    TUS,
    create,
    encoded,
    offset_of,
    patch,
    spooled,
    upload,
)
from tests.worlds.rows import an_owner
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

CONTENT = bytes(range(256)) * 40


def expire(api: Api) -> None:
    """Backdate the expiry of every upload."""
    with api.database.write() as unit:
        long_ago = database_now(timedelta(seconds=-1))
        unit.session.execute(update(Upload).values(expires_at=long_ago))


class TestVersion:
    def test_options_report_the_version_the_extensions_and_the_limits(
        self, shared_api: Api
    ) -> None:
        answer = shared_api.client.options("/v1/uploads")

        assert answer.status_code == 204
        assert answer.headers["Tus-Resumable"] == answer.headers["Tus-Version"] == "1.0.0"
        extensions = answer.headers["Tus-Extension"].split(",")
        assert set(extensions) == {"creation", "checksum", "expiration", "termination"}
        assert int(answer.headers["Tus-Max-Size"]) == 64 * 1024**3
        assert answer.headers["Tus-Checksum-Algorithm"] == "sha256,sha1,md5"

    @pytest.mark.parametrize("version", ["0.2.2", "1.0.1", ""])
    @pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "DELETE"])
    def test_another_version_is_refused_with_the_supported_one(
        self, shared_api: Api, method: str, version: str
    ) -> None:
        path = create(shared_api, 10)

        answer = shared_api.client.request(method, path, headers={"Tus-Resumable": version})

        assert answer.status_code == 412
        assert answer.headers["Tus-Version"] == "1.0.0"
        assert offset_of(shared_api, path) == 0

    def test_a_missing_version_is_refused(self, shared_api: Api) -> None:
        answer = shared_api.client.post("/v1/uploads", headers={"Upload-Length": "10"})

        assert_refused(answer, status=412, slug="unsupported-tus-version")

    @pytest.mark.parametrize("path", ["/v1/uploads/upl_nope", "/v1/uploads/x/y"])
    def test_errors_carry_the_version_too(self, shared_api: Api, path: str) -> None:
        answer = shared_api.client.get(path)

        assert (answer.status_code, answer.headers["Tus-Resumable"]) == (404, "1.0.0")

    def test_other_routes_carry_no_version(self, shared_api: Api) -> None:
        assert "Tus-Resumable" not in shared_api.client.get("/v1/datasets").headers


class TestCreation:
    def test_a_created_upload_has_a_location_no_bytes_and_a_time_of_expiry(
        self, shared_api: Api
    ) -> None:
        sent = encoded(filename="photos.zip", project="default", filetype="application/zip")
        headers = {**TUS, "Upload-Length": "1000", "Upload-Metadata": sent}

        answer = shared_api.client.post("/v1/uploads", headers=headers)

        view = answer.json()
        assert answer.status_code == 201
        assert answer.headers["Location"] == f"/v1/uploads/{view['id']}"
        assert (view["filename"], view["project"], view["state"]) == (
            "photos.zip",
            "default",
            "receiving",
        )
        expires = parsedate_to_datetime(answer.headers["Upload-Expires"])
        assert timedelta(hours=23) < expires - datetime.now(UTC) < timedelta(hours=25)

    def test_head_reports_offset_length_and_metadata_as_sent_and_is_not_cached(
        self, shared_api: Api
    ) -> None:
        path = create(shared_api, 1000, filename="a.zip", note="")

        answer = shared_api.client.head(path, headers=TUS)

        assert answer.status_code == 200
        assert answer.headers["Upload-Offset"] == "0"
        assert answer.headers["Upload-Length"] == "1000"
        assert answer.headers["Upload-Metadata"] == encoded(filename="a.zip", note="")
        assert answer.headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize(
        ("headers", "status", "slug", "pointer"),
        [
            pytest.param({}, 422, "validation-error", "header/Upload-Length", id="no-length"),
            *(
                pytest.param(
                    {"Upload-Length": length},
                    422,
                    "validation-error",
                    "header/Upload-Length",
                    id=length,
                )
                for length in ("+12", "1_2", "12.0", " 12.0 ")
            ),
            pytest.param(
                {"Upload-Length": "0"}, 422, "validation-error", "header/Upload-Length", id="empty"
            ),
            pytest.param(
                {"Upload-Length": "-5"},
                422,
                "validation-error",
                "header/Upload-Length",
                id="negative",
            ),
            pytest.param(
                {"Upload-Length": "9" * 5000},
                422,
                "validation-error",
                "header/Upload-Length",
                id="endless-number",
            ),
            pytest.param(
                {"Upload-Length": str(2**63)}, 413, "body-too-large", None, id="beyond-64-bits"
            ),
            pytest.param(
                {"Upload-Defer-Length": "1"},
                422,
                "validation-error",
                "header/Upload-Defer-Length",
                id="deferred-length",
            ),
            pytest.param(
                {"Upload-Length": "5", "Upload-Metadata": "filename %%%"},
                422,
                "validation-error",
                "header/Upload-Metadata",
                id="not-base64",
            ),
            pytest.param(
                {"Upload-Length": "5", "Upload-Metadata": "a YQ==,a YQ=="},
                422,
                "validation-error",
                "header/Upload-Metadata",
                id="key-twice",
            ),
            pytest.param(
                {"Upload-Length": "5", "Upload-Metadata": "a " + "YQ==" * 2000},
                422,
                "validation-error",
                "header/Upload-Metadata",
                id="long-metadata",
            ),
            pytest.param(
                {"Upload-Length": "5", "Upload-Metadata": encoded(filename="a\x00b")},
                422,
                "validation-error",
                "header/Upload-Metadata",
                id="nul",
            ),
            pytest.param(
                {"Upload-Length": "5", "Upload-Metadata": encoded(filename="a\u202eb")},
                422,
                "validation-error",
                "header/Upload-Metadata",
                id="bidi",
            ),
            pytest.param(
                {"Upload-Length": "5", "Upload-Metadata": encoded(project="of another")},
                422,
                "unknown-project",
                "header/Upload-Metadata",
                id="project",
            ),
        ],
    )
    def test_a_bad_creation_is_refused_by_the_name_of_its_header(
        self, shared_api: Api, headers: dict[str, str], status: int, slug: str, pointer: str | None
    ) -> None:
        answer = shared_api.client.post("/v1/uploads", headers={**TUS, **headers})

        assert_refused(answer, status=status, slug=slug, pointer=pointer)
        assert answer.headers["Tus-Resumable"] == "1.0.0"

    def test_a_method_can_be_overridden_by_a_header(self, shared_api: Api) -> None:
        path = create(shared_api, 10)

        answer = shared_api.client.post(path, headers={**TUS, "X-HTTP-Method-Override": "DELETE"})

        assert answer.status_code == 204
        assert shared_api.client.get(path).status_code == 404


class TestExpiration:
    def test_more_bytes_postpone_the_expiry(self, api: Api) -> None:
        path = create(api, 1000)
        with api.database.write() as unit:
            soon = database_now(timedelta(minutes=1))
            unit.session.execute(update(Upload).values(expires_at=soon))

        answer = patch(api, path, 0, CONTENT[:100])

        expires = parsedate_to_datetime(answer.headers["Upload-Expires"])
        assert expires - datetime.now(UTC) > timedelta(hours=23)

    @pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "DELETE"])
    def test_u5_an_expired_upload_is_gone(self, api: Api, method: str) -> None:
        path = create(api, 1000)
        patch(api, path, 0, CONTENT[:100])
        expire(api)

        headers = {**TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "100"}
        answer = api.client.request(method, path, headers=headers)

        assert answer.status_code == 410
        assert api.client.get("/v1/uploads").json()["data"] == []


class TestTermination:
    def test_a_deleted_upload_and_its_bytes_are_gone(self, shared_api: Api) -> None:
        path = create(shared_api, 1000)
        patch(shared_api, path, 0, CONTENT[:100])

        answer = shared_api.client.delete(path, headers=TUS)

        assert (answer.status_code, answer.content) == (204, b"")
        assert shared_api.client.head(path, headers=TUS).status_code == 404
        assert path.rpartition("/")[2] not in spooled(shared_api)

    @pytest.mark.parametrize("name", ["upl_nope", "upl_" + "0" * 26, "%00", "..%2F.id"])
    @pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
    def test_an_upload_that_does_not_exist_is_not_found(
        self, shared_api: Api, method: str, name: str
    ) -> None:
        answer = shared_api.client.request(method, f"/v1/uploads/{name}", headers=TUS)

        assert answer.status_code == 404


class TestOtherUsers:
    def test_an_upload_of_another_user_is_not_found(self, shared_api: Api) -> None:
        other = an_owner(shared_api.database, "of another")
        new = NewUpload(other.project_id, other.user_id, "theirs.zip", 1000, None)
        upload_id = begin_upload(shared_api.context, new).id
        headers = {**TUS, "Content-Type": CHUNK_TYPE, "Upload-Offset": "0"}

        statuses = {
            method: shared_api.client.request(
                method, f"/v1/uploads/{upload_id}", headers=headers
            ).status_code
            for method in ("GET", "HEAD", "PATCH", "DELETE")
        }
        body = {"upload": upload_id, "name": "mine"}
        dataset = shared_api.client.post("/v1/datasets/from-upload", json=body)

        assert set(statuses.values()) == {404}
        assert dataset.status_code == 422
        listed = shared_api.client.get("/v1/uploads?limit=200").json()["data"]
        assert upload_id not in [it["id"] for it in listed]


class TestList:
    def test_the_list_has_unfinished_and_finished_uploads_newest_first(self, api: Api) -> None:
        unfinished = create(api, 1000, filename="one.zip")
        finished = upload(api, CONTENT, filename="two.zip")

        page = api.client.get("/v1/uploads").json()

        assert [it["filename"] for it in page["data"]] == ["two.zip", "one.zip"]
        assert [it["state"] for it in page["data"]] == ["finished", "receiving"]
        assert page["data"][0] == finished
        assert page["data"][1]["links"]["self"] == unfinished

    def test_a_list_of_uploads_is_paged_without_loss(self, api: Api) -> None:
        made = [create(api, 1000) for _ in range(3)]

        first = api.client.get("/v1/uploads", params={"limit": 2}).json()
        second = api.client.get("/v1/uploads", params={"limit": 2, "cursor": first["next"]}).json()

        seen = [it["links"]["self"] for it in [*first["data"], *second["data"]]]
        assert seen == list(reversed(made))

    @pytest.mark.parametrize(
        ("query", "status"), [("limit=0", 422), ("cursor=forged", 400), ("state=x", 422)]
    )
    def test_a_bad_query_of_uploads_is_refused(
        self, shared_api: Api, query: str, status: int
    ) -> None:
        assert shared_api.client.get(f"/v1/uploads?{query}").status_code == status
