"""The header of a job's pages: state, progress, facts, tabs, and what its buttons do."""

from pathlib import Path

import pytest

from app.jobs.end_reasons import EndReason
from app.jobs.http.job_views import JobView
from app.jobs.states import USER_EVENTS, JobEvent, JobState, Request
from app.web.formats import UNKNOWN, moment
from app.web.jobs.one_job.actions import DONE, MEANWHILE, REQUESTED, amendment
from tests.api.browser.browsers import Browser
from tests.web.jobs.pages import Document, opened, submitted
from tests.web.jobs.trained_jobs import CUSTOMIZED, Training, a_training
from tests.worlds.rows import NO_JOB
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

HOSTILE = "<script>alert(1)</script> \"'& \u0634\u0643\u0644"


@pytest.fixture(scope="module")
def running(api: Api, folder: Path) -> Training:
    """A job in the middle of its third epoch."""
    training = a_training(api, folder)
    training.start()
    training.progress(1, 4, 0, None)
    training.epoch(1)
    training.epoch(2)
    training.progress(3, 4, 9, 125.0)
    return training


def facts(page: Document) -> dict[str, str]:
    """Return the facts by label."""
    labels = [each.text for each in page.all("dt") if "dialog" not in each.inside]
    values = [each.text for each in page.all("dd") if "dialog" not in each.inside]
    return {label: " ".join(value.split()) for label, value in zip(labels, values, strict=True)}


def status_of(browser: Browser, training: Training) -> JobView:
    answer = browser.client.get(f"/v1{training.path}")
    return JobView.model_validate(answer.json())


class TestHeader:
    def test_a_running_job_shows_phase_epoch_batch_and_the_time_that_is_left(
        self, browser: Browser, running: Training
    ) -> None:
        page = opened(browser, running.path)

        head = page.one("div", id=running.hold.job_id)
        text = " ".join(head.text.split())
        assert "Running training, epoch 3/4, batch 9/13" in text
        assert "2 min 5 s left, until" in text

    def test_numbers_have_the_names_by_which_ticks_write_them(
        self, browser: Browser, running: Training
    ) -> None:
        page = opened(browser, running.path)

        assert page.one("span", class_="ep").text == "3/4"
        assert page.one("span", class_="batch").text == "9/13"
        assert page.one("span", class_="eta").text == "2 min 5 s left"
        assert len(page.all("time", class_="ends-at")) == 1
        assert float(page.one("progress").attributes["value"]) == pytest.approx(0.6731)
        assert len(page.all("circle", class_="arc")) == 1

    def test_facts_have_their_places_before_the_first_epoch_ends(
        self, browser: Browser, api: Api, folder: Path
    ) -> None:
        training = a_training(api, folder)
        training.start()

        found = facts(opened(browser, training.path))

        assert list(found)[:3] == [f"Best F1, epoch {UNKNOWN}", "Last F1", "mAP50-95 at best"]
        assert list(found.values())[:3] == [UNKNOWN] * 3

    def test_facts_name_the_best_value_first_then_the_last_one(
        self, browser: Browser, running: Training
    ) -> None:
        found = facts(opened(browser, running.path))

        assert list(found)[:3] == ["Best F1, epoch 2", "Last F1", "mAP50-95 at best"]
        assert list(found.values())[:3] == ["0.200", "0.200", "0.100"]
        assert found["Model"] == "yolo26n.yaml"
        assert found["Dataset"] == "shapes version 1"
        assert found["Tags"] == "goal=demo"

    def test_a_best_value_of_zero_has_a_warning_sign(
        self, browser: Browser, failed: Training
    ) -> None:
        page = opened(browser, failed.path)

        assert [each.text for each in page.all("span", class_="st-warning")] == ["0.000"]

    def test_an_ended_job_says_what_it_took_and_how_many_warnings_it_has(
        self, browser: Browser, succeeded: Training
    ) -> None:
        page = opened(browser, succeeded.path)

        head = " ".join(page.one("div", id=succeeded.hold.job_id).text.split())
        assert "Succeeded 4 epochs in" in head
        assert "1 warning" in head
        assert f"{succeeded.path}/events?show=warnings" in page.links

    def test_a_queued_job_says_why_it_waits(self, browser: Browser, api: Api) -> None:
        job = api.submit(resources={"queue": "night"})

        page = opened(browser, f"/jobs/{job['id']}")

        assert "no live slot serves queue night" in page.text
        assert facts(page)["Queue"] == "night"

    def test_tabs_lead_to_all_pages_of_the_job(self, browser: Browser, succeeded: Training) -> None:
        page = opened(browser, succeeded.path)

        names = ("plan", "images", "log", "events", "files", "spec")
        assert {f"{succeeded.path}/{name}" for name in names} <= page.links
        current = [each for each in page.all("a", aria_current="page") if "main" in each.inside]
        assert [each.text for each in current] == ["Overview"]

    def test_hostile_text_is_shown_as_text(self, browser: Browser, api: Api, folder: Path) -> None:
        training = a_training(
            api, folder, name=HOSTILE, notes=HOSTILE, tags={"a": "<img src=x onerror=1>"}
        )

        page = opened(browser, training.path)

        assert page.one("h1").text == HOSTILE
        assert [each for each in page.all("script") if "src" not in each.attributes] == []
        assert page.all("img") == []
        assert facts(page)["Tags"] == "a=<img src=x onerror=1>"

    def test_a_job_of_a_foreign_project_is_no_page(self, browser: Browser) -> None:
        page = opened(browser, f"/jobs/{NO_JOB}", status=404)

        assert "There is no job with this id in your projects." in page.text

    def test_latest_opens_the_newest_job(self, browser: Browser, api: Api) -> None:
        job = api.submit(resources={"queue": "night"})

        answer = browser.client.get("/jobs/latest", follow_redirects=False)

        assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{job['id']}")


