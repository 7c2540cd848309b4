"""Findings on a page: filters, pages, and the button that sends the request which corrects one."""

import json

from sqlalchemy import update

from app.core.database import database_now
from app.datasets.reports.finding_codes import Code
from app.datasets.tables import DatasetVersion
from tests.api.browser.browsers import Browser
from tests.datasets.builders import label_files
from tests.web.datasets.cells import rows_below
from tests.web.datasets.worlds import Datasets, View
from tests.web.jobs.pages import Document, opened, submitted

PAGE = 50
STRICT = {"policy": "strict"}


def bodies(page: Document) -> list[str]:
    return [each.attributes["value"] for each in page.all("input", name_="body")]


class TestList:
    def test_a_finding_has_its_file_line_and_remedy(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        view = datasets.invalid({Code.LABEL_CLASS: 1}, **STRICT)

        (row,) = rows_below(opened(browser, f"/datasets/{view['id']}/findings"))

        assert row[:4] == ["Error", "0.txt", "1", "It is wrong. label-class"]
        assert row[4].startswith("Write a class from 0 to the last one")

    def test_the_severity_is_in_the_address(self, browser: Browser, datasets: Datasets) -> None:
        view = datasets.invalid({Code.LABEL_CLASS: 2, Code.YAML_ENCODING: 3})
        path = f"/datasets/{view['id']}/findings"

        page = opened(browser, f"{path}?severity=warning")

        assert len(rows_below(page)) == 3
        assert f"{path}?severity=error" in page.links
        severities = " ".join(page.one("nav", aria_label="Severity").text.split())
        assert severities == "All 5Errors 2Warnings 3Notes 0"

    def test_a_code_selects_its_findings(self, browser: Browser, datasets: Datasets) -> None:
        view = datasets.invalid({Code.LABEL_CLASS: 2, Code.LABEL_COLUMNS: 1})
        path = f"/datasets/{view['id']}/findings"

        page = opened(browser, f"{path}?code=label-columns")

        assert len(rows_below(page)) == 1
        assert path in page.links

    def test_more_than_a_page_follow(self, browser: Browser, datasets: Datasets) -> None:
        view = datasets.invalid({Code.LABEL_CLASS: PAGE + 1})
        path = f"/datasets/{view['id']}/findings"

        first = opened(browser, f"{path}?severity=error")
        (following,) = [each for each in first.links if "cursor=" in each]
        second = opened(browser, following)

        assert len(rows_below(first)) == PAGE
        assert len(rows_below(second)) == 1
        assert "severity=error" in following

    def test_errors_and_their_files_are_counted(self, browser: Browser, datasets: Datasets) -> None:
        view = datasets.invalid({Code.LABEL_CLASS: 4, Code.LABEL_COLUMNS: 2})

        note = opened(browser, f"/datasets/{view['id']}/findings").one("div", aria_label="Invalid")

        assert "6 errors in 4 files." in note.text

    def test_a_version_without_findings_says_so(self, browser: Browser, datasets: Datasets) -> None:
        page = opened(browser, f"/datasets/{datasets.poses['id']}/findings")

        assert "None. Every image was decoded, and every label was read." in page.text


class TestRemedy:
    def test_a_button_stands_once_for_all_findings_that_it_corrects(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        view = datasets.invalid({Code.LABEL_CLASS: 3}, **STRICT)

        page = opened(browser, f"/datasets/{view['id']}/findings")

        in_table = [each for each in page.all("form") if "table" in each.inside]
        assert len(in_table) == 1
        assert "Read it again with policy = lenient" in in_table[0].text
        assert page.text.count("The button above does it.") == 2

    def test_the_button_makes_the_version_and_opens_it(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        files = {**label_files("detect", train=9, val=2), "labels/train/0003.txt": b"9 .5 .5 .1 .1"}
        view = datasets.uploaded(files, policy="strict")
        (body, *_) = bodies(opened(browser, f"/datasets/{view['id']}"))

        sent = submitted(browser, f"/datasets/{view['id']}/mend", body=body)

        assert sent.status == 303
        made = datasets.verified(sent.location.removeprefix("/datasets/"))
        assert (made["state"], made["number"]) == ("ready", 2)
        assert made["images"] == {"train": 8, "val": 2}

    def test_one_of_several_values_can_be_chosen(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        view = datasets.uploaded(label_files("obb", train=4, val=2))
        page = opened(browser, f"/datasets/{view['id']}")
        values = [each.attributes["value"] for each in page.all("option")]

        sent = submitted(
            browser,
            f"/datasets/{view['id']}/mend",
            body=bodies(page)[0],
            field="task",
            value=values[1],
        )

        assert values[:2] == ['"obb"', '"segment"']
        made = datasets.verified(sent.location.removeprefix("/datasets/"))
        assert (made["state"], made["task"]) == ("ready", "segment")

    def test_a_refusal_is_said_above_the_findings(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        view = datasets.invalid({Code.LABEL_CLASS: 1}, **STRICT)
        self._remove_archive(datasets, view)

        sent = submitted(
            browser,
            f"/datasets/{view['id']}/mend",
            body=json.dumps({"version": view["version"], "policy": "lenient"}),
        )

        assert sent.status == 410
        assert "The uploaded archive was removed." in sent.page.text
        assert "label-class" in sent.page.text

    def test_a_body_that_is_no_json_is_refused(self, browser: Browser, datasets: Datasets) -> None:
        view = datasets.invalid({Code.LABEL_CLASS: 1})

        for body in ("", "{", "[" * 3000, "[]"):
            sent = submitted(browser, f"/datasets/{view['id']}/mend", body=body)
            assert sent.status in {400, 422}

    @staticmethod
    def _remove_archive(datasets: Datasets, view: View) -> None:
        with datasets.api.database.write() as unit:
            removed = {"upload_removed_at": database_now()}
            of_version = DatasetVersion.id == view["version"]
            unit.session.execute(update(DatasetVersion).where(of_version).values(removed))
