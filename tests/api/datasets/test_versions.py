"""Versions that share bytes: their files, how they differ, and a version made from another."""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.api.datasets.uploading import DAMAGED_LINES, upload, verified
from tests.api.refusals import assert_refused
from tests.datasets.builders import Files, a_zip, an_image, class_files, label_files
from tests.datasets.stored_uploads import packs_of
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

NEW_IMAGE = {
    "images/train/new.jpg": an_image(77),
    "labels/train/new.txt": b"0 0.5 0.5 0.25 0.25\n",
}


@pytest.fixture(scope="module")
def shapes(shared_api: Api, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A verified version on the module's server, for tests that only read it."""
    folder = tmp_path_factory.mktemp("shapes")
    return uploaded(shared_api, label_files("detect"), folder, name="shapes of the module")


@pytest.fixture(scope="module")
def outlines(shared_api: Api, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same with outlines."""
    folder = tmp_path_factory.mktemp("outlines")
    files = label_files("segment")
    return uploaded(shared_api, files, folder, name="outlines", task="segment")


def uploaded(api: Api, files: Files, folder: Path, **query: str) -> dict[str, Any]:
    """Upload files and wait until they are verified."""
    archive = a_zip(folder / "upload.zip", files).read_bytes()
    view = upload(api, archive, **query)
    return verified(api, view["version"])


def derived(api: Api, dataset_id: str, **body: object) -> dict[str, Any]:
    answer = api.client.post(f"/v1/datasets/{dataset_id}/versions", json=body)
    assert answer.status_code == 202, answer.text
    return verified(api, answer.json()["version"])


def listed(api: Api, reference: str, what: str, **query: str | int) -> list[dict[str, Any]]:
    """Return all items of a list, in pages of three."""
    items, cursor = [], None
    while True:
        asked: dict[str, str | int] = {"limit": 3, **query}
        asked |= {"cursor": cursor} if cursor else {}
        answer = api.client.get(f"/v1/datasets/{reference}/{what}", params=asked)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        items += page["data"]
        cursor = page["next"]
        if cursor is None:
            assert not page["has_more"]
            return items


def pack_sizes(api: Api, version_id: str) -> list[int]:
    with api.context.database.read() as unit:
        return [pack.size_bytes for pack in packs_of(unit.session, version_id)]


def changed(view: dict[str, Any]) -> dict[str, int]:
    return {kind: count for kind, count in view["changes"].items() if count}


class TestSharedBytes:
    def test_a_version_adds_a_pack_with_only_its_new_files(self, api: Api, tmp_path: Path) -> None:
        files = label_files("detect")
        first = uploaded(api, files, tmp_path)

        second = uploaded(api, files | NEW_IMAGE, tmp_path)

        (old,) = pack_sizes(api, first["version"])
        assert old > sum(map(len, files.values())) * 0.9
        new_bytes = sum(map(len, NEW_IMAGE.values()))
        assert min(pack_sizes(api, second["version"])) < new_bytes + 1000
        assert len(pack_sizes(api, second["version"])) == 2
        assert changed(second) == {"added": 1}

    def test_a_version_is_verified_although_the_manifest_before_it_is_lost(
        self, api: Api, tmp_path: Path
    ) -> None:
        first = uploaded(api, label_files("detect"), tmp_path)
        api.context.store.delete(first["digest"])

        second = uploaded(api, label_files("detect") | NEW_IMAGE, tmp_path)

        assert (second["state"], second["changes"]) == ("ready", None)

    def test_a_version_without_new_files_adds_no_pack(self, api: Api, tmp_path: Path) -> None:
        files = label_files("detect")
        first = uploaded(api, files, tmp_path)
        fewer = {path: content for path, content in files.items() if "0003" not in path}

        second = uploaded(api, fewer, tmp_path)

        assert pack_sizes(api, second["version"]) == pack_sizes(api, first["version"])
        assert changed(second) == {"removed": 1}

    def test_another_dataset_of_the_project_shares_the_bytes(
        self, api: Api, tmp_path: Path
    ) -> None:
        first = uploaded(api, label_files("detect"), tmp_path)

        other = uploaded(api, label_files("detect"), tmp_path, name="other")

        assert pack_sizes(api, other["version"]) == pack_sizes(api, first["version"])
        assert other["digest"] == first["digest"]


class TestMadeFromAVersion:
    def test_removed_images_are_gone_with_their_labels(self, api: Api, tmp_path: Path) -> None:
        first = uploaded(api, label_files("detect"), tmp_path)

        second = derived(api, first["id"], removed=["images/train/0003.jpg"])

        assert (second["state"], second["number"]) == ("ready", 2)
        assert second["images"] == {"train": 7, "val": 4}
        paths = {file["path"] for file in listed(api, second["version"], "files")}
        assert not {path for path in paths if "0003" in path}
        assert changed(second) == {"removed": 1}

    def test_a_class_without_images_stays_a_class(self, api: Api, tmp_path: Path) -> None:
        files = class_files()
        first = uploaded(api, files, tmp_path, task="classify")
        discs = [path for path in files if path.startswith("train/disc/")]

        second = derived(api, first["id"], removed=discs)

        assert second["classes"] == first["classes"]

    def test_a_path_that_the_version_lacks_is_named(
        self, shared_api: Api, shapes: dict[str, Any]
    ) -> None:
        answer = shared_api.client.post(
            f"/v1/datasets/{shapes['id']}/versions", json={"removed": ["images/train/none.jpg"]}
        )

        assert_refused(answer, status=422, slug="unknown-files")
        assert "images/train/none.jpg" in answer.text

    def test_a_version_that_is_not_ready_has_no_files_to_change(
        self, api: Api, tmp_path: Path
    ) -> None:
        first = uploaded(api, {"a.txt": b"nothing"}, tmp_path)

        answer = api.client.post(
            f"/v1/datasets/{first['id']}/versions", json={"removed": ["images/train/a.jpg"]}
        )

        assert_refused(answer, status=409, slug="dataset-not-ready")


class TestWithAnUpload:
    def test_files_of_an_upload_are_added(self, api: Api, tmp_path: Path) -> None:
        files = label_files("detect")
        first = uploaded(api, files, tmp_path)
        more = sent(api, NEW_IMAGE, tmp_path)

        second = derived(api, first["id"], upload=more)

        whole = uploaded(api, files | NEW_IMAGE, tmp_path, name="whole")
        assert second["digest"] == whole["digest"]
        assert changed(second) == {"added": 1}

    def test_files_are_added_and_removed_at_once(self, api: Api, tmp_path: Path) -> None:
        first = uploaded(api, label_files("detect"), tmp_path)
        more = sent(api, NEW_IMAGE, tmp_path)

        second = derived(api, first["id"], upload=more, removed=["images/train/0003.jpg"])

        assert changed(second) == {"added": 1, "removed": 1}

    def test_an_upload_that_nobody_made_is_refused(
        self, shared_api: Api, shapes: dict[str, Any]
    ) -> None:
        answer = shared_api.client.post(
            f"/v1/datasets/{shapes['id']}/versions",
            json={"upload": "upl_01J9Z3K7Q4M8N5P6R7S8T9V0WX"},
        )

        assert_refused(answer, status=422, slug="unknown-upload")

    def test_a_list_of_files_is_completed_by_an_upload(self, api: Api, tmp_path: Path) -> None:
        files = label_files("detect")
        first = uploaded(api, files, tmp_path)
        listing = lines_of(listed(api, first["id"], "files")) + lines_of(described(NEW_IMAGE))
        more = sent(api, NEW_IMAGE, tmp_path)

        answer = api.client.post(
            "/v1/datasets/from-files", params={"name": "more", "upload": more}, content=listing
        )

        view = verified(api, answer.json()["version"])
        whole = uploaded(api, files | NEW_IMAGE, tmp_path, name="whole")
        assert view["digest"] == whole["digest"]


class TestLists:
    def test_versions_are_listed_newest_first(self, api: Api, tmp_path: Path) -> None:
        first = uploaded(api, label_files("detect"), tmp_path)
        for path in ("0001", "0002", "0003"):
            removed = [f"images/train/{path}.jpg"]
            derived(api, first["id"], version=first["version"], removed=removed)

        numbers = [view["number"] for view in listed(api, first["id"], "versions")]

        assert numbers == [4, 3, 2, 1]

    def test_files_are_listed_with_their_digests(
        self, shared_api: Api, shapes: dict[str, Any]
    ) -> None:
        files = label_files("detect")

        found = {file["path"]: file for file in listed(shared_api, shapes["id"], "files")}

        assert list(found) == sorted(files)
        image = found["images/train/0001.jpg"]
        content = files["images/train/0001.jpg"]
        assert image["sha256"] == hashlib.sha256(content).hexdigest()
        assert (image["width"], image["height"]) == (64, 64)
        assert image["label"] == found["labels/train/0001.txt"]["sha256"]
        assert found["data.yaml"]["width"] is None

    def test_differences_are_listed_by_path(self, api: Api, tmp_path: Path) -> None:
        files = label_files("detect")
        first = uploaded(api, files, tmp_path)
        other = {
            **{path: content for path, content in files.items() if "0004" not in path},
            **NEW_IMAGE,
            "labels/train/0002.txt": b"1 0.5 0.5 0.125 0.25\n",
            "images/val/1001.jpg": an_image(500),
        }
        second = uploaded(api, other, tmp_path)

        found = listed(api, first["id"], "diff", after=second["version"])

        assert [(item["path"], item["change"]) for item in found] == [
            ("images/train/0002.jpg", "relabelled"),
            ("images/train/0004.jpg", "removed"),
            ("images/train/new.jpg", "added"),
            ("images/val/1001.jpg", "replaced"),
        ]
        assert changed(second) == {"relabelled": 1, "removed": 1, "added": 1, "replaced": 1}

    def test_the_first_version_has_none_before_it(
        self, shared_api: Api, shapes: dict[str, Any]
    ) -> None:
        answer = shared_api.client.get(f"/v1/datasets/{shapes['id']}/diff")

        assert_refused(answer, status=404, slug="no-earlier-version")


class TestFromFiles:
    def test_a_dataset_of_known_files_needs_no_upload(
        self, shared_api: Api, shapes: dict[str, Any]
    ) -> None:
        stored = listed(shared_api, shapes["id"], "files")

        answer = shared_api.client.post(
            "/v1/datasets/from-files", params={"name": "same"}, content=lines_of(stored)
        )

        assert answer.status_code == 202, answer.text
        view = verified(shared_api, answer.json()["version"])
        assert (view["state"], view["digest"]) == ("ready", shapes["digest"])

    def test_files_that_the_project_lacks_are_listed(
        self, shared_api: Api, shapes: dict[str, Any]
    ) -> None:
        new = described(NEW_IMAGE)
        listing = lines_of(listed(shared_api, shapes["id"], "files")) + lines_of(new)

        answer = shared_api.client.post("/v1/datasets/missing-files", content=listing)

        assert [json.loads(line) for line in answer.text.splitlines()] == new

    def test_a_list_with_missing_files_is_refused(self, shared_api: Api) -> None:
        line = {"path": "images/train/a.jpg", "sha256": "0" * 64, "size": 9}

        answer = shared_api.client.post(
            "/v1/datasets/from-files", params={"name": "same"}, content=lines_of([line])
        )

        assert_refused(answer, status=409, slug="files-missing")

    @pytest.mark.parametrize("body", DAMAGED_LINES)
    def test_a_damaged_line_is_named(self, shared_api: Api, body: bytes) -> None:
        good = lines_of([{"path": "a.jpg", "sha256": "0" * 64, "size": 9}])

        answer = shared_api.client.post("/v1/datasets/missing-files", content=good + body)

        assert_refused(answer, status=422, slug="listing-invalid")
        assert "Line 2" in answer.text

    def test_a_path_may_have_quotes(self, shared_api: Api) -> None:
        line = {"path": 'images/"a".jpg', "sha256": "0" * 64, "size": 9}

        answer = shared_api.client.post("/v1/datasets/missing-files", content=lines_of([line]))

        assert json.loads(answer.text) == line


class TestExport:
    def test_an_export_has_the_files_of_the_version(
        self, shared_api: Api, shapes: dict[str, Any]
    ) -> None:
        exported = shared_api.client.get(f"/v1/datasets/{shapes['id']}/export")

        with zipfile.ZipFile(io.BytesIO(exported.content)) as archive:
            assert archive.testzip() is None
            found = {
                name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()
            }
        stored = listed(shared_api, shapes["id"], "files")
        assert found == {file["path"]: file["sha256"] for file in stored}

    @pytest.mark.parametrize("kind", ["yolo", "coco"])
    def test_an_export_comes_in_again_as_the_same_version(
        self, shared_api: Api, outlines: dict[str, Any], kind: str
    ) -> None:
        path = f"/v1/datasets/{outlines['id']}/export"
        exported = shared_api.client.get(path, params={"format": kind})

        again = upload(shared_api, exported.content, name=f"again from {kind}")

        came_in = verified(shared_api, again["version"])
        assert (came_in["state"], came_in["classes"]) == ("ready", outlines["classes"])
        if kind == "yolo":
            assert came_in["digest"] == outlines["digest"]
        assert came_in["images"] == outlines["images"]

    def test_the_same_version_gives_the_same_bytes(
        self, shared_api: Api, shapes: dict[str, Any]
    ) -> None:
        path = f"/v1/datasets/{shapes['id']}/export?format=coco"

        first, second = shared_api.client.get(path), shared_api.client.get(path)

        assert first.content == second.content

    def test_classes_of_folders_have_no_form_in_coco(self, shared_api: Api, tmp_path: Path) -> None:
        view = uploaded(shared_api, class_files(), tmp_path, task="classify", name="folders")

        answer = shared_api.client.get(
            f"/v1/datasets/{view['id']}/export", params={"format": "coco"}
        )

        assert_refused(answer, status=422, slug="export-impossible")


def described(files: Files) -> list[dict[str, Any]]:
    """Return the lines of a list of files."""
    return [
        {"path": path, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for path, content in files.items()
    ]


def sent(api: Api, files: Files, folder: Path) -> str:
    """Send an archive as a resumable upload; return the id of the upload."""
    content = a_zip(folder / "more.zip", files).read_bytes()
    tus = {"Tus-Resumable": "1.0.0"}
    created = api.client.post("/v1/uploads", headers={**tus, "Upload-Length": str(len(content))})
    assert created.status_code == 201, created.text
    place = created.headers["Location"]
    kind = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    assert api.client.patch(place, headers=tus | kind, content=content).status_code == 204
    return str(place.rpartition("/")[2])


def lines_of(files: list[dict[str, Any]]) -> bytes:
    """Return the list of files, one a line."""
    lines = [
        {
            "path": file["path"],
            "sha256": file["sha256"],
            "size": file.get("size", file.get("size_bytes")),
        }
        for file in files
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()
