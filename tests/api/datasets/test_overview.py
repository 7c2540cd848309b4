"""Look at a dataset: samples with previews, statistics and duplicates of a version."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import pytest
from sqlalchemy import update

from app.core.ids import new_id
from app.datasets.tables import DatasetVersion, VersionState
from tests.api.datasets.uploading import upload, verified
from tests.api.refusals import assert_refused
from tests.datasets.builders import NAMES, Files, a_zip, an_image, class_files, label_files
from tests.datasets.stored_uploads import an_upload
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

View = Mapping[str, Any]


def a_scene(quality: int) -> bytes:
    """Return one picture, whose bytes differ by their quality."""
    patches = np.random.default_rng(1).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    pixels = cv2.resize(patches, (320, 240), interpolation=cv2.INTER_CUBIC)
    _, content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return content.tobytes()


COPIES: Files = {
    **label_files("detect", train=20, val=3),
    "images/train/copy.jpg": an_image(1),
    "images/val/copy.jpg": an_image(2),
    "images/val/copy-of-val.jpg": an_image(1000),
    "images/train/scene.jpg": a_scene(90),
    "images/val/scene-again.jpg": a_scene(70),
}


def uploaded(api: Api, files: Files, folder: pytest.TempPathFactory) -> View:
    archive = a_zip(folder.mktemp("upload") / "upload.zip", files).read_bytes()
    view = verified(api, upload(api, archive, name=new_id("name"))["id"])
    assert view["state"] == "ready"
    return view


@pytest.fixture(scope="module")
def detect(shared_api: Api, tmp_path_factory: pytest.TempPathFactory) -> View:
    return uploaded(shared_api, COPIES, tmp_path_factory)


@pytest.fixture(scope="module")
def classify(shared_api: Api, tmp_path_factory: pytest.TempPathFactory) -> View:
    return uploaded(shared_api, class_files(), tmp_path_factory)


def a_ready_version(api: Api, **columns: object) -> View:
    """Add a ready version that was not verified here."""
    version = an_upload(api.database, api.rows, name=new_id("name"))
    ready = {"state": VersionState.READY, "manifest_digest": "ab" * 32, **columns}
    with api.database.write() as unit:
        found = update(DatasetVersion).where(DatasetVersion.id == version.id)
        unit.session.execute(found.values(**ready))
    return {"id": version.dataset_id, "version": version.id}


def read(api: Api, view: View, what: str, **query: str | int) -> dict[str, Any]:
    answer = api.client.get(f"/v1/datasets/{view['id']}/{what}", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


class TestSamples:
    def test_a_sample_has_its_objects_as_numbers_and_a_preview(
        self, shared_api: Api, detect: View
    ) -> None:
        found = read(shared_api, detect, "samples", split="train", limit=2, **{"class": NAMES[0]})

        assert (found["available"], len(found["data"])) == (True, 2)
        sample = found["data"][0]
        assert sample["file"].startswith("images/train/0")
        assert (sample["width"], sample["height"], sample["split"]) == (64, 64, "train")
        assert sample["objects_total"] == len(sample["objects"])
        assert 0 in [drawn["class"] for drawn in sample["objects"]]
        assert {*sample["objects"][0]} == {"class", "box"}
        assert sample["preview"]["href"].startswith(f"/v1/datasets/{detect['version']}/previews/")

    def test_an_image_of_a_class_folder_has_its_class_alone(
        self, shared_api: Api, classify: View
    ) -> None:
        found = read(shared_api, classify, "samples", **{"class": NAMES[1]})

        assert {sample["file"].split("/")[1] for sample in found["data"]} == {NAMES[1]}
        assert [sample["objects"] for sample in found["data"]] == [[{"class": 1}]] * found["total"]

    def test_a_seed_gives_the_same_images_again_and_another_seed_others(
        self, shared_api: Api, detect: View
    ) -> None:
        def files(seed: int) -> list[str]:
            found = read(shared_api, detect, "samples", seed=seed, limit=5)
            return [sample["file"] for sample in found["data"]]

        assert files(1) == files(1)
        assert files(1) != files(2)

    def test_a_class_that_does_not_exist_is_refused_with_those_that_do(
        self, shared_api: Api, detect: View
    ) -> None:
        answer = shared_api.client.get(
            f"/v1/datasets/{detect['id']}/samples", params={"class": "cat"}
        )

        assert_refused(answer, status=422, slug="unknown-class", pointer="query/class")
        assert NAMES[0] in answer.json()["detail"]


class TestPreviews:
    def test_a_preview_is_a_jpeg_that_may_be_kept_and_runs_nothing(
        self, shared_api: Api, detect: View
    ) -> None:
        preview = read(shared_api, detect, "samples", limit=1)["data"][0]["preview"]

        answer = shared_api.client.get(preview["href"])

        pixels = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        assert pixels.shape == (preview["height"], preview["width"], 3)
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("sandbox")
        assert "immutable" in answer.headers["cache-control"]

    def test_a_preview_is_sent_by_range_and_not_twice(self, shared_api: Api, detect: View) -> None:
        href = read(shared_api, detect, "samples", limit=1)["data"][0]["preview"]["href"]
        whole = shared_api.client.get(href)

        part = shared_api.client.get(href, headers={"Range": "bytes=2-9"})
        again = shared_api.client.get(href, headers={"If-None-Match": whole.headers["etag"]})

        assert (part.status_code, part.content) == (206, whole.content[2:10])
        assert again.status_code == 304

    def test_a_preview_of_the_newest_version_may_change(
        self, shared_api: Api, detect: View
    ) -> None:
        answer = shared_api.client.get(f"/v1/datasets/{detect['id']}/previews/0")

        assert answer.headers["cache-control"] == "private, no-cache"

    def test_a_number_without_a_preview_is_not_found(self, shared_api: Api, detect: View) -> None:
        answer = shared_api.client.get(f"/v1/datasets/{detect['id']}/previews/500")

        assert_refused(answer, status=404, slug="preview-not-found")


class TestStatistics:
    def test_classes_are_counted_and_their_weights_implied(
        self, shared_api: Api, detect: View
    ) -> None:
        found = read(shared_api, detect, "statistics")["statistics"]

        counts = found["instances"]["train"]
        assert found["classes"] == list(NAMES)
        assert len(counts) == len(NAMES)
        weights = found["implied_weights"]
        assert weights["inverse_frequency"] == {
            name: pytest.approx(max(counts) / count)
            for name, count in zip(NAMES, counts, strict=True)
        }
        assert sum(weights["balanced"].values()) == pytest.approx(len(NAMES))
        assert found["empty_images"]["val"]["count"] == 3
        centres = found["boxes"]["centres"]
        assert sum(map(sum, centres)) == sum(map(sum, found["instances"].values()))

    def test_a_classification_dataset_has_no_boxes_and_no_balanced_weights(
        self, shared_api: Api, classify: View
    ) -> None:
        found = read(shared_api, classify, "statistics")["statistics"]

        assert (found["boxes"], found["implied_weights"]["balanced"]) == (None, None)
        assert found["instances"] == found["images"]


class TestDuplicates:
    def test_equal_images_are_listed_page_by_page(self, shared_api: Api, detect: View) -> None:
        first = read(shared_api, detect, "duplicates", limit=1)
        second = read(shared_api, detect, "duplicates", limit=1, cursor=first["next"])
        third = read(shared_api, detect, "duplicates", limit=1, cursor=second["next"])

        assert (first["total"], first["has_more"], third["has_more"]) == (3, True, False)
        assert [page["data"][0]["files"] for page in (first, second, third)] == [
            ["images/train/0002.jpg", "images/val/copy.jpg"],
            ["images/train/0001.jpg", "images/train/copy.jpg"],
            ["images/val/1000.jpg", "images/val/copy-of-val.jpg"],
        ]

    def test_images_that_look_alike_are_listed_and_reported(
        self, shared_api: Api, detect: View
    ) -> None:
        groups = read(shared_api, detect, "duplicates", kind="near")["data"]

        assert ["images/train/scene.jpg", "images/val/scene-again.jpg"] in [
            group["files"] for group in groups
        ]
        totals = read(shared_api, detect, "report")["report"]["finding_totals"]
        assert totals["split-lookalike"] == 1

    def test_a_cursor_of_another_kind_is_refused(self, shared_api: Api, detect: View) -> None:
        cursor = read(shared_api, detect, "duplicates", limit=1)["next"]

        answer = shared_api.client.get(
            f"/v1/datasets/{detect['id']}/duplicates", params={"kind": "near", "cursor": cursor}
        )

        assert_refused(answer, status=400, slug="bad-cursor")


EMPTY_ANSWERS: Mapping[str, Mapping[str, object]] = {
    "samples": {"data": [], "total": 0},
    "statistics": {"statistics": None},
    "duplicates": {"data": [], "total": 0, "next": None, "has_more": False},
}


class TestUnavailable:
    @pytest.mark.parametrize("what", EMPTY_ANSWERS)
    def test_a_version_of_an_earlier_release_has_nothing_and_says_so(
        self, shared_api: Api, what: str
    ) -> None:
        view = a_ready_version(shared_api)

        found = read(shared_api, view, what)

        assert found == {
            **view,
            "available": False,
            "reason": "earlier_release",
            **EMPTY_ANSWERS[what],
        }
        preview = shared_api.client.get(f"/v1/datasets/{view['id']}/previews/0")
        assert_refused(preview, status=404, slug="preview-not-found")

    def test_an_invalid_version_has_nothing_to_show(self, shared_api: Api) -> None:
        view = a_ready_version(shared_api, state=VersionState.INVALID, manifest_digest=None)

        assert read(shared_api, view, "statistics")["reason"] == "invalid"

    def test_a_file_that_the_store_has_lost_is_gone(self, shared_api: Api) -> None:
        view = a_ready_version(shared_api, overview_sha256="0" * 64)

        answer = shared_api.client.get(f"/v1/datasets/{view['id']}/statistics")

        assert_refused(answer, status=410, slug="dataset-bytes-missing")

    def test_a_damaged_file_is_no_crash(
        self, shared_api: Api, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        damaged = tmp_path_factory.mktemp("damaged") / "file"
        damaged.write_bytes(b"\0" * 4000)
        stored = shared_api.context.store.put_file(damaged)
        view = a_ready_version(shared_api, overview_sha256=stored.sha256)

        answer = shared_api.client.get(f"/v1/datasets/{view['id']}/samples")

        assert_refused(answer, status=500, slug="artifact-corrupt")

    def test_a_version_of_another_dataset_is_not_found(self, shared_api: Api) -> None:
        one, other = a_ready_version(shared_api), a_ready_version(shared_api)

        answer = shared_api.client.get(
            f"/v1/datasets/{one['id']}/samples", params={"version": other["version"]}
        )

        assert_refused(answer, status=404, slug="dataset-not-found")
