"""Guesses of passwords, keys and links are refused with 429 after a while."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import limits.storage.memory
import limits.strategies
import pytest

from app.settings import Settings
from tests.api.browser.browsers import Browser, a_browser, signed_in, with_password
from tests.worlds.server import Api, on, serving

pytestmark = pytest.mark.mostly_sqlite

LIMITS = {
    "sign_ins_per_minute": 2,
    "address_sign_ins_per_minute": 4,
    "wrong_keys_per_minute": 3,
    "setups_per_minute": 3,
    "logins_per_minute": 3,
    "login_polls_per_minute": 2,
    "writes_per_minute": 5,
}


@pytest.fixture(autouse=True)
def _half_of_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock of the library: a minute that begins during a test lets one more through."""
    half = time.time() // 60 * 60 + 30
    for module in (limits.storage.memory, limits.strategies):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: half))


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    usual = on(database_url, tmp_path / "home").model_dump(exclude_unset=True)
    return Settings.model_validate({**usual, "accounts": LIMITS})


@pytest.fixture
def guesser(settings: Settings) -> Iterator[Browser]:
    for api in serving(settings):
        yield a_browser(with_password(api))


def statuses(api: Api, count: int, method: str, path: str, **options: object) -> list[int]:
    client = a_browser(api).client
    return [client.request(method, path, **options).status_code for _ in range(count)]  # type: ignore[arg-type]


class TestLimits:
    def test_guesses_of_a_password_are_refused_and_others_can_still_sign_in(
        self, guesser: Browser
    ) -> None:
        guesses = [guesser.sign_in(password="guess") for _ in range(3)]
        limited = guesser.client.post("/session", json={"name": "owner", "password": "guess"})
        further = guesser.sign_in(name="other")

        assert guesses == [401, 401, 429]
        assert limited.json()["type"] == "urn:trainyard:problem:rate-limited"
        assert 1 <= int(limited.headers["retry-after"]) <= 60
        assert further == 429  # four attempts from this address
        assert guesser.api.client.get("/v1/me").status_code == 200

    def test_guesses_of_the_own_password_are_refused(self, guesser: Browser) -> None:
        browser = signed_in(guesser.api)
        body = {"current_password": "guess", "password": "quite another 7"}

        answers = [browser.client.put("/v1/me/password", json=body) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [422, 422, 429]
        assert answers[2].json()["type"] == "urn:trainyard:problem:rate-limited"

    def test_passwords_that_an_administrator_sets_are_limited_as_sign_ins(
        self, guesser: Browser
    ) -> None:
        body = {"password": "quite another 7"}

        answers = [guesser.api.client.put("/v1/users/owner/password", json=body) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [204, 204, 429]

    def test_wrong_keys_are_refused_and_right_ones_are_not(self, guesser: Browser) -> None:
        wrong = {"Authorization": "Bearer wrong"}

        found = statuses(guesser.api, 5, "GET", "/v1/jobs", headers=wrong)

        assert found == [401, 401, 401, 429, 429]
        assert guesser.api.client.get("/v1/jobs").status_code == 200

    def test_a_request_without_a_key_is_no_guess(self, guesser: Browser) -> None:
        assert statuses(guesser.api, 6, "GET", "/v1/jobs") == [401] * 6

    def test_guesses_of_a_setup_link_are_refused(self, guesser: Browser) -> None:
        path = "/setup/" + "A" * 43

        assert statuses(guesser.api, 5, "GET", path) == [410, 410, 410, 429, 429]
        assert statuses(guesser.api, 1, "POST", path, json={"password": "x"}) == [429]

    def test_logins_of_programs_that_are_begun_are_limited(self, guesser: Browser) -> None:
        body = {"host": "laptop"}

        assert statuses(guesser.api, 4, "POST", "/v1/logins", json=body) == [201, 201, 201, 429]

    def test_guesses_of_the_short_code_of_a_login_are_refused(self, guesser: Browser) -> None:
        client = signed_in(guesser.api).client

        found = [client.get("/v1/logins/BCDF-0000").status_code for _ in range(4)]
        confirmed = client.post("/v1/logins/BCDF-0001/confirm").status_code

        assert (found, confirmed) == ([404, 404, 404, 429], 429)

    def test_questions_for_the_key_of_a_login_are_limited(self, guesser: Browser) -> None:
        body = {"device_code": "guess"}

        assert statuses(guesser.api, 3, "POST", "/v1/logins/poll", json=body) == [410, 410, 429]

    def test_writes_of_one_key_are_limited_and_its_reads_are_not(self, guesser: Browser) -> None:
        client = guesser.api.client

        writes = [client.delete("/v1/uploads/none").status_code for _ in range(6)]

        assert 429 not in writes[:5]
        assert writes[5] == 429
        assert client.get("/v1/jobs").status_code == 200
