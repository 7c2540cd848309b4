"""Answers stay small when a dataset has very many classes."""

from collections.abc import Iterator

import pytest
from sqlalchemy import event, update

from app.datasets.tables import DatasetVersion
from tests.counting import statements_to
from tests.worlds.server import Api

pytestmark = pytest.mark.mostly_sqlite

CLASSES = [f"n{number:05d} {'x' * 20}" for number in range(30_000)]
WEIGHTED = {"class_weights": {"mode": "inverse_frequency", "cap": 25}}
LONG_COLUMNS = (
    "dataset_versions.classes",
    "dataset_versions.report",
    ".resolved_spec",
    "jobs.spec,",
)


def with_many_classes(api: Api) -> Api:
    """Give the server's dataset 30,000 classes."""
    with api.database.write() as unit:
        unit.session.execute(
            update(DatasetVersion)
            .where(DatasetVersion.id == api.rows.version_id)
            .values(
                classes=CLASSES,
                class_count=len(CLASSES),
                first_classes=CLASSES[:20],
                report={"class_counts": {"train": dict.fromkeys(CLASSES, 1)}},
            )
        )
    return api


@pytest.fixture(scope="module")
def flooded(shared_api: Api) -> Api:
    """A server whose dataset has 30,000 classes; the tests of this module add jobs."""
    return with_many_classes(shared_api)


@pytest.fixture
def sent(flooded: Api) -> Iterator[list[str]]:
    """The text of all statements to that server."""
    yield from statements_of(flooded)


def statements_of(api: Api) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(*args: object) -> None:
        statements.append(str(args[2]))

    event.listen(api.database.engine, "before_cursor_execute", note)
    yield statements
    event.remove(api.database.engine, "before_cursor_execute", note)


class TestDatasets:
    def test_a_row_shows_the_first_twenty_names_and_their_number(self, flooded: Api) -> None:
        answer = flooded.client.get("/v1/datasets")

        row = answer.json()["data"][0]
        assert (row["class_count"], row["classes"]) == (30_000, CLASSES[:20])
        assert len(answer.content) < 4096

    @pytest.mark.parametrize(
        "path", ["/v1/datasets", "/v1/datasets/{dataset}", "/v1/datasets/{dataset}/versions"]
    )
    def test_no_list_reads_the_columns_that_grow_with_the_classes(
        self, flooded: Api, sent: list[str], path: str
    ) -> None:
        flooded.client.get(path.format(dataset=flooded.rows.dataset_id)).raise_for_status()

        assert any("dataset_versions.class_count" in each for each in sent)
        assert not [column for column in LONG_COLUMNS for each in sent if column in each]

    def test_all_classes_are_read_in_pages(self, flooded: Api) -> None:
        path = f"/v1/datasets/{flooded.rows.version_id}/classes"

        first = flooded.client.get(path, params={"limit": 200}).json()
        second = flooded.client.get(path, params={"limit": 200, "cursor": first["next"]}).json()

        read = [*first["data"], *second["data"]]
        assert [each["name"] for each in read] == CLASSES[:400]
        assert [each["number"] for each in read] == [*range(400)]


class TestJobs:
    def test_a_submit_is_answered_with_the_first_hundred_weights(self, flooded: Api) -> None:
        answer = flooded.client.post("/v1/jobs", json=flooded.spec(customize=WEIGHTED))

        job = answer.json()
        assert len(answer.content) < 32_768
        assert job["class_weight_count"] == 30_000
        assert list(job["resolved"]["class_weights"]) == CLASSES[:100]

    def test_a_repeated_submit_is_answered_as_briefly(self, flooded: Api) -> None:
        key = {"Idempotency-Key": "one"}
        spec = flooded.spec(customize=WEIGHTED)
        flooded.client.post("/v1/jobs", json=spec, headers=key)

        answer = flooded.client.post("/v1/jobs", json=spec, headers=key)

        assert answer.headers["Idempotency-Replayed"] == "true"
        assert len(answer.content) < 32_768

    def test_a_plan_has_the_first_hundred_weights(self, flooded: Api) -> None:
        answer = flooded.client.post("/v1/jobs/validate", json=flooded.spec(customize=WEIGHTED))

        assert list(answer.json()["resolved"]["class_weights"]) == CLASSES[:100]

    def test_a_list_reads_no_spec(self, flooded: Api, sent: list[str]) -> None:
        flooded.submit(customize=WEIGHTED)
        sent.clear()

        answer = flooded.client.get("/v1/jobs", params={"limit": 1})

        assert len(answer.content) < 4096
        assert any("jobs.priority" in each for each in sent)
        assert not [column for column in LONG_COLUMNS for each in sent if column in each]

    def test_a_list_asks_as_much_for_many_jobs_as_for_one(self, flooded: Api) -> None:
        flooded.submit()
        with statements_to(flooded.database) as one:
            flooded.client.get("/v1/jobs")
        for _ in range(5):
            flooded.submit()

        with statements_to(flooded.database) as many:
            flooded.client.get("/v1/jobs")

        assert many == one

    def test_all_weights_are_read_in_pages(self, flooded: Api) -> None:
        path = flooded.submit(customize=WEIGHTED)["links"]["class_weights"]

        first = flooded.client.get(path, params={"limit": 2}).json()
        second = flooded.client.get(path, params={"limit": 2, "cursor": first["next"]}).json()

        assert [each["name"] for each in (*first["data"], *second["data"])] == CLASSES[:4]
        assert {each["weight"] for each in first["data"]} == {1}


class TestUploads:
    """A server of its own: a new version hides the one that the other tests look at."""

    @pytest.fixture
    def own(self, api: Api) -> Api:
        return with_many_classes(api)

    @pytest.fixture
    def sent_to_own(self, own: Api) -> Iterator[list[str]]:
        yield from statements_of(own)

    def test_an_upload_reads_no_report_of_an_earlier_version(
        self, own: Api, sent_to_own: list[str]
    ) -> None:
        body = {"content-type": "application/zip"}

        answer = own.client.post(
            "/v1/datasets", params={"name": "shapes"}, content=b"PK" + b"0" * 30, headers=body
        )

        read = [each for each in sent_to_own if each.startswith("SELECT")]
        assert answer.json()["number"] == 2
        assert not [column for column in LONG_COLUMNS for each in read if column in each]
