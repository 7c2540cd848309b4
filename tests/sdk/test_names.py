"""A dataset is named as people name it: by its id, its name, or its name and a number."""

import pytest

from app.core.ids import new_id
from app.datasets.tables import VersionState
from tests.browser.site import Site
from tests.worlds.rows import a_dataset
from trainyard import Client, NotFoundError


@pytest.fixture
def named(site: Site) -> tuple[str, str, str]:
    """Add a dataset with a name of its own; return its name, its id and that of its version."""
    name = f"night shift {new_id('t')}"
    with site.database.write() as unit:
        ids = a_dataset(
            unit.session,
            site.rows.project_id,
            site.rows.user_id,
            name=name,
            state=VersionState.READY,
        )
    return name, *ids


class TestNames:
    def test_id_name_and_number_lead_to_the_same_version(
        self, client: Client, named: tuple[str, str, str]
    ) -> None:
        name, dataset, version = named

        found = [client.datasets.get(each) for each in (name, f"{name}@1", dataset, version)]

        assert [(view.id, view.version) for view in found] == [(dataset, version)] * 4

    def test_lists_of_a_dataset_are_found_by_its_name(
        self, client: Client, named: tuple[str, str, str]
    ) -> None:
        name, _, version = named

        rows = client.datasets.versions(name).all()

        assert [row.version for row in rows] == [version]
        assert client.datasets.findings(name).all() == []

    @pytest.mark.parametrize("reference", ["{name}@2", "no such name", "a/b?c=d", "ds_1"])
    def test_what_names_no_dataset_is_not_found(
        self, client: Client, named: tuple[str, str, str], reference: str
    ) -> None:
        with pytest.raises(NotFoundError, match="datasets list"):
            client.datasets.get(reference.format(name=named[0]))
