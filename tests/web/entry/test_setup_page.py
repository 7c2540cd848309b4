"""The page of a set-up link makes the first administrator."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from app.accounts.browser.setup import new_setup_link
from tests.api.browser.browsers import OWN, PASSWORD
from tests.web.jobs.pages import Document
from tests.worlds.server import Api, on, serving

pytestmark = pytest.mark.mostly_sqlite

GIVEN = {"name": "ada", "password": PASSWORD}


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[Api]:
    yield from serving(on(database_url, tmp_path / "home"))


@pytest.fixture
def stranger(api: Api) -> TestClient:
    """A browser in which no user is signed in."""
    headers = {**OWN, "Accept": "text/html,*/*;q=0.8"}
    return TestClient(api.app, base_url="http://127.0.0.1", headers=headers, follow_redirects=False)


@pytest.fixture
def path(api: Api) -> str:
    return f"/sign-in/set-up/{new_setup_link(api.database)}"


def test_looking_shows_a_form_with_the_proposed_name(stranger: TestClient, path: str) -> None:
    answer = stranger.get(path)

    page = Document(answer.text)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert page.one("input", id="s-name").attributes["value"] == "admin"
    assert stranger.get(path).status_code == 200


def test_sending_the_form_signs_in_and_opens_the_jobs(stranger: TestClient, path: str) -> None:
    sent = stranger.post(path, data=GIVEN)

    assert (sent.status_code, sent.headers["location"]) == (303, "/")
    assert stranger.get("/v1/me").json()["user"] == "ada"
    assert stranger.get("/jobs").status_code == 200


def test_a_password_with_spaces_at_its_ends_is_kept_as_typed(
    stranger: TestClient, path: str
) -> None:
    spaced = {**GIVEN, "password": f"  {PASSWORD} "}
    stranger.post(path, data=spaced)

    signed = stranger.post("/sign-in", data=spaced)

    assert stranger.post("/session", json=spaced).status_code == 200
    assert signed.status_code == 303


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "<b>Ada", "not allowed"),
        ("password", "password", "first that are tried"),
        ("password", "short", "8 to 200 characters"),
    ],
)
def test_a_refused_field_says_why_and_the_link_stays_open(
    stranger: TestClient, path: str, field: str, value: str, said: str
) -> None:
    given = {**GIVEN, field: value}

    answer = stranger.post(path, data=given)

    page = Document(answer.text)
    box = page.one("input", id=f"s-{field}")
    assert answer.status_code == 422
    assert box.attributes["aria-invalid"] == "true"
    assert box.attributes["aria-describedby"] == f"s-{field}-e s-{field}-h"
    assert said in page.one("span", id=f"s-{field}-e").text
    assert f"#s-{field}" in page.links
    assert page.one("input", id="s-name").attributes["value"] == given["name"]
    assert "value" not in page.one("input", id="s-password").attributes
    assert stranger.get(path).status_code == 200


def test_a_used_link_says_so_and_how_to_get_another(stranger: TestClient, path: str) -> None:
    stranger.post(path, data=GIVEN)

    with capture_logs() as logged:
        again = stranger.post(path, data={**GIVEN, "name": "eve"})

    page = Document(again.text)
    assert again.status_code == 410
    assert "trainyard setup-link" in page.text
    assert page.all("form") == []
    (line,) = [each for each in logged if each["event"] == "security"]
    assert (line["problem"], line["path"]) == ("setup-closed", "/sign-in/set-up/...")


def test_a_form_of_another_site_is_refused(stranger: TestClient, path: str) -> None:
    answer = stranger.post(path, data=GIVEN, headers={"Sec-Fetch-Site": "cross-site"})

    assert answer.status_code == 403
    assert stranger.get(path).status_code == 200
