"""How an archive is read: options of an upload, and stored bytes that are read again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.core.database import database_now
from app.datasets.tables import DatasetVersion
from tests.api.datasets.uploading import upload, verified
from tests.api.refusals import assert_refused
from tests.datasets.builders import Files, a_yaml, a_zip, label_files
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

ONE_BAD_LABEL = {**label_files("detect", train=9, val=2), "labels/train/0003.txt": b"0 0.5\n"}


def packed(files: Files, folder: Path) -> bytes:
    return a_zip(folder / "upload.zip", files).read_bytes()


def read_again(api: Api, reference: str, body: Mapping[str, Any]) -> dict[str, Any]:
    answer = api.client.post(f"/v1/datasets/{reference}/versions", json=body)
    assert answer.status_code in {200, 202}, answer.text
    view: dict[str, Any] = answer.json()
    return view


def remove_archives(api: Api) -> None:
    """Do what the collector does when archives were not used for a while."""
    with api.database.write() as unit:
        removed = {"upload_removed_at": database_now()}
        unit.session.execute(update(DatasetVersion).values(removed))


class TestOptionsOfAVersion:
    def test_a_version_shows_the_options_with_which_it_is_read(self, api: Api) -> None:
        with api.database.write() as unit:
            options = {"options": {"names": ["a", "b"]}, "declared_task": "obb"}
            unit.session.execute(update(DatasetVersion).values(options))

        view = api.client.get(f"/v1/datasets/{api.rows.version_id}").json()

        assert view["options"] == {"names": ["a", "b"], "task": "obb"}

    def test_options_that_are_too_long_for_a_list_are_not_shown(self, api: Api) -> None:
        names = [f"class {number:05d}" for number in range(2000)]
        with api.database.write() as unit:
            unit.session.execute(update(DatasetVersion).values(options={"names": names}))

        (row,) = api.client.get("/v1/datasets").json()["data"]

        assert row["options"] is None


class TestOptionsOfAnUpload:
    @pytest.mark.slow
    def test_a_bad_image_is_dropped_unless_the_policy_is_strict(
        self, api: Api, tmp_path: Path
    ) -> None:
        archive = packed(ONE_BAD_LABEL, tmp_path)

        lenient = verified(api, upload(api, archive, name="lenient")["id"])
        strict = verified(api, upload(api, archive, name="strict", policy="strict")["id"])

        assert (lenient["state"], lenient["images"]) == ("ready", {"train": 8, "val": 2})
        assert strict["state"] == "invalid"

    @pytest.mark.slow
    def test_more_bad_images_than_the_ratio_allows_are_an_error(
        self, api: Api, tmp_path: Path
    ) -> None:
        archive = packed(ONE_BAD_LABEL, tmp_path)

        view = upload(api, archive, max_bad_ratio="0.01")

        assert verified(api, view["id"])["state"] == "invalid"

    def test_names_are_those_that_were_sent(self, api: Api, tmp_path: Path) -> None:
        files = {**label_files("detect"), "data.yaml": a_yaml(names=None)}

        answer = api.client.post(
            "/v1/datasets",
            params={"name": "mine", "names": ["a", "b, c", "d"]},
            content=packed(files, tmp_path),
        )

        assert verified(api, answer.json()["id"])["classes"] == ["a", "b, c", "d"]

    @pytest.mark.slow
    def test_images_are_divided_by_the_shares_that_were_sent(
        self, api: Api, tmp_path: Path
    ) -> None:
        archive = packed(label_files("detect", train=16, val=4), tmp_path)

        view = upload(api, archive, splits="50:25:25")

        images = verified(api, view["id"])["images"]
        assert sum(images.values()) == 20
        assert images == {"train": 10, "val": 5, "test": 5}

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("splits", "all"),
            ("splits", "1"),
            ("splits", "0:0"),
            ("splits", "9e9:1"),
            ("policy", "kind"),
            ("max_bad_ratio", "2"),
            ("data_yaml", ""),
            ("names", ""),
        ],
    )
    def test_a_value_that_cannot_be_is_refused_by_its_field(
        self, api: Api, field: str, value: str
    ) -> None:
        answer = api.client.post("/v1/datasets", params={"name": "mine", field: value}, content=b"")

        assert_refused(answer, status=422, slug="validation-error")
        assert answer.json()["errors"][0]["pointer"].startswith(f"query/{field}")
        assert "Value error" not in answer.text


class TestStoredBytesReadAgain:
    def test_an_invalid_version_is_mended_without_another_upload(
        self, api: Api, tmp_path: Path
    ) -> None:
        files = {**label_files("detect"), "data.yaml": a_yaml(names=None)}
        view = upload(api, packed(files, tmp_path))
        assert verified(api, view["id"])["state"] == "invalid"

        again = read_again(api, view["id"], {"names": ["a", "b", "c"]})

        mended = verified(api, again["version"])
        assert (mended["number"], mended["state"]) == (2, "ready")
        assert mended["classes"] == ["a", "b", "c"]

    def test_reading_in_a_way_that_was_valid_answers_with_that_version(
        self, api: Api, tmp_path: Path
    ) -> None:
        view = upload(api, packed(label_files("detect", train=8), tmp_path))
        verified(api, view["id"])
        first = read_again(api, view["id"], {"splits": "50:50"})
        verified(api, first["version"])

        second = read_again(api, view["id"], {"splits": "50:50"})

        assert second["version"] == first["version"]

    def test_a_version_of_ones_choice_is_read(self, api: Api, tmp_path: Path) -> None:
        first = upload(api, packed(label_files("detect", train=8), tmp_path))
        upload(api, packed(label_files("detect", train=12), tmp_path))

        again = read_again(api, first["id"], {"version": first["version"], "policy": "strict"})

        assert (again["number"], again["size_bytes"]) == (3, first["size_bytes"])

    def test_a_version_of_another_dataset_is_not_found(self, api: Api, tmp_path: Path) -> None:
        one = upload(api, packed(label_files("detect", train=8), tmp_path), name="one")
        other = upload(api, packed(label_files("detect", train=9), tmp_path), name="other")

        answer = api.client.post(
            f"/v1/datasets/{one['id']}/versions", json={"version": other["version"]}
        )

        assert_refused(answer, status=404, slug="dataset-not-found")

    def test_an_archive_that_is_no_longer_kept_is_gone(self, api: Api, tmp_path: Path) -> None:
        view = upload(api, packed({"readme.md": b"no dataset"}, tmp_path))
        assert verified(api, view["id"])["state"] == "invalid"
        remove_archives(api)

        answer = api.client.post(f"/v1/datasets/{view['id']}/versions", json={"policy": "strict"})

        assert_refused(answer, status=410, slug="upload-removed")

    def test_a_ready_version_without_its_archive_is_made_again_from_its_files(
        self, api: Api, tmp_path: Path
    ) -> None:
        view = upload(api, packed(label_files("detect", train=8), tmp_path))
        first = verified(api, view["id"])
        remove_archives(api)

        again = read_again(api, view["id"], {"policy": "strict"})

        assert verified(api, again["version"])["digest"] == first["digest"]

    def test_options_of_the_version_are_not_applied_to_its_files_again(
        self, api: Api, tmp_path: Path
    ) -> None:
        archive = packed(label_files("detect", train=8), tmp_path)
        changed = {"class_map": {"disc": "ball"}}
        view = upload(api, archive, class_map=json.dumps(changed["class_map"]))
        first = verified(api, view["id"])
        remove_archives(api)

        again = read_again(api, view["id"], {**changed, "policy": "strict"})

        assert first["classes"] == ["ball", "square", "triangle"]
        assert verified(api, again["version"])["digest"] == first["digest"]

    def test_another_task_than_that_of_the_dataset_is_refused(
        self, api: Api, tmp_path: Path
    ) -> None:
        view = upload(api, packed(label_files("detect", train=8), tmp_path))
        verified(api, view["id"])

        answer = api.client.post(f"/v1/datasets/{view['id']}/versions", json={"task": "segment"})

        assert_refused(answer, status=409, slug="dataset-task-mismatch")
