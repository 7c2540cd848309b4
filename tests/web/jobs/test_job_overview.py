"""The overview of a job: charts, classes and epochs."""

import json
from pathlib import Path

import pytest

from app.web.formats import UNKNOWN
from app.web.jobs.one_job.overview_charts import charts_of
from tests.api.browser.browsers import Browser
from tests.web.jobs.pages import Document, opened
from tests.web.jobs.trained_jobs import Training, a_training
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

BOXES = ("metrics/precision(B)", "metrics/recall(B)", "metrics/mAP50(B)", "metrics/F1(B)")


def cells(page: Document, table: str) -> list[list[str]]:
    """Return the texts of the rows of a table by its id."""
    (start,) = [place for place, each in enumerate(page.elements) if is_table(each, table)]
    rows: list[list[str]] = []
    for element in page.elements[start + 1 :]:
        if "table" not in element.inside:
            break
        if element.name == "tr" and "tbody" in element.inside:
            rows.append([])
        if element.name in {"td", "th"} and "tbody" in element.inside:
            rows[-1].append(" ".join(element.text.split()))
    return rows


def is_table(element: object, id_: str) -> bool:
    return getattr(element, "name", "") == "table" and (
        getattr(element, "attributes", {}).get("id") == id_
    )


class TestCharts:
    def test_metrics_come_first_then_losses_rates_and_what_it_used(
        self, browser: Browser, succeeded: Training
    ) -> None:
        page = opened(browser, succeeded.path)

        assert [each.text for each in page.all("h3")] == [
            "Metrics",
            "Box loss",
            "Learning rates",
            "CPU",
            "Memory",
            "Waiting for batches",
        ]

    def test_the_page_has_the_data_with_gaps_as_null_and_the_marks(
        self, browser: Browser, succeeded: Training
    ) -> None:
        page = opened(browser, succeeded.path)

        data = json.loads(page.one("script", id="metrics").text)
        assert data["epochs"] == [1, 2, 3, 4]
        assert data["series"]["metrics/recall(B)"] == [0.25, None, 0.25, 0.25]
        assert [(mark["epoch"], mark["kind"]) for mark in data["marks"]] == [
            (2, "layers_unfrozen"),
            (3, "resumed"),
            (4, "mosaic_closed"),
        ]

    def test_every_line_of_a_chart_has_a_button_and_differs_in_hue_or_dash(
        self, browser: Browser, succeeded: Training
    ) -> None:
        page = opened(browser, succeeded.path)

        for figure in page.all("figure"):
            series = json.loads(figure.attributes["data-chart"])["series"]
            assert len({(each["k"], each["dash"]) for each in series}) == len(series)
        assert len(page.all("button", aria_pressed="true")) == 12

    def test_a_chart_is_a_slider_with_a_name(self, browser: Browser, succeeded: Training) -> None:
        page = opened(browser, succeeded.path)

        plots = page.all("div", role="slider")
        titles = {each.attributes["id"] for each in page.all("h3")}
        assert {each.attributes["aria-labelledby"] for each in plots} == titles
        assert {each.attributes["tabindex"] for each in plots} == {"0"}

    def test_settings_of_the_charts_come_from_the_address(
        self, browser: Browser, succeeded: Training
    ) -> None:
        page = opened(browser, f"{succeeded.path}?x=time&y=log&smooth=0.6&find=loss")

        assert "checked" in page.one("input", type="radio", value="time").attributes
        assert "checked" in page.one("input", name="logy").attributes
        assert page.one("input", type="range", name="smooth").attributes["value"] == "0.6"
        assert page.one("input", type="search", name="find-chart").attributes["value"] == "loss"

    @pytest.mark.parametrize("smooth", ["nan", "9", "x", "-1"])
    def test_a_setting_that_is_no_share_is_left_out(
        self, browser: Browser, succeeded: Training, smooth: str
    ) -> None:
        page = opened(browser, f"{succeeded.path}?smooth={smooth}")

        assert page.one("input", type="range", name="smooth").attributes["value"] in {"0.0", "0.95"}

    def test_the_deciding_metric_is_first_and_thick(self) -> None:
        (metrics,) = charts_of(BOXES, (), "metrics/recall(B)")

        assert [each["label"] for each in metrics.series] == [
            "Recall",
            "F1",
            "mAP50",
            "Precision",
        ]
        assert [bool(each["w"]) for each in metrics.series] == [True, False, False, False]

    def test_masks_have_a_chart_of_their_own(self) -> None:
        charts = charts_of(["metrics/mAP50(B)", "metrics/mAP50(M)"], (), None)

        assert [chart.title for chart in charts] == ["Metrics of boxes", "Metrics of masks"]

    def test_rates_by_part_of_the_model_replace_those_by_number(self) -> None:
        (rates,) = charts_of(["lr/pg0", "lr/backbone/weight", "lr/rest/bias"], (), None)

        assert [(each["label"], each["k"], each["dash"]) for each in rates.series] == [
            ("backbone/weight", 1, 0),
            ("rest/bias", 2, 1),
        ]

    def test_a_series_of_a_plugin_has_a_chart(self) -> None:
        charts = charts_of(["train/new_loss", "entropy"], (), None)

        assert [chart.title for chart in charts] == ["New loss", "Entropy"]

    def test_40_metrics_differ_in_hue_or_dash_as_far_as_these_go(self) -> None:
        names = [*BOXES, *(f"metrics/m{number}" for number in range(36))]

        lines = [line for chart in charts_of(names, (), None) for line in chart.series]

        assert len(lines) == 40
        assert all(1 <= line["k"] <= 8 and 0 <= line["dash"] <= 3 for line in lines)


