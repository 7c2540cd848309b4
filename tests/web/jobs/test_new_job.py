"""A new job by the form: fields become the spec, the plan comes beside, nothing typed is lost."""

import pytest

from tests.api.browser.browsers import Browser
from tests.web.jobs.pages import opened, submitted
from tests.worlds.rows import Rows, a_dataset
from tests.worlds.server import Api

pytestmark = pytest.mark.mostly_sqlite

NEW = "/jobs/new"
ALL_FIVE = {
    "on.metrics": "on",
    "metrics.f1": "on",
    "metrics.per_class": "on",
    "on.weights": "on",
    "weights.mode": "balanced",
    "weights.power": "0.5",
    "on.best": "on",
    "best.metric": "metrics/F1(B)",
    "on.freeze": "on",
    "freeze.layers": "backbone",
    "freeze.epochs": "2",
    "on.rates": "on",
    "rates.layers": "0, 1",
    "rates.factor": "0.25",
}


@pytest.fixture(scope="module")
def dataset(api: Api) -> Rows:
    return api.rows


def filled(dataset: Rows, **more: str) -> dict[str, str]:
    return {"dataset": dataset.dataset_id, "model": "yolo26n.yaml", "project": "default", **more}


class TestModel:
    def test_the_model_fits_the_task_of_the_dataset(self, api: Api, browser: Browser) -> None:
        with api.database.write() as unit:
            rows = api.rows
            owner = (rows.project_id, rows.user_id)
            _, version = a_dataset(unit.session, *owner, name="points", task="pose")

        page = opened(browser, f"{NEW}?dataset={version}")

        assert page.one("input", id="f-model").attributes["value"] == "yolo26n-pose.yaml"

    def test_a_model_that_someone_named_stays(self, api: Api, browser: Browser) -> None:
        dataset = api.rows.dataset_id

        page = opened(browser, f"{NEW}?dataset={dataset}&model=mine.pt")

        assert page.one("input", id="f-model").attributes["value"] == "mine.pt"


class TestSubmit:
    def test_a_job_with_all_five_customizations_is_submitted(
        self, browser: Browser, dataset: Rows
    ) -> None:
        sent = submitted(
            browser,
            NEW,
            **filled(dataset, name="five", tags="line=4", **{"train.epochs": "5"}, **ALL_FIVE),
        )

        assert sent.status == 303, sent.source
        spec = browser.client.get(sent.location.replace("/jobs/", "/v1/jobs/")).json()["spec"]
        assert spec["customize"] == {
            "metrics": {"f1": True, "per_class": True},
            "class_weights": {"mode": "balanced", "power": 0.5},
            "best_model": {"metric": "metrics/F1(B)"},
            "freeze": {"layers": "backbone", "epochs": 2},
            "layer_lrs": [{"layers": [0, 1], "factor": 0.25}],
        }
        assert (spec["name"], spec["tags"]) == ("five", {"line": "4"})
        assert spec["train"]["epochs"] == 5

    def test_what_was_unticked_is_not_sent(self, browser: Browser, dataset: Rows) -> None:
        unticked = {name: text for name, text in ALL_FIVE.items() if not name.startswith("on.")}

        sent = submitted(browser, NEW, **filled(dataset, **unticked))

        spec = browser.client.get(sent.location.replace("/jobs/", "/v1/jobs/")).json()["spec"]
        assert spec.get("customize") is None

    def test_a_form_that_is_sent_twice_makes_one_job(self, browser: Browser, dataset: Rows) -> None:
        form = filled(dataset, key="one form")

        first = submitted(browser, NEW, **form)
        again = submitted(browser, NEW, **form)

        assert first.location == again.location

    def test_more_fields_are_merged_into_the_spec(self, browser: Browser, dataset: Rows) -> None:
        more = '{"customize": {"keep_best": [{"name": "recall", "metric": "metrics/recall(B)"}]}}'

        sent = submitted(browser, NEW, **filled(dataset, more=more, **ALL_FIVE))

        spec = browser.client.get(sent.location.replace("/jobs/", "/v1/jobs/")).json()["spec"]
        assert [kept["name"] for kept in spec["customize"]["keep_best"]] == ["recall"]
        assert spec["customize"]["freeze"]["epochs"] == 2


class TestRefusal:
    def test_each_wrong_field_is_marked_and_keeps_its_text(
        self, browser: Browser, dataset: Rows
    ) -> None:
        sent = submitted(
            browser, NEW, **filled(dataset, **{"train.lr0": "7", "train.imgsz": "big"}, name="kept")
        )

        assert sent.status == 422
        for name, text in (("f-train.lr0", "7"), ("f-train.imgsz", "big")):
            shown = sent.page.one("input", id=name).attributes
            assert (shown["value"], shown["aria-invalid"]) == (text, "true")
        assert sent.page.one("input", id="f-name").attributes["value"] == "kept"
        assert {"#f-train.lr0", "#f-train.imgsz"} <= sent.page.links

    @pytest.mark.parametrize(
        ("field", "text", "marked"),
        [
            ("freeze.layers", "nonsense", "f-freeze.layers"),
            ("rates.factor", "-1", "f-rates.factor.0"),
            ("best.metric", "no such metric!", "f-best.metric"),
            ("weights.power", "9", "f-weights.power"),
        ],
    )
    def test_an_error_of_a_customization_is_at_its_field(
        self, browser: Browser, dataset: Rows, field: str, text: str, marked: str
    ) -> None:
        sent = submitted(browser, NEW, **filled(dataset, **{**ALL_FIVE, field: text}))

        assert sent.status == 422
        assert sent.page.one("input", id=marked).attributes["aria-invalid"] == "true"

    @pytest.mark.parametrize("more", ["[1]", "{", "nonsense", "[" * 100_000])
    def test_more_fields_that_are_no_json_object_are_told(
        self, browser: Browser, dataset: Rows, more: str
    ) -> None:
        sent = submitted(browser, NEW, **filled(dataset, more=more))

        assert sent.status == 422
        assert sent.page.one("textarea", id="f-more").attributes["aria-invalid"] == "true"

    def test_a_form_without_a_dataset_is_shown_again(self, browser: Browser) -> None:
        sent = submitted(browser, NEW, model="yolo26n.yaml")

        assert sent.status == 422
        assert "#f-dataset" in sent.page.links


