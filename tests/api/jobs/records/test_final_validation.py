"""Curves, worst images and previews of plots over HTTP."""

import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from app.artifacts.names import CURVES, WORST_IMAGES, ArtifactKind, preview_name
from app.artifacts.repository import artifacts_of, forget_shown, insert_artifact
from app.artifacts.validation import Curves, WorstImages
from app.artifacts.worst_images import PreviewContent, write_bundle
from tests.api.asked import sql_on
from tests.api.jobs.running_job import Running, claimed
from tests.api.refusals import assert_refused
from tests.worlds.server import Api

pytestmark = pytest.mark.mostly_sqlite

JPEG = b"\xff\xd8\xff a picture that no server decodes"
OTHER_JPEG = b"\xff\xd8\xff another one"
CURVE = {"x": [0.0, 1.0], "mean": [0.5, 0.0], "classes": {"circle": [0.5, 0.0]}}
SHOWN = Curves.model_validate(
    {**dict.fromkeys(("pr", "f1", "precision", "recall"), CURVE), "classes_total": 2}
)
IMAGES = [
    {
        "file": "images/val/a.png",
        "width": 64,
        "height": 48,
        "badness": 3.5,
        "missed": 1,
        "false": 1,
        "confused": 1,
        "classes": [
            {"class": 0, "missed": 1, "confused": 1},
            {"class": 1, "false": 1, "confused": 1},
        ],
        "truths": [
            {"class": 0, "box": [0.5, 0.5, 0.1, 0.1], "outcome": "missed"},
            {"class": 0, "box": [0.2, 0.2, 0.1, 0.1], "outcome": "confused", "predicted_class": 1},
        ],
        "truths_total": 2,
        "predictions": [
            {
                "class": 1,
                "confidence": 0.9,
                "box": [0.2, 0.2, 0.1, 0.1],
                "outcome": "confused",
                "true_class": 0,
            },
            {"class": 1, "confidence": 0.5, "box": [0.8, 0.8, 0.1, 0.1], "outcome": "false"},
        ],
        "predictions_total": 2,
    },
    {
        "file": "images/val/b.png",
        "badness": 2,
        "missed": 2,
        "classes": [{"class": 1, "missed": 2}],
    },
    {"file": "images/val/c.png", "badness": 1, "false": 1, "classes": [{"class": 0, "false": 1}]},
]
WORST = WorstImages.model_validate({"conf": 0.25, "iou": 0.5, "images_total": 40, "images": IMAGES})


