"""Identifiers are sortable, and unique across processes."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

from app.core.ids import new_id

pytestmark = pytest.mark.unit


def some_ids(count: int) -> list[str]:
    return [new_id("job") for _ in range(count)]


@pytest.fixture
def forked() -> Iterator[ProcessPoolExecutor]:
    """Two processes that start with the memory of this one, including its random state."""
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        yield pool


class TestNewId:
    def test_an_id_says_what_it_names_and_sorts_by_age(self) -> None:
        ids = some_ids(1000)

        assert ids == sorted(ids)
        assert all(each.startswith("job_") and len(each) == 30 for each in ids)

    @pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
    def test_forked_processes_make_different_ids(self, forked: ProcessPoolExecutor) -> None:
        batches = [forked.submit(some_ids, 1000) for _ in range(2)]

        ids = [each for batch in batches for each in batch.result()] + some_ids(1000)

        random_parts = {each[-16:] for each in ids}
        assert len(random_parts) == len(ids) == 3000