class TestPlan:
    def test_a_script_gets_the_plan_alone(self, browser: Browser, dataset: Rows) -> None:
        answer = browser.client.post(
            NEW, data=filled(dataset, do="plan"), headers={"HX-Request": "true"}
        )

        assert answer.status_code == 200
        assert "Optimizer steps" in answer.text
        assert "<html" not in answer.text

    def test_without_scripts_the_plan_comes_with_the_form(
        self, browser: Browser, dataset: Rows
    ) -> None:
        sent = submitted(browser, NEW, **filled(dataset, do="plan", name="kept"))

        assert "Optimizer steps" in sent.page.text
        assert sent.page.one("input", id="f-name").attributes["value"] == "kept"

    def test_planning_stores_nothing(self, browser: Browser, dataset: Rows) -> None:
        before = browser.client.get("/v1/jobs?counts=true").json()["counts"]

        submitted(browser, NEW, **filled(dataset, do="plan"))

        assert browser.client.get("/v1/jobs?counts=true").json()["counts"] == before

    def test_the_same_request_by_curl_is_shown(self, browser: Browser, dataset: Rows) -> None:
        sent = submitted(browser, NEW, **filled(dataset, do="plan", notes="it's"))

        command = sent.page.one("pre", id="curl").text
        assert dataset.dataset_id in command
        assert "it'\\''s" in command


class TestFill:
    def test_a_clone_has_every_field_of_the_job(self, browser: Browser, dataset: Rows) -> None:
        made = submitted(browser, NEW, **filled(dataset, name="first", **ALL_FIVE))

        page = opened(browser, f"{NEW}?clone={made.location.removeprefix('/jobs/')}")

        for name in ("on-metrics", "on-weights", "on-best", "on-freeze", "on-rates"):
            assert "checked" in page.one("input", id=name).attributes
        assert page.one("input", id="f-rates.layers.0").attributes["value"] == "0, 1"
        assert page.one("input", id="f-name").attributes["value"] == "first"

    def test_a_clone_that_is_submitted_has_the_same_spec(
        self, browser: Browser, dataset: Rows
    ) -> None:
        made = submitted(browser, NEW, **filled(dataset, **{"train.epochs": "7"}, **ALL_FIVE))
        page = opened(browser, f"{NEW}?clone={made.location.removeprefix('/jobs/')}")
        fields = {
            each.attributes["name"]: each.attributes.get("value") or "on"
            for each in page.all("input")
            if each.attributes.get("type") != "checkbox" or "checked" in each.attributes
            if each.attributes.get("name")
            and not each.attributes.get("id", "").startswith("f-rates")
            if each.attributes.get("value") or each.attributes.get("type") == "checkbox"
        }
        fields |= {"rates.layers": "0, 1", "rates.factor": "0.25", "weights.mode": "balanced"}

        again = submitted(browser, NEW, **{**fields, **filled(dataset), "key": "another"})

        specs = [
            browser.client.get(sent.location.replace("/jobs/", "/v1/jobs/")).json()["spec"]
            for sent in (made, again)
        ]
        assert specs[0] == specs[1]

    def test_a_pasted_command_fills_the_form_and_says_what_it_left_out(
        self, browser: Browser, dataset: Rows
    ) -> None:
        pasted = "yolo train model=yolo26n.yaml data=x.yaml epochs=33 imgsz=320 save_period=5"

        sent = submitted(browser, NEW, do="paste", pasted=pasted, dataset=dataset.dataset_id)

        assert sent.page.one("input", id="f-train.epochs").attributes["value"] == "33"
        assert "save_period" in sent.page.text

    def test_a_pasted_spec_fills_the_form(self, browser: Browser) -> None:
        pasted = '{"model": "yolo26s.yaml", "train": {"epochs": 3}, "priority": 5}'

        sent = submitted(browser, NEW, do="paste", pasted=pasted)

        assert sent.page.one("input", id="f-model").attributes["value"] == "yolo26s.yaml"
        assert sent.page.one("input", id="f-priority").attributes["value"] == "5"

    @pytest.mark.parametrize("pasted", ["{", '{"train": 5}', '{"customize": [1]}', "\u0000", "???"])
    def test_a_text_that_is_no_training_is_told(self, browser: Browser, pasted: str) -> None:
        sent = submitted(browser, NEW, do="paste", pasted=pasted, model="yolo26n.yaml")

        assert 400 <= sent.status < 500
        assert sent.page.one("input", id="f-model").attributes["value"] == "yolo26n.yaml"

    def test_a_job_of_someone_else_cannot_be_cloned(self, browser: Browser) -> None:
        opened(browser, f"{NEW}?clone=job_{'0' * 26}", status=404)
