"""The example plugin's README shows its real entry point and a valid job."""

import re
import tomllib
from typing import Any

import pytest

from app.jobs.spec.job_spec import JobSpec
from tests.plugins import EXAMPLE

pytestmark = pytest.mark.unit

README = (EXAMPLE / "README.md").read_text(encoding="utf-8")


def shown(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


class TestReadme:
    def test_the_readme_of_the_plugin_shows_the_entry_point_that_the_package_has(self) -> None:
        project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]

        assert tomllib.loads(shown("toml"))["project"]["entry-points"] == project["entry-points"]

    def test_the_readme_of_the_plugin_shows_a_job_that_names_the_plugin(self) -> None:
        spec: Any = JobSpec.model_validate_json(shown("json"))

        assert f"\n{spec.trainer.name} = " in shown("toml")

    def test_the_package_brings_no_library_that_could_change_the_workers(self) -> None:
        project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]

        assert project["dependencies"] == []