class TestClasses:
    def test_the_table_shows_the_best_epoch(self, browser: Browser, succeeded: Training) -> None:
        page = opened(browser, succeeded.path)

        rows = cells(page, "classes")
        assert [row[0] for row in rows] == ["circle", "square"]
        assert rows[0][3] == "0.400"
        assert page.one("output", id="epoch-out").text == "4 · best"

    def test_another_epoch_is_shown_by_its_address(
        self, browser: Browser, succeeded: Training
    ) -> None:
        page = opened(browser, f"{succeeded.path}?epoch=1")

        assert cells(page, "classes")[0][3] == "0.100"
        assert page.one("input", id="epoch").attributes["value"] == "1"

    @pytest.mark.parametrize("epoch", ["99", "x", "0", "9" * 30])
    def test_an_epoch_that_does_not_exist_shows_the_newest(
        self, browser: Browser, succeeded: Training, epoch: str
    ) -> None:
        page = opened(browser, f"{succeeded.path}?epoch={epoch}")

        assert page.one("input", id="epoch").attributes["value"] == "4"

    def test_precision_of_a_class_that_finds_nothing_is_faint(
        self, browser: Browser, succeeded: Training
    ) -> None:
        page = opened(browser, succeeded.path)

        faint = [
            each
            for each in page.all("td", data_score="precision")
            if "faint" in each.attributes["class"]
        ]
        assert len(faint) == 1

    def test_a_job_without_classes_says_how_to_record_them(
        self, browser: Browser, api: Api, folder: Path
    ) -> None:
        training = a_training(api, folder, customize={"metrics": {"f1": True}})
        training.start()
        training.progress(1, 4, 5, None)
        training.epoch(1, classes=False)

        page = opened(browser, training.path)

        assert "Switch on customize.metrics.per_class" in page.text


class TestEpochs:
    def test_every_epoch_is_a_row_the_newest_first(
        self, browser: Browser, succeeded: Training
    ) -> None:
        page = opened(browser, succeeded.path)

        details = page.one("details", id="t-metrics")
        rows = [
            each.text
            for each in page.all("th", scope="row")
            if "details" in each.inside and each.text.isdecimal()
        ]
        assert rows == ["4", "3", "2", "1"]
        assert UNKNOWN in details.text
        assert f"{succeeded.path}/metrics.csv" in page.links

    def test_the_csv_has_every_epoch(self, browser: Browser, succeeded: Training) -> None:
        answer = browser.client.get(f"{succeeded.path}/metrics.csv")

        assert answer.headers["content-type"].startswith("text/csv")
        assert "attachment" in answer.headers["content-disposition"]
        assert len(answer.text.splitlines()) == 5


class TestBeforeTheFirstEpoch:
    def test_a_queued_job_says_its_place_and_why_it_waits(self, browser: Browser, api: Api) -> None:
        job = api.submit(resources={"queue": "night"})

        page = opened(browser, f"/jobs/{job['id']}")

        assert "in the queue" in page.text
        assert "No live slot serves the queue night." in page.text
        assert "Curves appear here when the first epoch has ended." in page.text

    def test_a_running_job_shows_its_log(self, browser: Browser, api: Api, folder: Path) -> None:
        training = a_training(api, folder)
        training.start()
        training.log("first line\n")

        page = opened(browser, training.path)

        assert page.one("p", id="L1").text == "1first line"
        assert page.all("figure") == []
        scripts = {each.attributes.get("src", "") for each in page.all("script")}
        assert any("charts.js" in src for src in scripts)
