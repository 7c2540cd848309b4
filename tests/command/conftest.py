"""A server without workers for the command, and a person without configuration."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.site import Site, a_site
from tests.command.typed import Person


@pytest.fixture(scope="session")
def site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run a server without a broker and without workers."""
    with a_site(tmp_path_factory.mktemp("site"), sqlite_template) as site:
        yield site


@pytest.fixture
def nobody(tmp_path: Path) -> Person:
    """A person who knows no server."""
    folder = tmp_path / "person"
    folder.mkdir()
    return Person(folder)


@pytest.fixture
def person(nobody: Person, site: Site) -> Person:
    """A person who knows the server, and has a key for it."""
    nobody.environment |= {
        "TRAINYARD_URL": site.url,
        "TRAINYARD_API_KEY": (site.home / "api-key").read_text().strip(),
    }
    return nobody
