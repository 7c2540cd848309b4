"""Whatever is sent to a page, it answers: a page, a refusal, but never a failure of the server."""

from typing import Final
from urllib.parse import quote, urlencode

import pytest
from fastapi.routing import APIRoute

from app.web.routes import PAGES
from tests.api.browser.browsers import Browser
from tests.web.jobs.pages import submitted
from tests.web.jobs.trained_jobs import a_succeeded_job
from tests.worlds.server import Api
from tests.worlds.webhooks import a_delivery, a_webhook

pytestmark = pytest.mark.mostly_sqlite

WEIRD: Final = {
    "other alphabets": "\x00\x1b[31m日本 \N{RIGHT-TO-LEFT OVERRIDE}",
    "large number": "9" * 5000,
    "fraction": "1.0",
    "negative number": "-1",
    "superscript": "\N{SUPERSCRIPT TWO}",
    "other resource": "{job}/metrics",
    "lone surrogate": '{"a": "\\ud800"}',
}
WORST: Final = ("large number", "other resource")
PAGES_WITH: Final = {
    "/sign-in": "next",
    "/account": "done",
    "/jobs/new": "clone dataset model project",
    "/jobs/compare": "jobs job add metric score show x y smooth find",
    "/jobs": "state q project dataset model best_metric ended_after trashed sort cursor rows part",
    "/datasets": "state q task project sort cursor",
    "/datasets/new": "upload name project task policy",
    "/datasets/{reference}/samples": "split class seed",
    "/datasets/{reference}/statistics": "order from",
    "/datasets/{reference}/duplicates": "kind cursor",
    "/datasets/{reference}/findings": "severity code cursor",
    "/datasets/{reference}/versions": "cursor",
    "/datasets/{reference}/diff": "before after cursor",
    "/workers": "queue",
    "/models": "kind task cursor",
    "/access/keys": "cursor",
    "/access/users": "cursor",
    "/access/projects": "cursor",
    "/access/webhooks": "cursor",
    "/access/webhooks/{webhook_id}": "state cursor",
    "/access/audit": "project_id cursor",
    "/jobs/{job_id}": "epoch part x y smooth find",
    "/jobs/{job_id}/events": "show cursor before",
    "/jobs/{job_id}/images": "class kind cursor",
    "/jobs/{job_id}/log": "attempt after q from line",
}
"""The parameters of each page that has some."""
FORMS_WITH: Final = {
    "/sign-in": "name password next",
    "/account/password": "password current_password",
    "/account/look": "theme keys",
    "/demo/job": "dataset",
    "/jobs/new": "do dataset model name tags project priority more pasted key train.epochs "
    "on.rates rates.layers rates.factor on.weights weights.mode weights.given freeze.layers",
    "/jobs/bulk": "do jobs view restore",
    "/datasets/new": "upload name project task policy",
    "/datasets/{reference}/mend": "body field value",
    "/datasets/{reference}/versions/new": "task policy splits names colours class_map "
    "max_bad_ratio old.0 new.0",
    "/datasets/{reference}/delete": "confirmed",
    "/queue/raise": "job queue",
    "/access/keys": "label scope project days",
    "/access/users": "name",
    "/access/users/password": "user password",
    "/access/projects": "name",
    "/access/projects/{project_id}": "name",
    "/access/projects/{project_id}/members": "user role",
    "/access/projects/{project_id}/members/remove": "user",
    "/access/projects/{project_id}/quotas": "queued_jobs stored_bytes",
    "/access/webhooks": "project url events description",
    "/jobs/{job_id}/pause": "tab",
    "/jobs/{job_id}/clone": "once",
    "/jobs/{job_id}/edit": "name tags notes revision",
    "/jobs/{job_id}/extend": "epochs name once",
}
"""The fields of each form that has some."""
BASE: Final = {"/jobs/new": {"do": "plan", "model": "yolo26n.yaml"}}
"""Fields that are sent as well."""
FIRST_FAILURE: Final = 500
FORBIDDEN: Final = 403
MANY_FORMS: Final = 35
PAGE: Final = {"Accept": "text/html"}


def routes(method: str) -> list[str]:
    """Return the paths of the routes of pages for a method."""
    found = [route for router in PAGES for route in router.routes if isinstance(route, APIRoute)]
    return [route.path for route in found if method in (route.methods or set())]


def weird(kind: str, ids: dict[str, str]) -> str:
    return WEIRD[kind].replace("{job}", ids["job_id"])