class TestActions:
    def test_a_running_job_can_be_paused_and_stopped_and_asks_before_a_cancel(
        self, browser: Browser, running: Training
    ) -> None:
        page = opened(browser, running.path)

        path = running.path
        assert {f"{path}/pause", f"{path}/stop"} <= page.actions
        asks = [each for each in page.all("a") if each.attributes["href"] == f"{path}/cancel"]
        assert [each.attributes["data-dialog"] for each in asks] == ["#cancel"]

    def test_a_pause_can_be_withdrawn(self, browser: Browser, api: Api, folder: Path) -> None:
        training = a_training(api, folder)

        sent = submitted(browser, f"{training.path}/pause", tab="log")

        assert (sent.status, sent.location) == (303, f"{training.path}/log")
        page = opened(browser, training.path)
        assert "pauses after this epoch" in page.text
        assert f"{training.path}/resume" in page.actions
        assert f"{training.path}/pause" not in page.actions

    def test_a_job_that_has_ended_meanwhile_says_what_can_be_done(
        self, browser: Browser, failed: Training
    ) -> None:
        sent = submitted(browser, f"{failed.path}/pause")

        assert sent.status == 409
        notice = sent.page.one("div", role="alert").text.strip()
        assert notice == (
            "It has failed meanwhile. It can be retried, moved to the trash or extended."
        )

    def test_nothing_is_stopped_without_a_result(self, browser: Browser, api: Api) -> None:
        job = api.submit(resources={"queue": "night"})

        sent = submitted(browser, f"/jobs/{job['id']}/stop")

        assert sent.status == 409
        assert "No epoch has ended, so there is no result to keep." in sent.page.text

    def test_the_page_before_a_cancel_asks_without_a_script(
        self, browser: Browser, running: Training
    ) -> None:
        page = opened(browser, f"{running.path}/cancel")

        assert f"{running.path}/cancel" in page.actions
        assert "Cancel this job?" in page.text

    def test_a_cancelled_job_can_be_retried_and_moved_to_the_trash_and_back(
        self, browser: Browser, api: Api
    ) -> None:
        path = f"/jobs/{api.submit(resources={'queue': 'night'})['id']}"

        submitted(browser, f"{path}/cancel")
        assert f"{path}/retry" in opened(browser, path).actions
        submitted(browser, f"{path}/trash")
        page = opened(browser, path)
        kept_until = browser.client.get(f"/v1{path}").json()["kept_until"]
        assert f"It can be restored until {moment(kept_until)};" in page.text
        assert {each for each in page.actions if each.startswith(path)} == {
            f"{path}/restore",
            f"{path}/cancel",
        }
        submitted(browser, f"{path}/restore")
        submitted(browser, f"{path}/retry")
        assert "Queued" in opened(browser, path).text

    def test_every_action_of_the_api_has_words(self) -> None:
        assert {event.value for event in USER_EVENTS} <= DONE.keys()
        assert {state.value for state in JobState} == MEANWHILE.keys()
        assert {request.value for request in Request} == REQUESTED.keys()


