"""A real server for the client, and both surfaces of the client on it."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from trainyard import Client

from tests.browser.site import Site, a_site
from tests.datasets.builders import a_detect_zip
from tests.faults.proxy import FaultProxy, fault_proxy
from tests.sdk.surfaces import a_client


@pytest.fixture(autouse=True)
def _a_person_without_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the configuration and the servers of whoever runs the tests."""
    empty = tmp_path / "person"
    empty.mkdir()
    for name in ("TRAINYARD_URL", "TRAINYARD_API_KEY", "YOLO_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(empty))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(empty / "config"))
    monkeypatch.setenv("TRAINYARD_HOME", str(empty / "home"))


@pytest.fixture(scope="session")
def site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run a server without a broker and without workers."""
    with a_site(tmp_path_factory.mktemp("site"), sqlite_template) as site:
        yield site


@pytest.fixture
def key(site: Site) -> str:
    return (site.home / "api-key").read_text().strip()


@pytest.fixture(params=["sync", "async"])
def surface(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def client(surface: str, site: Site, key: str) -> Iterator[Client]:
    with a_client(surface, site.url, key) as client:
        yield client


@pytest.fixture
def proxy(site: Site) -> Iterator[FaultProxy]:
    """A network between client and server that can be cut."""
    with fault_proxy(("127.0.0.1", int(site.url.rpartition(":")[2]))) as proxy:
        yield proxy


@pytest.fixture
def far_client(surface: str, proxy: FaultProxy, key: str) -> Iterator[Client]:
    """A client behind that network."""
    address = proxy.address
    assert isinstance(address, tuple)
    with a_client(surface, f"http://127.0.0.1:{address[1]}", key) as client:
        yield client


@pytest.fixture(scope="session")
def shapes_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_detect_zip(tmp_path_factory.mktemp("shapes") / "shapes.zip", train=6, val=3)


@pytest.fixture
def shapes(shapes_zip: Path, tmp_path: Path) -> Path:
    """A folder with a data.yaml, images and labels."""
    folder = tmp_path / "shapes"
    with zipfile.ZipFile(shapes_zip) as archive:
        archive.extractall(folder)
    return folder
