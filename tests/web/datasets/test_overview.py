"""The overview of a dataset: classes, splits, samples; waiting, invalid and old versions."""

from sqlalchemy import select, update

from app.accounts.tables import MemberRole, Membership
from app.datasets.tables import VersionState
from tests.api.browser.browsers import Browser
from tests.datasets.builders import NAMES
from tests.web.datasets.cells import rows_below
from tests.web.datasets.worlds import HOSTILE, Datasets
from tests.web.jobs.pages import opened
from tests.worlds.rows import a_dataset, insert_owner

MANY = 120
TIMES = "\N{MULTIPLICATION SIGN}"


def a_report(classes: list[str]) -> dict[str, object]:
    counts = {name: number for number, name in enumerate(classes)}
    return {
        "task": "detect",
        "state": "ready",
        "classes": classes,
        "splits": {"train": {"images": 4, "objects": 9}},
        "class_counts": {"train": counts},
        "findings": [],
        "finding_totals": {},
    }


class TestReady:
    def test_classes_have_their_labels_in_each_split(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        page = opened(browser, f"/datasets/{datasets.boxes['id']}")

        rows = rows_below(page, "Classes")
        assert [row[0] for row in rows] == [*NAMES]
        assert rows[0] == ["disc", "4", "", "2", f"{TIMES} 1.25", f"{TIMES} 1.07"]

    def test_splits_have_images_objects_and_backgrounds(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        page = opened(browser, f"/datasets/{datasets.boxes['id']}")

        train, val = rows_below(page, "Splits")
        assert train == ["train", "10", "", "13", "1"]
        assert val == ["val", "4", "", "4", "1"]

    def test_samples_are_drawn_over_their_previews(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        page = opened(browser, f"/datasets/{datasets.boxes['id']}")

        images = [each.attributes["href"] for each in page.all("image")]
        assert len(images) == 6
        assert images[0].startswith(f"/v1/datasets/{datasets.boxes['version']}/previews/")
        assert browser.client.get(images[0]).headers["content-type"] == "image/jpeg"
        outlines = [each for each in page.all("path") if "data-group" in each.attributes]
        assert outlines[0].attributes["d"].startswith("M")

    def test_a_version_leads_to_training_and_to_its_exports(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        view = datasets.boxes

        page = opened(browser, f"/datasets/{view['id']}")

        assert f"/jobs/new?dataset={view['id']}" in page.links
        export = f"/v1/datasets/{view['version']}/export?format=coco"
        assert export in page.links
        assert browser.client.get(export).status_code == 200

    def test_class_folders_have_no_objects_to_count(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        page = opened(browser, f"/datasets/{datasets.folders['id']}")

        assert "Without objects" not in page.text
        assert "Counted are images." in page.text

    def test_many_classes_are_listed_in_pages(self, browser: Browser, datasets: Datasets) -> None:
        names = [f"kind {number:03d}" for number in range(MANY)]
        view = datasets.a_row("many", report=a_report(names), classes=names)

        first = opened(browser, f"/datasets/{view['id']}")
        often = opened(browser, f"/datasets/{view['id']}?order=count&from=50")

        assert "1 to 50 of 120" in first.text
        assert f"/datasets/{view['id']}?from=50#classes" in first.links
        assert rows_below(often, "Classes")[0][0] == "kind 069"
        assert "No label in train: kind 000" in first.text

    def test_hostile_class_names_are_text(self, browser: Browser, datasets: Datasets) -> None:
        report = a_report([HOSTILE, "b"])
        view = datasets.a_row("hostile-classes", report=report, classes=[HOSTILE, "b"])

        page = opened(browser, f"/datasets/{view['id']}")

        assert HOSTILE in page.text
        assert not [each for each in page.all("script") if "alert" in each.text]


class TestStates:
    def test_a_version_that_is_being_verified_shows_its_progress(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        progress = {"step": "images", "done": 0.4}
        view = datasets.a_row("verifying", state=VersionState.VALIDATING, progress=progress)

        page = opened(browser, f"/datasets/{view['id']}")

        note = page.one("div", id="verifying")
        assert note.attributes["data-version"] == view["version"]
        assert "Checking each image with its labels" in note.text
        assert "40 %" in note.text
        assert page.one("progress", aria_label="Share of this step").attributes["value"] == "0.4"

    def test_an_invalid_version_says_why_and_offers_the_remedy(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        page = opened(browser, f"/datasets/{datasets.strict['id']}")

        note = page.one("div", aria_label="Invalid")
        assert "cannot be trained on. 1 error in 1 file." in " ".join(note.text.split())
        assert "Read it again with policy = lenient" in note.text
        assert f"/jobs/new?dataset={datasets.strict['id']}" not in page.links

    def test_a_version_of_an_earlier_release_can_be_read_again(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        view = datasets.a_row("early", report=a_report(["a"]), classes=["a"])

        page = opened(browser, f"/datasets/{view['id']}/samples")

        assert "An earlier release verified this version" in page.text
        assert f"/datasets/{view['id']}/mend" in page.actions

    def test_an_older_version_leads_to_the_newest(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        view = datasets.a_row("aged", report=a_report(["a"]), classes=["a"])
        datasets.another_version(view)

        page = opened(browser, f"/datasets/{view['version']}")

        assert "This is version 1. Show version 2, the newest." in page.text
        assert f"/datasets/{view['id']}" in page.links
        assert f"/jobs/new?dataset={view['version']}" in page.links


class TestWhoMaySee:
    def test_a_dataset_of_another_project_is_not_there(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        with datasets.api.database.write() as unit:
            owner = insert_owner(unit.session, "elsewhere")
            foreign, _ = a_dataset(unit.session, owner.project_id, owner.user_id, name="secret")

        for below in ("", "/samples", "/statistics", "/findings", "/versions", "/diff"):
            page = opened(browser, f"/datasets/{foreign}{below}", status=404)
            assert "secret" not in page.source

    def test_a_viewer_is_offered_no_change(self, browser: Browser, datasets: Datasets) -> None:
        view = datasets.boxes
        self._set_role(datasets, MemberRole.VIEWER)
        try:
            page = opened(browser, f"/datasets/{view['id']}")
        finally:
            self._set_role(datasets, MemberRole.ADMIN)

        assert not [each for each in page.actions if each.startswith("/datasets")]
        assert "Upload a version" not in page.text
        assert f"/jobs/new?dataset={view['id']}" in page.links

    def test_an_id_that_is_none_is_not_there(self, browser: Browser) -> None:
        opened(browser, "/datasets/ds_%00", status=404)

    @staticmethod
    def _set_role(datasets: Datasets, role: MemberRole) -> None:
        with datasets.api.database.write() as unit:
            project = select(Membership.project_id).where(
                Membership.user_id == datasets.api.rows.user_id
            )
            of_project = Membership.project_id.in_(project)
            unit.session.execute(update(Membership).where(of_project).values(role=role))
