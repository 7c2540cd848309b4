"""The exit status of each kind of end; why is on stderr, and stdout has only data."""

import json
from typing import Any

import pytest
from sqlalchemy import update

from app.core.database import Database
from app.jobs.end_reasons import EndReason
from app.jobs.tables import Job
from tests.browser.site import Site
from tests.command.typed import Person
from trainyard.command.exits import told
from trainyard.errors import ConfigurationError, WaitTimeout, problem_error

pytestmark = pytest.mark.integration


def end(database: Database, job: str, state: str) -> None:
    """Let a job have ended so."""
    values: dict[str, Any] = {"state": state}
    if state == "failed":
        values |= {"end_reason": EndReason.BAD_DATA, "error_message": "It is a test."}
    with database.write() as unit:
        unit.session.execute(update(Job).where(Job.id == job).values(**values))


class TestStatuses:
    def test_0_when_it_worked(self, person: Person) -> None:
        assert person.types("jobs").returncode == 0

    @pytest.mark.parametrize(
        "words", [("levitate",), ("jobs", "--sideways"), ("train",), ("wait", "x", "--for", "ever")]
    )
    def test_2_for_words_that_mean_nothing(self, person: Person, words: tuple[str, ...]) -> None:
        assert person.types(*words).returncode == 2

    @pytest.mark.parametrize(("state", "status"), [("failed", 3), ("cancelled", 7)])
    def test_3_for_a_job_that_failed_and_7_for_a_cancelled_one(
        self, person: Person, site: Site, state: str, status: int
    ) -> None:
        job = site.submit()
        end(site.database, job, state)

        finished = person.types("wait", job)

        assert finished.returncode == status, finished.stderr
        assert finished.stdout == ""

    def test_4_without_a_valid_key(self, person: Person) -> None:
        person.environment["TRAINYARD_API_KEY"] = "trainyard_wrong"

        finished = person.types("jobs")

        assert finished.returncode == 4
        assert "trainyard login" in finished.stderr

    @pytest.mark.parametrize("reference", ["nobody", "job_01M8Q9YSPJ4GXN4KS1B3TD3D6Q"])
    def test_5_for_what_is_not_there(self, person: Person, reference: str) -> None:
        assert person.types("show", reference).returncode == 5

    def test_6_for_what_the_server_refuses(self, person: Person, site: Site) -> None:
        job = site.submit()
        person.types("cancel", job)

        assert person.types("pause", job).returncode == 6

    def test_6_for_a_folder_that_is_no_dataset(self, person: Person) -> None:
        (person.folder / "data.yaml").write_text("names: [a]\n")

        finished = person.types("train", "data=data.yaml", "model=yolo26n.yaml", "epochs=1")

        assert finished.returncode == 6
        assert "has no `train`" in finished.stderr

    def test_8_when_the_time_is_up(self, person: Person, site: Site) -> None:
        assert person.types("wait", site.submit(), "--timeout", "0.1").returncode == 8

    def test_9_without_a_server_that_answers(self, person: Person) -> None:
        finished = person.types("jobs", "--url", "http://127.0.0.1:9")

        assert finished.returncode == 9
        assert finished.stdout == ""

    def test_78_without_a_known_server_and_says_how_to_start_one(self, nobody: Person) -> None:
        finished = nobody.types("train", "data=data.yaml", "model=yolo26n.yaml")

        assert finished.returncode == 78
        assert "--up" in finished.stderr

    def test_78_for_a_file_that_cannot_be_read(self, nobody: Person) -> None:
        (nobody.folder / "trainyard.toml").write_text("url = \n")

        assert nobody.types("jobs").returncode == 78

    def test_1_for_everything_else(self) -> None:
        assert told(problem_error({"title": "It failed"}, 500)) == 1

    def test_a_fault_of_the_program_is_not_hidden(self) -> None:
        assert told(RuntimeError("a bug")) is None

    @pytest.mark.parametrize(
        ("error", "status"), [(ConfigurationError("x"), 78), (WaitTimeout("x"), 8)]
    )
    def test_what_is_said_cannot_control_the_terminal(
        self, capsys: pytest.CaptureFixture[str], error: Exception, status: int
    ) -> None:
        assert told(type(error)("bad\x1b]0;owned\x07")) == status
        assert capsys.readouterr().err == "trainyard: bad\\x1b]0;owned\\x07\n"


class TestOrderOfConfiguration:
    def test_an_option_wins_over_the_environment_and_that_over_a_file(
        self, person: Person, site: Site
    ) -> None:
        (person.folder / "trainyard.toml").write_text('url = "http://127.0.0.1:9"\n')
        by_variable = person.types("jobs")
        person.environment["TRAINYARD_URL"] = "http://127.0.0.1:9"
        by_option = person.types("jobs", "--url", site.url)
        del person.environment["TRAINYARD_URL"]

        assert (by_variable.returncode, by_option.returncode) == (0, 0)
        assert person.types("jobs").returncode == 9


class TestJson:
    def test_json_is_all_that_stdout_has(self, person: Person, site: Site) -> None:
        job = site.submit(name="for-json")

        finished = person.types("show", "for-json", "--json")

        assert json.loads(finished.stdout)["id"] == job
        assert finished.stderr == ""
