"""Paths behind a proxy that publishes the server below a prefix."""

import asyncio
import re
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from app.core import path_prefix
from app.core.path_prefix import PathPrefixMiddleware, link


def seen(prefix: str, path: str) -> tuple[str, str]:
    """Return the path that the application sees, and a link that it makes."""
    found: list[tuple[str, str]] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        found.append((scope["path"], link("/v1/jobs/1")))

    scope = {"type": "http", "path": path, "raw_path": path.encode()}
    asyncio.run(PathPrefixMiddleware(app, prefix)(scope, None, None))  # type: ignore[arg-type]
    return found[0]


class TestPrefix:
    @pytest.mark.parametrize(
        ("path", "inside"),
        [
            ("/v1/jobs", "/v1/jobs"),
            ("/yard/v1/jobs", "/v1/jobs"),
            ("/yard", "/"),
            ("/yard/", "/"),
            ("/yardage/v1", "/yardage/v1"),
            ("/yard/yard/v1/jobs", "/yard/v1/jobs"),
            ("//yard/v1/jobs", "//yard/v1/jobs"),
        ],
    )
    def test_the_application_sees_the_path_without_the_prefix(self, path: str, inside: str) -> None:
        assert seen("/yard", path) == (inside, "/yard/v1/jobs/1")

    def test_without_a_prefix_paths_and_links_are_as_they_are(self) -> None:
        assert seen("", "/yard/v1/jobs") == ("/yard/v1/jobs", "/v1/jobs/1")

    def test_no_link_outside_of_a_request_has_one(self) -> None:
        seen("/yard", "/v1/jobs")

        assert link("/v1/jobs/1") == "/v1/jobs/1"


class TestSources:
    def test_no_response_has_a_path_that_lacks_the_prefix(self) -> None:
        made = re.compile(r'(?<!link\()f"/v1/')
        app = Path(path_prefix.__file__).parents[1]
        # The pages ask the API inside the process, where no path has the prefix.
        sources = [path for path in app.rglob("*.py") if app / "web" not in path.parents]

        assert [str(path) for path in sources if made.search(path.read_text())] == []