@pytest.fixture(scope="module")
def ids(shared_api: Api, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The ids in the paths of the routes; of some kinds the user has nothing."""
    folder = tmp_path_factory.mktemp("jobs")
    job = a_succeeded_job(shared_api, folder)
    rows = shared_api.rows
    hook = a_webhook(shared_api.database, rows.project_id, rows.user_id, "https://127.0.0.1/own")
    return {
        "job_id": job.hold.job_id,
        "reference": rows.dataset_id,
        "project_id": rows.project_id,
        "webhook_id": hook.id,
        "delivery_id": a_delivery(shared_api.database, hook.id),
        "worker_id": "wrk_" + "0" * 26,
        "model_id": "mdl_" + "0" * 26,
        "key_id": "key_" + "0" * 26,
        "user_id": rows.user_id,
        "session_id": "ses_" + "0" * 26,
        "upload": "upl_" + "0" * 26,
        "token": "A" * 43,
        "action": "test",
        "change": "promote",
        "digest": "0" * 16,
        "name": "app.css",
    }


@pytest.fixture(params=["worst", pytest.param("all", marks=pytest.mark.slow)])
def kinds(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The kinds of weird values to send."""
    return WORST if request.param == "worst" else tuple(WEIRD)


class TestAddresses:
    @pytest.mark.parametrize("path", PAGES_WITH)
    def test_no_parameter_makes_a_page_fail(
        self, browser: Browser, ids: dict[str, str], kinds: tuple[str, ...], path: str
    ) -> None:
        failed = {}
        for name in PAGES_WITH[path].split():
            for kind in kinds:
                query = urlencode({name: weird(kind, ids)})
                answer = browser.client.get(
                    f"{path.format_map(ids)}?{query}", headers=PAGE, follow_redirects=False
                )
                if answer.status_code >= FIRST_FAILURE:
                    failed[name, kind] = answer.status_code

        assert failed == {}

    @pytest.mark.parametrize("kind", ["other alphabets", "other resource"])
    def test_no_id_makes_a_page_fail(
        self, browser: Browser, ids: dict[str, str], kind: str
    ) -> None:
        segment = quote(quote(weird(kind, ids), safe=""), safe="")
        strange = dict.fromkeys(ids, segment)

        failed = {}
        for path in routes("GET"):
            address = path.replace(":path", "").format_map(strange)
            status = browser.client.get(address, headers=PAGE).status_code
            if status >= FIRST_FAILURE:
                failed[path] = status

        assert failed == {}


class TestForms:
    @pytest.mark.slow
    @pytest.mark.parametrize("path", FORMS_WITH)
    def test_no_field_makes_a_form_fail(
        self, browser: Browser, ids: dict[str, str], kinds: tuple[str, ...], path: str
    ) -> None:
        failed = {}
        for name in FORMS_WITH[path].split():
            for kind in kinds:
                fields = {**BASE.get(path, {}), name: weird(kind, ids)}
                status = submitted(browser, path.format_map(ids), **fields).status
                if status >= FIRST_FAILURE:
                    failed[name, kind] = status

        assert failed == {}

    def test_the_id_in_a_form_leads_to_nothing_else(
        self, browser: Browser, ids: dict[str, str]
    ) -> None:
        sent = submitted(browser, "/queue/raise", job=f"{ids['job_id']}/metrics")

        assert sent.status == 404

    def test_no_empty_form_fails(self, browser: Browser, ids: dict[str, str]) -> None:
        paths = [path for path in routes("POST") if path != "/sign-out"]

        statuses = {path: submitted(browser, path.format_map(ids)).status for path in paths}

        assert {path: of for path, of in statuses.items() if of >= FIRST_FAILURE} == {}

    def test_no_form_accepts_another_site(self, browser: Browser, ids: dict[str, str]) -> None:
        foreign = {**PAGE, "Sec-Fetch-Site": "cross-site", "Origin": "https://attacker.test"}

        answers = {
            path: browser.client.post(
                path.format_map(ids), headers=foreign, follow_redirects=False
            ).status_code
            for path in routes("POST")
            if "/sign-in/link/" not in path
        }

        assert len(answers) > MANY_FORMS
        assert {path: of for path, of in answers.items() if of != FORBIDDEN} == {}

    def test_text_that_is_not_in_unicode_is_shown_as_far_as_possible(
        self, browser: Browser
    ) -> None:
        sent = submitted(browser, "/jobs/new", do="paste", pasted='{"name": "a\\ud800b"}')

        assert sent.status == 200
        assert "a?b" in sent.source
