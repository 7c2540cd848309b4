"""A cluster per module and database, and the dataset that its jobs train on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.datasets.builders import a_detect_zip
from tests.worlds.cluster import Cluster, a_cluster
from tests.worlds.server import TRAIN_IMAGES, VAL_IMAGES


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "shapes.zip"
    return a_detect_zip(path, train=TRAIN_IMAGES, val=VAL_IMAGES)


@pytest.fixture(scope="module")
def cluster(
    module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A running broker and server on either database; a test adds the workers that it kills."""
    with a_cluster(tmp_path_factory.mktemp("faults") / "cluster", module_database_url) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def dataset(cluster: Cluster, archive: Path) -> str:
    return cluster.upload(archive)
