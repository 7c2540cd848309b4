"""The service in `examples/service` starts trainings, shows them and publishes best.pt."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.browser.site import Site, a_site
from tests.examples.scripts import EXAMPLES, drawn_shapes, loaded
from tests.waiting import eventually
from tests.worlds.server import trainyard_up

SCRIPT = EXAMPLES / "service" / "on_demand.py"
NOBODY = "job_01JD9Z6T3QK5W8XN2V7M4B1RCE"
SECONDS = 600


@pytest.fixture(scope="module")
def site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run a server without workers."""
    with a_site(tmp_path_factory.mktemp("site"), sqlite_template) as site:
        yield site


@pytest.fixture
def service(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("TRAINYARD_URL", site.url)
    monkeypatch.setenv("TRAINYARD_API_KEY", (site.home / "api-key").read_text().strip())
    with TestClient(loaded(SCRIPT).app) as service:
        yield service


@pytest.mark.integration
class TestService:
    def test_a_training_that_was_started_is_shown(self, service: TestClient, site: Site) -> None:
        started = service.post("/trainings", json={"dataset": site.rows.dataset_id, "epochs": 2})

        assert started.status_code == 202, started.text
        shown = service.get(f"/trainings/{started.json()['id']}").json()
        assert shown == started.json()
        assert shown["state"] == "queued"

    def test_a_training_without_weights_has_no_best(self, service: TestClient, site: Site) -> None:
        job = service.post("/trainings", json={"dataset": site.rows.dataset_id}).json()["id"]

        assert service.get(f"/trainings/{job}/best.pt").status_code == 404

    def test_an_unknown_training_is_not_found(self, service: TestClient) -> None:
        assert service.get(f"/trainings/{NOBODY}").status_code == 404

    def test_a_training_without_a_dataset_is_refused(self, service: TestClient) -> None:
        assert service.post("/trainings", json={"epochs": 2}).status_code == 422


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(SECONDS * 2)
def test_a_training_leads_to_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with trainyard_up(tmp_path / "home") as server:
        dataset = server.upload(drawn_shapes(tmp_path), name="shapes")
        monkeypatch.setenv("TRAINYARD_URL", server.url)
        monkeypatch.setenv("TRAINYARD_API_KEY", server.key)
        with TestClient(loaded(SCRIPT).app) as service:
            wanted = {"dataset": dataset, "epochs": 1, "imgsz": 64}
            page = f"/trainings/{service.post('/trainings', json=wanted).json()['id']}"
            eventually(
                lambda: service.get(page).json()["state"] == "succeeded",
                within=SECONDS,
                message=lambda: service.get(page).text,
            )

            assert len(service.get(f"{page}/best.pt").content) > 1_000_000
