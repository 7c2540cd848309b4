"""Versions of a dataset: their list, what changed, other options, and the removal of all."""

from typing import Any

import pytest

from app.web.datasets.version_form import body_of, class_fields, fields_of
from app.web.forms import Form
from tests.api.browser.browsers import Browser
from tests.datasets.builders import label_files
from tests.web.datasets.cells import rows_below
from tests.web.datasets.worlds import HOSTILE, Datasets, View
from tests.web.jobs.pages import Document, opened, submitted
from tests.worlds.rows import Rows, a_job


@pytest.fixture(scope="module")
def divided(browser: Browser, datasets: Datasets) -> View:
    """A dataset with a second version, made by the form: other names, other splits."""
    view = datasets.uploaded(label_files("detect", train=8, val=4))
    fields = {"old.0": "disc", "new.0": "coin", "old.1": "square", "drop.1": "yes"}
    sent = submitted(
        browser, f"/datasets/{view['id']}/versions/new", task="detect", splits="50:50", **fields
    )
    assert sent.status == 303, sent.source
    return datasets.verified(sent.location.removeprefix("/datasets/"))


def values_of(page: Document) -> dict[str, str]:
    """Return the fields of the form as a browser would send them."""
    named = [each for each in page.elements if each.attributes.get("name")]
    return {
        each.attributes["name"]: each.attributes.get("value", each.text)
        for each in named
        if each.name == "textarea" or (each.name == "input" and _is_sent(each.attributes))
    }


def _is_sent(attributes: dict[str, str]) -> bool:
    return attributes.get("type") != "checkbox" or "checked" in attributes


class TestList:
    def test_versions_have_their_options_and_changes(self, browser: Browser, divided: View) -> None:
        newest, first = rows_below(opened(browser, f"/datasets/{divided['id']}/versions"))

        assert newest[:2] == ["2", "Ready 1 warning"]
        assert "removed" in newest[4]
        assert newest[5] == "class_map = disc → coin, square dropped, splits = 50:50"
        assert first[4] == "the first that is ready"

    def test_a_version_leads_to_its_own_page(self, browser: Browser, divided: View) -> None:
        page = opened(browser, f"/datasets/{divided['id']}/versions")

        assert f"/datasets/{divided['version']}" in page.links


