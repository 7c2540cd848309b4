"""What is on the screen: at a terminal, in a pipe, in a narrow window, without colours."""

from collections.abc import Iterator

import pytest

from tests.browser.site import Site
from tests.command.typed import Person, steady
from trainyard.command.screen import curve

pytestmark = pytest.mark.integration

LISTED = """\
id          name   state      epoch  best  model         dataset  created
job_ID      seen   cancelled  -      -     yolo26n.yaml  DATASET  TIME
"""
SHOWN = """\
id       job_ID
name     seen
state    cancelled
model    yolo26n.yaml
dataset  DATASET
created  TIME
page     URL/jobs/job_ID
"""
WATCHED = """\
seen  cancelled
URL/jobs/job_ID
job_ID cancelled
"""


@pytest.fixture
def job(site: Site, person: Person) -> Iterator[str]:
    job = site.submit(name="seen")
    assert person.types("cancel", job).returncode == 0
    yield job
    with site.client as client:
        client.delete(f"/v1/jobs/{job}")


def without_dataset(text: str, site: Site) -> str:
    with site.client as client:
        name = client.get(f"/v1/datasets/{site.rows.dataset_id}").json()["name"]
    return steady(text).replace(name, "DATASET")


def squeezed(text: str) -> list[list[str]]:
    """Return the words of each line: how wide a column is depends on ids and times."""
    return [line.split() for line in text.splitlines() if line.strip()]


class TestInAPipe:
    def test_jobs(self, person: Person, site: Site, job: str) -> None:
        finished = person.types("jobs", "--limit", "1")

        assert job in finished.stdout
        assert squeezed(without_dataset(finished.stdout, site)) == squeezed(LISTED)

    @pytest.mark.usefixtures("job")
    def test_show(self, person: Person, site: Site) -> None:
        printed = without_dataset(person.types("show", "seen").stdout, site)

        assert printed == SHOWN

    def test_watch_has_a_line_for_each_event(self, person: Person, job: str) -> None:
        finished = person.types("watch", job)

        assert steady(finished.stdout) == "submitted\ncancelled\njob_ID cancelled\n"
        assert steady(finished.stderr) == "trainyard: The job seen was cancelled\n"
        assert finished.returncode == 7


class TestAtATerminal:
    @pytest.mark.parametrize("columns", [80, 40])
    def test_watch_leaves_the_last_view_on_the_screen(
        self, person: Person, job: str, columns: int
    ) -> None:
        with person.at_terminal("watch", job, columns=columns) as terminal:
            assert terminal.ended() == 7

        assert "\x1b[" in terminal.written
        joined = steady(terminal.text.replace("\n", ""))
        assert "seen  cancelledURL/jobs/job_ID" in joined
        assert max(map(len, terminal.text.splitlines())) <= max(columns, 75)

    def test_no_color_has_no_colours(self, person: Person, job: str) -> None:
        person.environment["NO_COLOR"] = "1"

        with person.at_terminal("watch", job) as terminal:
            assert terminal.ended() == 7

        assert "\x1b[3" not in terminal.written


class TestCurve:
    def test_a_curve_rises_with_its_values(self) -> None:
        lines = curve([0.0, 0.5, 1.0], width=10)

        assert lines == ["  █", "  █", " ▅█", " ██", "▁██"]

    def test_a_curve_of_equal_values_is_flat(self) -> None:
        assert curve([1.0, 1.0], width=10) == ["", "", "", "", "▁▁"]

    def test_a_long_curve_fits_the_width(self) -> None:
        assert max(map(len, curve([float(it) for it in range(999)], width=20))) == 20
