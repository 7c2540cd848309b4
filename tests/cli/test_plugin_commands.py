"""`trainyard plugins check` and `try`: whether a plugin works, before a user's job needs it."""

import json
import os
import subprocess
import tomllib
from pathlib import Path

import pytest

from app.jobs.spec.job_spec import JobSpec
from tests.datasets.builders import a_detect_zip
from tests.plugins import (
    EXAMPLE,
    install_example,
    install_plugin,
    write_guides_plugin,
    write_plugin,
)
from tests.worlds.server import COMMAND

SECONDS = 280
POINTS = '[project.entry-points."trainyard.trainers"]'


def trainyard(
    folder: Path, plugins: Path, *words: str | Path
) -> "subprocess.CompletedProcess[str]":
    """Run the command where these plugins are installed, as a person without a configuration."""
    person = folder / "person"
    person.mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(person),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(plugins),
    }
    return subprocess.run(
        [COMMAND, "plugins", *words],
        cwd=person,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


class TestCheck:
    def test_a_plugin_that_works_is_told_with_its_tasks(self, tmp_path: Path) -> None:
        install_example(tmp_path / "plugins")

        finished = trainyard(tmp_path, tmp_path / "plugins", "check", "--json")

        (plugin,) = json.loads(finished.stdout)
        assert finished.returncode == 0, finished.stderr
        assert (plugin["name"], "detect" in plugin["tasks"]) == ("grayscale", True)

    def test_a_plugin_that_cannot_be_imported_is_told_with_the_reason(self, tmp_path: Path) -> None:
        write_plugin(tmp_path / "plugins", "import no_such_module\n")

        finished = trainyard(tmp_path, tmp_path / "plugins", "check")

        assert finished.returncode == 1
        assert "no_such_module" in finished.stdout
        assert "Traceback" not in finished.stdout + finished.stderr


class TestCheckOfAFolder:
    def test_the_example_is_checked_without_being_installed(self, tmp_path: Path) -> None:
        finished = trainyard(tmp_path, tmp_path, "check", EXAMPLE, "--json")

        (plugin,) = json.loads(finished.stdout)
        assert finished.returncode == 0, finished.stderr
        assert (plugin["name"], plugin["version"]) == ("grayscale", "1.0.0")
        assert "probability" in plugin["options_schema"]["properties"]

    def test_the_plugin_of_the_guide_is_checked_and_nothing_is_written_beside_it(
        self, tmp_path: Path
    ) -> None:
        folder = write_guides_plugin(tmp_path / "brighter")
        files = sorted(folder.rglob("*"))

        finished = trainyard(tmp_path, tmp_path, "check", folder)

        assert finished.returncode == 0, finished.stdout + finished.stderr
        assert finished.stdout.startswith("brighter 1.0.0: trains ")
        assert sorted(folder.rglob("*")) == files

    def test_the_job_of_the_guide_is_valid_and_names_its_plugin(self, tmp_path: Path) -> None:
        folder = write_guides_plugin(tmp_path / "brighter")
        job = json.loads((folder / "job.json").read_text())
        del job["data"]
        points = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["entry-points"]

        spec = JobSpec.model_validate({**job, "dataset": "shapes"})

        assert spec.trainer is not None
        assert spec.trainer.name in points["trainyard.trainers"]

    def test_a_module_that_cannot_be_imported_is_told_in_one_line(self, tmp_path: Path) -> None:
        folder = tmp_path / "mine"
        folder.mkdir()
        (folder / "pyproject.toml").write_text(f"{POINTS}\nmine = 'mine:Plugin'\n")
        (folder / "mine.py").write_text("import no_such_module\n")

        finished = trainyard(tmp_path, tmp_path, "check", folder)

        assert finished.returncode == 1
        assert "no_such_module" in finished.stdout
        assert len((finished.stdout + finished.stderr).splitlines()) == 1

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (None, "has no pyproject.toml"),
            ("[project]\nname = 'mine'\n", "has no entry point of a trainer plugin"),
            (POINTS, "has no entry point of a trainer plugin"),
            ("[project", "cannot be read"),
            (f"{POINTS}\nmine = 'json.tool:Plugin'\n", "json.tool, which the folder lacks"),
        ],
    )
    def test_a_folder_that_is_no_plugin_is_refused_in_one_line(
        self, tmp_path: Path, content: str | None, reason: str
    ) -> None:
        folder = tmp_path / "mine"
        folder.mkdir()
        if content is not None:
            (folder / "pyproject.toml").write_text(content)

        finished = trainyard(tmp_path, tmp_path, "check", folder)

        assert finished.returncode != 0
        assert reason in finished.stderr
        assert len((finished.stdout + finished.stderr).splitlines()) == 1


class TestTry:
    def test_options_that_are_no_json_are_refused_before_anything_starts(
        self, tmp_path: Path
    ) -> None:
        finished = trainyard(
            tmp_path, tmp_path, "try", "grayscale", "--data", tmp_path, "--options", "{"
        )

        assert finished.returncode != 0
        assert "--options" in finished.stderr
        assert "Traceback" not in finished.stderr

    @pytest.mark.slow
    def test_two_epochs_are_trained_and_nothing_is_left(self, tmp_path: Path) -> None:
        install_example(tmp_path / "plugins")
        archive = a_detect_zip(tmp_path / "shapes.zip")

        finished = trainyard(tmp_path, tmp_path / "plugins", "try", "grayscale", "--data", archive)

        assert finished.returncode == 0, finished.stderr
        assert "epoch 2/2" in finished.stderr
        assert list((tmp_path / "person").rglob("*.pt")) == []

    @pytest.mark.slow
    def test_the_plugin_of_the_guide_is_installed_and_trains(self, tmp_path: Path) -> None:
        plugins = install_plugin(tmp_path / "plugins", write_guides_plugin(tmp_path / "brighter"))
        archive = a_detect_zip(tmp_path / "shapes.zip")
        options = ("--options", '{"factor": 1.5}')

        finished = trainyard(tmp_path, plugins, "try", "brighter", "--data", archive, *options)

        assert finished.returncode == 0, finished.stderr
        assert "epoch 2/2" in finished.stderr