class TestDifference:
    def test_images_are_listed_with_what_became_of_them(
        self, browser: Browser, divided: View
    ) -> None:
        page = opened(browser, f"/datasets/{divided['id']}/diff")

        rows = rows_below(page)
        assert {"added", "removed"} <= {row[0] for row in rows}
        chosen = [each.text for each in page.all("option") if "selected" in each.attributes]
        assert chosen == ["Version 1", "Version 2"]

    def test_a_version_does_not_differ_from_itself(self, browser: Browser, divided: View) -> None:
        version = divided["version"]
        path = f"/datasets/{divided['id']}/diff?before={version}&after={version}"

        page = opened(browser, path)

        assert "Both versions have the same images and labels." in page.text

    def test_a_single_version_has_nothing_to_compare(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        page = opened(browser, f"/datasets/{datasets.poses['id']}/diff", status=404)

        assert "No ready version of the dataset is older" in page.text


class TestForm:
    def test_the_new_version_has_the_classes_of_the_form(self, divided: View) -> None:
        assert divided["state"] == "ready"
        assert divided["classes"] == ["coin", "triangle"]
        assert divided["images"] == {"train": 6, "val": 6}

    def test_fields_begin_with_the_options_of_the_version(
        self, browser: Browser, divided: View
    ) -> None:
        page = opened(browser, f"/datasets/{divided['id']}/versions/new")

        values = values_of(page)
        assert values["splits"] == "50:50"
        assert (values["old.0"], values["new.0"]) == ("disc", "coin")
        assert (values["old.1"], values["drop.1"]) == ("square", "yes")

    def test_what_is_wrong_stands_at_its_field_and_nothing_is_lost(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        view = datasets.poses
        fields = {"old.0": "disc", "new.0": "coin", "max_bad_ratio": "much", "splits": "1"}

        sent = submitted(browser, f"/datasets/{view['id']}/versions/new", task="pose", **fields)

        assert sent.status == 422
        page = sent.page
        splits = page.one("input", id="v-splits")
        assert splits.attributes["aria-invalid"] == "true"
        message = page.one("span", id=splits.attributes["aria-describedby"])
        assert message.text.startswith("Shares of train, val and test are expected")
        assert {"#v-splits", "#v-max_bad_ratio"} <= page.links
        values = values_of(page)
        assert (values["max_bad_ratio"], values["new.0"]) == ("much", "coin")

    def test_hostile_text_comes_back_as_text(self, browser: Browser, datasets: Datasets) -> None:
        view = datasets.poses

        sent = submitted(
            browser, f"/datasets/{view['id']}/versions/new", names=HOSTILE, splits=HOSTILE
        )

        assert sent.status == 422
        assert values_of(sent.page)["splits"] == HOSTILE
        assert not [each for each in sent.page.all("script") if "alert" in each.text]

    def test_another_task_is_refused(self, browser: Browser, datasets: Datasets) -> None:
        view = datasets.poses

        sent = submitted(browser, f"/datasets/{view['id']}/versions/new", task="segment")

        assert sent.status == 409
        assert "labelled for pose" in sent.page.text


class TestFields:
    @pytest.mark.parametrize(
        ("pairs", "body"),
        [
            ([("task", ""), ("policy", "strict")], {"policy": "strict"}),
            ([("max_bad_ratio", "0.5")], {"max_bad_ratio": 0.5}),
            ([("max_bad_ratio", "half")], {"max_bad_ratio": "half"}),
            ([("names", " a \r\n\r\nb, c ")], {"names": ["a", "b, c"]}),
            ([("colours", '{"a": [1, 2, 3]}')], {"colours": {"a": [1, 2, 3]}}),
            ([("old.0", "a"), ("new.0", "a"), ("old.1", "b"), ("new.1", "")], {}),
            ([("old.0", "a"), ("new.0", " c ")], {"class_map": {"a": "c"}}),
            ([("old.0", "a"), ("new.0", "c"), ("drop.0", "yes")], {"class_map": {"a": None}}),
            ([("class_map", '{"a": null}')], {"class_map": {"a": None}}),
        ],
    )
    def test_a_form_means_these_options(
        self, pairs: list[tuple[str, str]], body: dict[str, Any]
    ) -> None:
        assert body_of(Form(pairs)) == body

    def test_options_survive_the_form(self) -> None:
        options = {
            "task": "detect",
            "policy": "strict",
            "max_bad_ratio": 0.25,
            "splits": "80.0000:20.0000:0.0000",
            "data_yaml": "a/data.yaml",
            "names": ["a", "b", "c"],
            "class_map": {"a": "x", "b": None},
        }

        fields = fields_of(options, ["x", "c"])

        kept = body_of(Form([*fields.items()]))
        assert kept == {**options, "splits": "80:20"}

    def test_classes_that_are_too_many_for_fields_are_json(self) -> None:
        fields = fields_of({}, [f"class {number}" for number in range(300)])

        assert [*class_fields(fields)] == []
        assert fields["class_map"] == ""


class TestDelete:
    def test_a_form_without_a_confirmation_asks_first(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        view = datasets.a_row("keep-me")

        sent = submitted(browser, f"/datasets/{view['id']}/delete")

        assert sent.status == 200
        assert "Delete keep-me?" in sent.page.text
        assert browser.client.get(f"/v1/datasets/{view['id']}").status_code == 200

    def test_a_confirmed_form_deletes_the_dataset(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        view = datasets.a_row("delete-me")

        sent = submitted(browser, f"/datasets/{view['id']}/delete", confirmed="yes")

        assert (sent.status, sent.location) == (303, "/datasets")
        assert browser.client.get(f"/v1/datasets/{view['id']}").status_code == 404

    def test_a_dataset_in_use_stays_and_its_jobs_are_named(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        view, rows = datasets.a_row("in-use"), datasets.api.rows
        of_dataset = Rows(rows.user_id, rows.project_id, view["id"], view["version"])
        a_job(datasets.api.database, of_dataset)

        sent = submitted(browser, f"/datasets/{view['id']}/delete", confirmed="yes")

        assert sent.status == 409
        assert "cannot be deleted" in sent.page.text
        assert f"/jobs?dataset={view['id']}" in sent.page.links
