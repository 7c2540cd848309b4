"""Files of the pages: named by digest, kept for a year, and of other authors only unchanged."""

import gzip
import hashlib
import re
import tomllib

import pytest

from app.web.static_files import FOLDER, static_files
from tests.web.jobs.pages import Document
from tests.worlds.server import Api

pytestmark = pytest.mark.mostly_sqlite

VENDOR = FOLDER / "vendor"


class TestVendored:
    def test_files_of_other_authors_are_unchanged_and_have_a_licence(self) -> None:
        listed = tomllib.loads((VENDOR / "VENDOR.toml").read_text())["file"]

        for file in listed:
            digest = hashlib.sha256((VENDOR / file["name"]).read_bytes()).hexdigest()
            assert digest == file["sha256"], file["name"]
            assert file["version"]
            assert (VENDOR / file["licence_file"]).stat().st_size > 100

    def test_every_file_of_another_author_is_listed(self) -> None:
        listed = {
            each["name"] for each in tomllib.loads((VENDOR / "VENDOR.toml").read_text())["file"]
        }

        assert {path.name for path in VENDOR.iterdir() if path.suffix in {".js", ".css"}} == listed


class TestAnswers:
    def test_a_file_is_kept_by_browsers_for_a_year(self, shared_api: Api) -> None:
        digest = static_files()["app.css"].digest

        answer = shared_api.client.get(f"/static/{digest}/app.css")

        assert answer.headers["content-type"] == "text/css; charset=utf-8"
        assert "immutable" in answer.headers["cache-control"]
        assert answer.content == (FOLDER / "app.css").read_bytes()

    def test_a_file_under_another_digest_is_not_there(self, shared_api: Api) -> None:
        answer = shared_api.client.get(f"/static/{'0' * 16}/app.css")

        assert answer.status_code == 404

    @pytest.mark.parametrize("name", ["../pages.py", "..%2fpages.py", "vendor/VENDOR.toml", ""])
    def test_nothing_else_is_served(self, shared_api: Api, name: str) -> None:
        digest = static_files()["app.css"].digest

        assert shared_api.client.get(f"/static/{digest}/{name}").status_code == 404

    def test_the_sign_in_page_refers_to_files_that_exist(self, shared_api: Api) -> None:
        page = Document(shared_api.client.get("/sign-in").text)

        for path in re.findall(r'(?:href|src)="(/static/[^"]+)"', page.source):
            assert shared_api.client.get(path).status_code == 200


class TestWeight:
    def test_all_files_together_weigh_less_than_100_kilobytes_compressed(self) -> None:
        weight = sum(len(gzip.compress(file.body, 9)) for file in static_files().values())

        assert weight < 100_000
