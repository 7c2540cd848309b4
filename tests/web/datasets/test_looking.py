"""Looking at a dataset: samples by split and class, statistics, and duplicates."""

from tests.api.browser.browsers import Browser
from tests.datasets.builders import NAMES
from tests.web.datasets.cells import rows_below
from tests.web.datasets.worlds import Datasets
from tests.web.jobs.pages import Document, opened


def files_on(page: Document) -> list[str]:
    found = [each.attributes.get("data-sample") for each in page.all("a")]
    return [file for file in found if file]


class TestSamples:
    def test_samples_are_of_the_split_and_class_in_the_address(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        path = f"/datasets/{datasets.boxes['id']}/samples"

        page = opened(browser, f"{path}?split=val&class={NAMES[0]}")

        assert files_on(page)
        assert all(file.startswith("images/val/") for file in files_on(page))
        pictures = page.all("svg", class_="drawn")
        assert all(NAMES[0] in each.attributes["aria-label"] for each in pictures)
        chosen = [each.text for each in page.all("option") if "selected" in each.attributes]
        assert chosen == ["val", NAMES[0]]

    def test_another_seed_keeps_the_filters(self, browser: Browser, datasets: Datasets) -> None:
        path = f"/datasets/{datasets.boxes['id']}/samples"

        page = opened(browser, f"{path}?split=train&seed=7")

        assert f"{path}?split=train&seed=8" in page.links

    def test_key_points_are_dots(self, browser: Browser, datasets: Datasets) -> None:
        page = opened(browser, f"/datasets/{datasets.poses['id']}/samples")

        dots = page.all("path", class_="dots")
        assert dots
        assert all("h0" in each.attributes["d"] for each in dots)

    def test_images_of_class_folders_have_no_legend(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        page = opened(browser, f"/datasets/{datasets.folders['id']}/samples")

        assert page.all("svg", class_="drawn")
        assert page.all("form", class_="toggles") == []

    def test_a_class_that_the_version_lacks_is_an_error_page(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        page = opened(browser, f"/datasets/{datasets.boxes['id']}/samples?class=cow", status=422)

        assert "The version has no such class." in page.text

    def test_an_invalid_version_has_none(self, browser: Browser, datasets: Datasets) -> None:
        page = opened(browser, f"/datasets/{datasets.strict['id']}/samples")

        assert "The version is invalid, so nothing of it is stored." in page.text


class TestStatistics:
    def test_histograms_are_drawn_and_readable_as_tables(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        page = opened(browser, f"/datasets/{datasets.boxes['id']}/statistics")

        titles = [each.text for each in page.all("h3")]
        assert titles[:2] == ["Objects in an image", "Box area"]
        assert page.all("rect", fill_opacity="1.0")
        assert "As a table" in page.text

    def test_duplicates_and_empty_images_are_counted(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        path = f"/datasets/{datasets.boxes['id']}"

        page = opened(browser, f"{path}/statistics")

        assert rows_below(page, "Duplicates")[0] == ["Images with the same bytes", "1 group"]
        assert "images/train/empty.jpg" in page.text
        assert f"{path}/duplicates?kind=exact" in page.links

    def test_duplicates_name_their_splits_and_files(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        page = opened(browser, f"/datasets/{datasets.boxes['id']}/duplicates?kind=exact")

        files = "images/train/0002.jpg, images/val/copy.jpg"
        assert rows_below(page) == [["2", "Across splits: 1 train, 1 val", files]]

    def test_without_duplicates_it_says_so(self, browser: Browser, datasets: Datasets) -> None:
        page = opened(browser, f"/datasets/{datasets.folders['id']}/duplicates")

        assert "None." in page.text
