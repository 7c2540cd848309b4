"""All five customizations through separate processes, requested and read as a user does."""

import csv
from pathlib import Path
from typing import Any

import pytest

from app.web.entry.shapes import CLASSES, write_shapes
from tests.worlds.server import Server

pytestmark = pytest.mark.integration

EPOCHS, MORE = 3, 2
JOB_SECONDS = 180.0
CUSTOMIZE: dict[str, Any] = {
    "metrics": {"f1": True, "per_class": True},
    "class_weights": {"mode": "inverse_frequency", "cap": 10},
    "best_model": {"metric": "metrics/F1(B)"},
    "keep_best": [
        {"name": "loss", "metric": "val/cls_loss"},
        {
            "name": "never",
            "metric": "metrics/recall(B)",
            "where": {"metrics/precision(B)": {"min": 1.0}, "metrics/recall(B)": {"min": 1.0}},
        },
    ],
    "freeze": {"layers": "backbone", "epochs": 1},
    "layer_lrs": [{"layers": "backbone", "factor": 0.1}],
}


@pytest.fixture(scope="module")
def dataset(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    archive = tmp_path_factory.mktemp("archive") / "shapes.zip"
    write_shapes(archive, train=18, val=8, size=64)
    return server.upload(archive, name="unequal shapes")


@pytest.fixture(scope="module")
def finished(server: Server, dataset: str) -> dict[str, Any]:
    job_id = server.submit(dataset, train={"epochs": EPOCHS}, customize=CUSTOMIZE)
    return server.succeed(job_id, within=JOB_SECONDS)


@pytest.fixture(scope="module")
def child(server: Server, finished: dict[str, Any]) -> dict[str, Any]:
    asked = {"epochs": EPOCHS + MORE}
    answer = server.client.post(f"/v1/jobs/{finished['id']}/extend", json=asked)
    assert answer.status_code == 201, answer.text
    return server.succeed(answer.json()["id"], within=JOB_SECONDS)


class TestCustomizedJob:
    def test_metrics_of_a_customized_job_have_f1_and_rates_by_part(
        self, server: Server, finished: dict[str, Any]
    ) -> None:
        series = server.get(f"/v1/jobs/{finished['id']}/metrics")["series"]

        assert len(series["metrics/F1(B)"]) == EPOCHS
        backbone, rest = series["lr/backbone/weight"], series["lr/rest/weight"]
        assert backbone == pytest.approx([rate / 10 for rate in rest])

    def test_class_metrics_of_a_customized_job_are_listed_by_name(
        self, server: Server, finished: dict[str, Any]
    ) -> None:
        table = server.get(f"/v1/jobs/{finished['id']}/metrics/classes", epoch=1)

        assert table["epoch"] == 1
        assert [each["name"] for each in table["classes"]] == list(CLASSES)
        assert {"precision", "recall", "f1", "ap50", "ap50_95"} <= table["classes"][0].keys()

    def test_what_a_customized_job_used_is_recorded_with_each_epoch(
        self, server: Server, finished: dict[str, Any]
    ) -> None:
        used = server.get(f"/v1/jobs/{finished['id']}/metrics/system")

        assert used["epochs"] == [1, 2, 3]
        assert used["series"].keys() == {
            "cpu",
            "memory_bytes",
            "read_bytes",
            "loader_wait_seconds",
        }
        assert all(cores > 0 for cores in used["series"]["cpu"])
        assert all(size > 100_000_000 for size in used["series"]["memory_bytes"])
        assert all(waited > 0 for waited in used["series"]["loader_wait_seconds"])

    def test_the_curve_of_a_customized_job_has_its_running_time_and_marks(
        self, server: Server, finished: dict[str, Any]
    ) -> None:
        view = server.get("/v1/metrics", jobs=finished["id"])["jobs"][finished["id"]]

        assert view["seconds"] == sorted(view["seconds"])
        assert view["seconds"][0] > 0
        assert view["best"] == finished["best"]["epoch"]
        marks = [(mark["epoch"], mark["kind"]) for mark in view["marks"]]
        assert (2, "layers_unfrozen") in marks

    def test_class_metrics_of_a_customized_job_come_as_columns(
        self, server: Server, finished: dict[str, Any]
    ) -> None:
        path = f"/v1/jobs/{finished['id']}/metrics/classes"

        columns = server.get(path, epochs="all")
        table = server.get(path, epoch=2)["classes"]

        assert columns["epochs"] == [1, 2, 3]
        of_epoch_two = [values[1] for values in columns["series"]["ap50_95"]]
        assert of_epoch_two == [each["ap50_95"] for each in table]

    def test_the_best_epoch_of_a_customized_job_is_by_the_chosen_metric(
        self, server: Server, finished: dict[str, Any]
    ) -> None:
        scores = server.get(f"/v1/jobs/{finished['id']}/metrics")["series"]["metrics/F1(B)"]

        best = finished["best"]
        assert best["metric"] == "metrics/F1(B)"
        assert best["value"] == max(scores)
        assert best["epoch"] == max(n for n, score in enumerate(scores, 1) if score == max(scores))

    def test_files_of_a_customized_job_are_proven_and_of_the_epochs_that_they_name(
        self, server: Server, finished: dict[str, Any], tmp_path: Path
    ) -> None:
        listed = server.get(f"/v1/jobs/{finished['id']}/artifacts")["data"]
        losses = server.get(f"/v1/jobs/{finished['id']}/metrics")["series"]["val/cls_loss"]

        files = {each["name"]: each for each in listed}
        assert "best_never.pt" not in files
        assert files["best.pt"]["epoch"] == finished["best"]["epoch"]
        assert losses[files["best_loss.pt"]["epoch"] - 1] == min(losses)
        for name in ("best.pt", "best_loss.pt"):
            assert files[name]["checks"]["forward"] is True
            assert files[name]["checks"]["safe_load"] is True
        table = server.download(finished["id"], "per_class.csv", tmp_path).read_text().splitlines()
        assert len(list(csv.DictReader(table))) == EPOCHS * len(CLASSES)

    def test_events_of_a_customized_job_name_unfrozen_layers_and_unmet_bounds(
        self, server: Server, finished: dict[str, Any]
    ) -> None:
        events = server.get(f"/v1/jobs/{finished['id']}/events", limit=100)["data"]

        told = {each["data"]["code"] for each in events if each["type"] == "trainer.notice"}
        assert told == {"layers_unfrozen", "keep_best_unmet"}

    def test_the_plan_of_a_customized_job_has_its_weights_rates_and_steps(
        self, server: Server, finished: dict[str, Any]
    ) -> None:
        plan = server.get(f"/v1/jobs/{finished['id']}/plan")
        report = server.get(finished["links"]["plan"].replace("/plan", ""))
        series = server.get(f"/v1/jobs/{finished['id']}/metrics")["series"]

        counts = {each["name"]: each["training_labels"] for each in plan["classes"]["shown"]}
        weights = {each["name"]: each["weight"] for each in plan["classes"]["shown"]}
        assert weights == report["resolved"]["class_weights"]
        assert weights == {
            name: min(10, max(counts.values()) / count) for name, count in counts.items()
        }
        foretold = {each["name"]: each["rates"] for each in plan["optimizer"]["groups"]}
        assert plan["optimizer"]["epochs_shown"] == [1, 2, 3]
        for name, rates in foretold.items():
            assert series[name] == pytest.approx(rates, rel=1e-6)
        assert plan["extent"]["optimizer_steps"] == 5 * EPOCHS


@pytest.mark.slow
class TestExtended:
    """The same job, extended by two epochs."""

    def test_an_extended_customized_job_continues_exactly_and_trains_the_added_epochs(
        self, server: Server, finished: dict[str, Any], child: dict[str, Any]
    ) -> None:
        attempts = server.get(f"/v1/jobs/{child['id']}/attempts")["data"]
        own = server.get(f"/v1/jobs/{child['id']}/metrics")
        whole = server.get(f"/v1/jobs/{child['id']}/metrics", lineage="true")
        of_parent = server.get(f"/v1/jobs/{finished['id']}/metrics")

        assert [each["resumed"] for each in attempts] == ["exact"]
        assert own["epochs"] == [EPOCHS + 1, EPOCHS + MORE]
        assert whole["epochs"] == list(range(1, EPOCHS + MORE + 1))
        for name, values in whole["series"].items():
            assert values == of_parent["series"][name] + own["series"][name]

    def test_rates_of_an_extended_customized_job_are_planned_on_both_sides_of_the_joint(
        self, server: Server, child: dict[str, Any]
    ) -> None:
        plan = server.get(f"/v1/jobs/{child['id']}/plan")
        series = server.get(f"/v1/jobs/{child['id']}/metrics", lineage="true")["series"]

        joint = plan["joint"]
        assert (joint["epoch"], joint["epochs_trained"], joint["epochs_redone"]) == (
            EPOCHS,
            MORE,
            0,
        )
        assert {each["name"] for each in joint["rates"]} == {
            name for name in series if name.startswith("lr/") and "/pg" not in name
        }
        for each in joint["rates"]:
            before, after = series[each["name"]][EPOCHS - 1 : EPOCHS + 1]
            assert each["before"] == before
            assert each["after"] == pytest.approx(after, rel=1e-5)
            assert after > before, "the schedule of five epochs, not the end of that of three"

    def test_table_and_best_of_an_extended_customized_job_cover_both_trainings(
        self, server: Server, finished: dict[str, Any], child: dict[str, Any], tmp_path: Path
    ) -> None:
        (tmp_path / "child").mkdir()
        rows = server.download(child["id"], "results.csv", tmp_path / "child").read_text()
        before = server.download(finished["id"], "results.csv", tmp_path).read_text()
        scores = server.get(f"/v1/jobs/{child['id']}/metrics", lineage="true")["series"]
        f1 = scores["metrics/F1(B)"]

        assert rows.startswith(before)
        assert len(rows.splitlines()) == 1 + EPOCHS + MORE
        best = max(n for n, score in enumerate(f1, 1) if score == max(f1))
        chosen = {"epoch": best, "metric": "metrics/F1(B)", "value": max(f1)}
        assert chosen.items() <= child["best"].items()
        listed = server.get(f"/v1/jobs/{child['id']}/artifacts")["data"]
        assert {each["name"]: each["epoch"] for each in listed}["best.pt"] == best