@dataclass(frozen=True)
class Shown:
    """A job with everything that a final validation shows, and one of an earlier release."""

    running: Running
    earlier: Running

    def get(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        answer: httpx2.Response = self.running.api.client.get(
            f"{self.running.path}{path}", params=params, headers=headers
        )
        return answer

    def numbers(self, query: Mapping[str, str]) -> list[int]:
        """Return the numbers of all images under a filter, page by page."""
        found: list[int] = []
        page = self.get("/images/worst", params=query).json()
        found += [image["number"] for image in page["data"]]
        while page["has_more"]:
            page = self.get("/images/worst", params={**query, "cursor": page["next"]}).json()
            found += [image["number"] for image in page["data"]]
        return found


@pytest.fixture(scope="module")
def shown(shared_api: Api, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    folder = tmp_path_factory.mktemp("shown")
    shared_api.submit()
    earlier = claimed(shared_api)
    shared_api.submit()
    running = claimed(shared_api)
    bundle = folder / "bundle"
    with bundle.open("wb") as file:
        write_bundle(file, WORST, {0: PreviewContent(JPEG, 64, 48)})
    packed = gzip.compress(SHOWN.model_dump_json().encode())
    _add(running, folder, CURVES, ArtifactKind.VALIDATION, packed)
    _add(running, folder, WORST_IMAGES, ArtifactKind.VALIDATION, bundle.read_bytes())
    _add(running, folder, "PR_curve.png", ArtifactKind.PLOT, b"a plot")
    _add(running, folder, "val_batch0_pred.jpg", ArtifactKind.PLOT, b"another")
    name = preview_name("PR_curve.png")
    _add(running, folder, name, ArtifactKind.PREVIEW, OTHER_JPEG, size=(520, 347))
    return Shown(running, earlier)


class TestCurves:
    def test_curves_are_what_was_stored(self, shown: Shown) -> None:
        answer = shown.get("/curves")

        assert answer.json() == json.loads(SHOWN.model_dump_json())
        assert answer.headers["Content-Type"] == "application/json"

    @pytest.mark.parametrize(
        ("offered", "encoding"), [("gzip, br", "gzip"), ("br, gzip;q=0", None), ("identity", None)]
    )
    def test_curves_are_sent_in_gzip_to_clients_that_read_it(
        self, shown: Shown, offered: str, encoding: str | None
    ) -> None:
        answer = shown.get("/curves", headers={"Accept-Encoding": offered})

        assert answer.headers.get("Content-Encoding") == encoding
        assert answer.headers["Vary"] == "Accept-Encoding"
        is_packed = int(answer.headers["Content-Length"]) < len(answer.content)
        assert is_packed == (encoding is not None)
        assert answer.json() == json.loads(SHOWN.model_dump_json())

    def test_curves_that_the_caller_has_are_not_sent_again(self, shown: Shown) -> None:
        tag = shown.get("/curves").headers["ETag"]

        answer = shown.get("/curves", headers={"If-None-Match": tag})

        assert (answer.status_code, answer.content) == (304, b"")

    def test_a_job_without_curves_has_none(self, shown: Shown) -> None:
        answer = shown.running.api.client.get(f"{shown.earlier.path}/curves")

        assert_refused(answer, status=404, slug="curves-not-found")

    def test_curves_cost_two_statements(self, shown: Shown) -> None:
        with sql_on(shown.running.api.database) as asked:
            shown.get("/curves")

        assert asked.reads == 2

    @pytest.mark.parametrize(
        "content",
        [b"no gzip", gzip.compress(b" " * (16 * 1024**2 + 1)), gzip.compress(b"{}")[:-4]],
        ids=["no gzip", "too large", "cut off"],
    )
    def test_a_file_that_is_no_curves_is_damaged(
        self, shared_api: Api, tmp_path: Path, content: bytes
    ) -> None:
        shared_api.submit()
        running = claimed(shared_api)
        _add(running, tmp_path, CURVES, ArtifactKind.VALIDATION, content)

        answer = shared_api.client.get(f"{running.path}/curves")

        assert_refused(answer, status=500, slug="artifact-corrupt")


class TestWorstImages:
    def test_an_image_has_its_errors_with_names_of_classes(self, shown: Shown) -> None:
        page = shown.get("/images/worst").json()

        first = page["data"][0]
        assert (page["conf"], page["iou"], page["images_total"], page["total"]) == (
            0.25,
            0.5,
            40,
            3,
        )
        assert (first["number"], first["file"], first["badness"]) == (1, "images/val/a.png", 3.5)
        assert first["classes"][0] == {"class": "circle", "missed": 1, "false": 0, "confused": 1}
        assert first["truths"][1] == {
            "class": "circle",
            "box": [0.2, 0.2, 0.1, 0.1],
            "corners": None,
            "outcome": "confused",
            "predicted_class": "square",
        }
        assert first["predictions"][0]["true_class"] == "circle"
        assert (first["preview"]["width"], first["preview"]["height"]) == (64, 48)
        assert page["data"][1]["preview"] is None

    @pytest.mark.parametrize(
        ("query", "numbers"),
        [
            ({}, [1, 2, 3]),
            ({"class": "circle"}, [1, 3]),
            ({"kind": "missed"}, [1, 2]),
            ({"kind": "false"}, [1, 3]),
            ({"kind": "confused"}, [1]),
            ({"class": "square", "kind": "missed"}, [2]),
            ({"class": "square", "kind": "confused"}, [1]),
            ({"class": "square", "kind": "false"}, [1]),
        ],
    )
    def test_pages_under_a_filter_have_each_image_once(
        self, shown: Shown, query: dict[str, str], numbers: list[int]
    ) -> None:
        assert shown.numbers(query | {"limit": "1"}) == numbers
        assert shown.numbers(query) == numbers

    @pytest.mark.parametrize(
        ("query", "status", "slug"),
        [
            ("class=oval", 422, "unknown-class"),
            ("kind=other", 422, "validation-error"),
            ("limit=101", 422, "validation-error"),
            ("more=1", 422, "validation-error"),
            ("cursor=x", 400, "bad-cursor"),
        ],
    )
    def test_a_query_that_fits_no_list_is_refused(
        self, shown: Shown, query: str, status: int, slug: str
    ) -> None:
        assert_refused(shown.get(f"/images/worst?{query}"), status=status, slug=slug)

    def test_a_job_without_worst_images_has_none(self, shown: Shown) -> None:
        for path in ("/images/worst", "/images/worst/1/preview"):
            answer = shown.running.api.client.get(f"{shown.earlier.path}{path}")

            assert_refused(answer, status=404, slug="worst-images-not-found")

    def test_a_page_costs_three_statements(self, shown: Shown) -> None:
        with sql_on(shown.running.api.database) as asked:
            shown.get("/images/worst")

        assert asked.reads == 3


class TestPreviews:
    def test_the_preview_of_an_image_is_shown_inline_and_never_changes(self, shown: Shown) -> None:
        (image, *_) = shown.get("/images/worst").json()["data"]

        answer = shown.running.api.client.get(image["preview"]["href"])

        assert answer.content == JPEG
        assert_shown_inline(answer, JPEG)

    def test_the_preview_of_a_plot_is_shown_inline_and_never_changes(self, shown: Shown) -> None:
        listed = shown.get("/artifacts").json()["data"]
        plot, other = (each for each in listed if each["kind"] == "plot")

        answer = shown.running.api.client.get(plot["preview"]["href"])

        assert (plot["preview"]["width"], plot["preview"]["height"]) == (520, 347)
        assert (plot["title"], plot["set"]) == ("Precision by recall", "results")
        assert (other["title"], other["set"], other["preview"]) == (
            "Validation batch 0, predictions", "validation", None
        )  # fmt: skip
        assert answer.content == OTHER_JPEG
        assert_shown_inline(answer, OTHER_JPEG)

    def test_a_preview_without_a_digest_is_asked_for_again(self, shown: Shown) -> None:
        answer = shown.get("/artifacts/PR_curve.png/preview")

        assert answer.headers["Cache-Control"] == "private, no-cache"

    @pytest.mark.parametrize(
        "path",
        [
            "/artifacts/val_batch0_pred.jpg/preview",
            "/artifacts/absent.png/preview",
            f"/artifacts/PR_curve.png/preview?sha256={'0' * 64}",
            "/images/worst/2/preview",
            "/images/worst/4/preview",
            f"/images/worst/1/preview?sha256={'0' * 64}",
        ],
    )
    def test_a_preview_that_is_not_there_is_not_found(self, shown: Shown, path: str) -> None:
        assert_refused(shown.get(path), status=404, slug="artifact-preview-not-found")

    @pytest.mark.parametrize("query", ["width=640", "width=x", "sha256=1", "more=1"])
    def test_a_query_that_fits_no_preview_is_refused(self, shown: Shown, query: str) -> None:
        answer = shown.get(f"/artifacts/PR_curve.png/preview?{query}")

        assert_refused(answer, status=422, slug="validation-error")

    @pytest.mark.parametrize("name", [CURVES, WORST_IMAGES, preview_name("PR_curve.png")])
    def test_what_has_a_route_of_its_own_is_no_download(self, shown: Shown, name: str) -> None:
        encoded = name.replace("/", "%2F")

        answer = shown.get(f"/artifacts/{encoded}")

        assert answer.status_code == 404

    def test_a_preview_costs_two_statements(self, shown: Shown) -> None:
        for path in ("/artifacts/PR_curve.png/preview", "/images/worst/1/preview"):
            with sql_on(shown.running.api.database) as asked:
                shown.get(path)

            assert asked.reads == 2

    def test_files_and_previews_are_listed_with_two_statements(self, shown: Shown) -> None:
        with sql_on(shown.running.api.database) as asked:
            shown.get("/artifacts")

        assert asked.reads == 2


class TestRows:
    def test_a_later_validation_replaces_what_an_earlier_one_showed(
        self, shared_api: Api, tmp_path: Path
    ) -> None:
        shared_api.submit()
        running = claimed(shared_api)
        _add(running, tmp_path, CURVES, ArtifactKind.VALIDATION, b"curves")
        _add(running, tmp_path, preview_name("a.png"), ArtifactKind.PREVIEW, JPEG, size=(1, 1))
        _add(running, tmp_path, "a.png", ArtifactKind.PLOT, b"a plot")

        with shared_api.database.write() as unit:
            forget_shown(unit.session, running.hold.job_id)

        with shared_api.database.read() as unit:
            rows = artifacts_of(unit.session, running.hold.job_id)
        assert [row.name for row in rows] == ["a.png"]
        answer = shared_api.client.get(f"{running.path}/curves")
        assert_refused(answer, status=404, slug="curves-not-found")


def assert_shown_inline(answer: httpx2.Response, content: bytes) -> None:
    digest = hashlib.sha256(content).hexdigest()
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Content-Disposition"] == "inline"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer.headers["ETag"] == f'"{digest}"'


def _add(
    running: Running,
    folder: Path,
    name: str,
    kind: ArtifactKind,
    content: bytes,
    *,
    size: tuple[int, int] | None = None,
) -> None:
    file = folder / hashlib.sha256(content).hexdigest()
    file.write_bytes(content)
    stored = running.api.context.store.put_file(file)
    with running.api.database.write() as unit:
        insert_artifact(
            unit.session,
            running.hold.job_id,
            stored,
            attempt=1,
            kind=kind,
            name=name,
            epoch=None,
            size=size,
        )
