"""`trainyard download` without names: all files, in a folder of the working directory."""

import pytest

from tests.browser.site import Site
from tests.command.typed import Person


@pytest.mark.parametrize("name", ["../outside", "/var/outside", "..", "~/x", "a/../../b", ".ssh"])
def test_a_name_that_leads_elsewhere_names_no_folder(person: Person, site: Site, name: str) -> None:
    job = site.submit(name=name)
    before = set(person.folder.parent.iterdir())

    finished = person.types("download", job)

    assert finished.returncode == 0, finished.stderr
    assert {path.name for path in person.folder.iterdir()} == {"home", job}
    assert set(person.folder.parent.iterdir()) == before


def test_the_folder_is_called_as_the_job(person: Person, site: Site) -> None:
    job = site.submit(name="night shift 2")

    person.types("download", job)

    assert (person.folder / "night shift 2").is_dir()
