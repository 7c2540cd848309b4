"""The two surfaces offer the same, and every problem type has its exception."""

import inspect
import re
from pathlib import Path

import pytest
from trainyard import async_client, async_job, async_sections, client, errors, job, sections
from trainyard.errors import PREFIX, ProblemError, problem_error

pytestmark = pytest.mark.unit
PROBLEMS = Path(__file__).parents[2] / "docs/problems.md"
PAIRS = [
    (client.Client, async_client.AsyncClient),
    (job.Job, async_job.AsyncJob),
    (job.BestWeights, async_job.AsyncBestWeights),
    (sections.Jobs, async_sections.AsyncJobs),
    (sections.Datasets, async_sections.AsyncDatasets),
    (sections.Models, async_sections.AsyncModels),
]


def offered(kind: type) -> dict[str, list[str]]:
    """Return the public methods of a class with the names of their parameters."""
    return {
        name: list(inspect.signature(member).parameters)
        for name, member in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


class TestSurfaces:
    @pytest.mark.parametrize(("blocking", "awaited"), PAIRS)
    def test_both_have_the_same_methods_with_the_same_parameters(
        self, blocking: type, awaited: type
    ) -> None:
        assert offered(awaited) == offered(blocking)


class TestProblems:
    @pytest.mark.parametrize(
        ("slug", "status"),
        re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \|", PROBLEMS.read_text(), re.MULTILINE),
    )
    def test_every_type_has_an_exception_of_its_family(self, slug: str, status: str) -> None:
        error = problem_error({"type": f"{PREFIX}{slug}"}, int(status))

        assert type(error) is not ProblemError
        assert error.slug == slug

    def test_an_unknown_type_is_a_problem_too(self) -> None:
        error = problem_error({"type": "urn:other", "title": "Odd", "new": 1}, 418)

        assert isinstance(error, errors.ProblemError)
        assert error.facts == {"new": 1}

    def test_the_page_of_a_proxy_is_a_problem_without_a_type(self) -> None:
        error = problem_error(None, 502)

        assert isinstance(error, errors.UnavailableError)
        assert "502" in str(error)
