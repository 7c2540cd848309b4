"""Metrics over a job and all of its ancestors."""

import pytest

from tests.api.jobs.extending import delete_for_good, extended, metrics, trained
from tests.jobs.trained import MAP, RATE, train
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]


@pytest.fixture
def api(shared_api: Api) -> Api:
    """One server for all tests of this module: each test uses its own jobs."""
    return shared_api


class TestMetricsOfALineage:
    @pytest.fixture
    def line(self, api: Api) -> list[str]:
        """Three jobs, each of which continues from a state before its parent's last epoch."""
        first = trained(api, states=(3,))
        second = extended(api, first, 6)
        train(api.database, second, (0.44, 0.5, 0.6), states=(5,), first=4)
        third = extended(api, second, 7)
        train(api.database, third, (0.66, 0.7), states=(7,), first=6)
        return [first, second, third]

    def test_each_epoch_is_that_of_the_job_whose_training_was_gone_on_with(
        self, api: Api, line: list[str]
    ) -> None:
        view = metrics(api, line[-1])

        assert view["epochs"] == [1, 2, 3, 4, 5, 6, 7]
        assert view["series"][MAP] == [0.1, 0.2, 0.3, 0.44, 0.5, 0.66, 0.7]
        assert [tuple(each.values()) for each in view["lineage"]] == [
            (line[0], 1, 3),
            (line[1], 4, 5),
            (line[2], 6, None),
        ]

    def test_metrics_without_a_lineage_have_only_the_jobs_own_epochs(
        self, api: Api, line: list[str]
    ) -> None:
        view = api.client.get(f"/v1/jobs/{line[-1]}/metrics").json()

        assert view["epochs"] == [6, 7]
        assert view["lineage"] is None

    def test_since_and_keys_narrow_a_lineage_and_it_comes_as_a_table(
        self, api: Api, line: list[str]
    ) -> None:
        view = metrics(api, line[-1], since=2, keys=MAP)
        table = api.client.get(
            f"/v1/jobs/{line[-1]}/metrics?lineage=true&since=5", headers={"Accept": "text/csv"}
        )

        assert (view["epochs"], list(view["series"])) == ([3, 4, 5, 6, 7], [MAP])
        assert table.text.splitlines()[0] == f"epoch,{MAP},{RATE}"
        assert len(table.text.splitlines()) == 3

    def test_an_ancestor_that_was_deleted_for_good_is_left_out_and_named(
        self, api: Api, line: list[str]
    ) -> None:
        delete_for_good(api, line[0])

        view = metrics(api, line[-1])

        assert view["epochs"] == [4, 5, 6, 7]
        assert tuple(view["lineage"][0].values()) == (None, 1, 3)

    def test_a_job_that_trained_nothing_before_it_was_gone_on_from_has_no_part(
        self, api: Api
    ) -> None:
        first = trained(api)
        second = extended(api, first, 6)
        api.client.post(f"/v1/jobs/{second}/cancel")

        third = extended(api, second, 7)

        parts = [tuple(each.values()) for each in metrics(api, third)["lineage"]]
        assert parts == [(first, 1, 4), (third, 5, None)]

    def test_a_clone_goes_on_from_nothing(self, api: Api) -> None:
        parent = trained(api)
        clone = api.client.post(f"/v1/jobs/{parent}/clone", json={}).json()["id"]

        view = metrics(api, clone)

        assert view["epochs"] == []
        assert [tuple(each.values()) for each in view["lineage"]] == [(clone, 1, None)]