class TestFailure:
    def test_the_note_says_what_happened_and_what_to_do(
        self, browser: Browser, failed: Training
    ) -> None:
        note = opened(browser, failed.path).one("div", class_="bad")

        text = " ".join(note.text.split())
        assert "The training diverged" in text
        assert "although <b>the last checkpoint</b> was restored" in text
        assert "What to do. Lower lr0." in text
        assert "code diverged" in text

    def test_the_log_opens_at_the_error(self, browser: Browser, failed: Training) -> None:
        page = opened(browser, failed.path)

        assert f"{failed.path}/log?attempt=1&line=4#L4" in page.links
        assert page.one("p", id="L4").text == "4worker.trainer.errors.Diverged: Losses stayed NaN."

    def test_one_button_submits_the_amended_spec(self, browser: Browser, failed: Training) -> None:
        page = opened(browser, failed.path)
        buttons = [each.text for each in page.all("button")]
        assert "Retry with lr0 = 0.1" in buttons
        assert "Retry unchanged" in buttons

        sent = submitted(browser, f"{failed.path}/clone", amended="true", once="one-token")
        again = submitted(browser, f"{failed.path}/clone", amended="true", once="one-token")

        assert sent.status == 303
        assert again.location == sent.location
        made = browser.client.get(f"/v1{sent.location}").json()
        assert made["spec"]["train"]["lr0"] == 0.1
        assert made["parent"] == failed.hold.job_id
        assert facts(opened(browser, sent.location))["Made from"] == CUSTOMIZED["name"]

    def test_a_job_that_ended_before_an_epoch_says_so(
        self, browser: Browser, api: Api, folder: Path
    ) -> None:
        training = a_training(api, folder)
        training.store_log("nothing\n")
        training.end(JobEvent.FAIL, EndReason.BAD_DATA, message="no images")

        page = opened(browser, training.path)

        assert "No epoch ended, so there are no curves." in page.text
        assert page.all("figure") == []

    @pytest.mark.parametrize(
        ("amended", "text"),
        [
            ({"train": {"lr0": 0.1}}, "lr0 = 0.1"),
            ({"train": {"batch": 8, "cache": False}}, "batch = 8, cache = false"),
            ({"train": {"time": None}, "on_oom": "halve"}, "no time, on_oom = halve"),
            ({}, ""),
        ],
    )
    def test_an_amendment_reads_as_assignments(self, amended: dict[str, object], text: str) -> None:
        assert amendment(amended) == text


class TestEdit:
    def test_name_tags_and_notes_are_changed(self, browser: Browser, api: Api) -> None:
        path = f"/jobs/{api.submit(name='before', tags={'a': '1'})['id']}"
        page = opened(browser, f"{path}/edit")
        assert page.one("textarea", name="tags").text == "a=1"
        revision = page.one("input", name="revision").attributes["value"]

        sent = submitted(
            browser,
            f"{path}/edit",
            revision=revision,
            name="after",
            tags="b=2\r\n c = x=y \r\n",
            notes="one\r\ntwo",
        )

        assert (sent.status, sent.location) == (303, path)
        job = browser.client.get(f"/v1{path}").json()
        assert (job["name"], job["tags"]) == ("after", {"b": "2", "c": "x=y"})
        assert job["notes"] == "one\ntwo"

    def test_a_change_by_someone_else_is_not_lost(self, browser: Browser, api: Api) -> None:
        path = f"/jobs/{api.submit(name='before')['id']}"
        revision = browser.client.get(f"/v1{path}").json()["revision"]
        browser.client.patch(f"/v1{path}", json={"name": "theirs"})

        sent = submitted(
            browser, f"{path}/edit", revision=str(revision), name="mine", tags="", notes=""
        )

        assert sent.status == 412
        assert "Someone changed the job meanwhile" in sent.page.text
        assert "theirs" in sent.page.one("div", role="alert").text
        assert sent.page.one("input", name="name").attributes["value"] == "mine"
        assert browser.client.get(f"/v1{path}").json()["name"] == "theirs"

    def test_an_invalid_field_has_its_message_and_keeps_what_was_typed(
        self, browser: Browser, api: Api
    ) -> None:
        path = f"/jobs/{api.submit()['id']}"

        sent = submitted(
            browser, f"{path}/edit", revision="1", name="x" * 201, tags="", notes="kept"
        )

        assert sent.status == 422
        field = sent.page.one("input", name="name")
        assert field.attributes["aria-invalid"] == "true"
        assert sent.page.one("p", id=field.attributes["aria-describedby"]).text
        assert "#e-name" in sent.page.links
        assert sent.page.one("textarea", name="notes").text == "kept"


class TestExtend:
    def test_an_ended_job_without_a_training_state_says_what_to_do_instead(
        self, browser: Browser, succeeded: Training
    ) -> None:
        page = opened(browser, f"{succeeded.path}/extend")
        assert page.one("input", name="epochs").attributes["value"] == "8"

        sent = submitted(browser, f"{succeeded.path}/extend", epochs="9", name="longer")

        assert sent.status == 409
        assert "has no training state" in sent.page.one("div", role="alert").text
        assert sent.page.one("input", name="epochs").attributes["value"] == "9"

    def test_a_number_of_epochs_that_is_none_has_its_message(
        self, browser: Browser, succeeded: Training
    ) -> None:
        sent = submitted(browser, f"{succeeded.path}/extend", epochs="many", name="")

        assert sent.status == 422
        assert sent.page.one("input", name="epochs").attributes["aria-invalid"] == "true"
