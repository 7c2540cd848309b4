"""Measure and print the effect of class weights on the rarest class of BCCD.

`make test-class-weights` runs it; docs/benchmarks.md records the result.
"""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.server import Server

pytestmark = [pytest.mark.integration, pytest.mark.real_data, pytest.mark.measurement]

BCCD = Path(__file__).parents[1] / "data" / "bccd-yolo.zip"
JOB_SECONDS = 3000.0
ARGUMENTS = {
    "epochs": 25,
    "imgsz": 160,
    "batch": 4,
    "nbs": 4,
    "warmup_epochs": 0,
    "optimizer": "AdamW",
    "lr0": 0.001,
    "seed": 0,
}
CUSTOMIZE: dict[str, dict[str, Any]] = {
    "without": {"metrics": {"f1": True, "per_class": True}},
    "inverse_frequency": {
        "metrics": {"f1": True, "per_class": True},
        "class_weights": {"mode": "inverse_frequency"},
    },
}


@pytest.mark.timeout(6200)
def test_class_weights_are_measured_on_blood_cells(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = server.upload(BCCD, name="bccd, weighted")
    jobs = {
        name: server.submit(dataset, train=ARGUMENTS, customize=customize)
        for name, customize in CUSTOMIZE.items()
    }

    ended = {name: server.succeed(job, within=JOB_SECONDS) for name, job in jobs.items()}

    tables = {name: best_classes(server, status) for name, status in ended.items()}
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *lines(ended, tables), ""]))
    weights = ended["inverse_frequency"]["resolved"]["class_weights"]
    counts = training_labels(server, jobs["without"])
    assert weights == {name: max(counts.values()) / count for name, count in counts.items()}
    assert ended["without"]["resolved"]["class_weights"] is None
    assert tables["without"] != tables["inverse_frequency"]
    for table in tables.values():
        assert table["WBC"]["ap50"] >= 0.2


def best_classes(server: Server, status: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the per-class table of the job's best epoch, by class."""
    path = f"/v1/jobs/{status['id']}/metrics/classes"
    table = server.get(path, epoch=status["best"]["epoch"])["classes"]
    return {each["name"]: each for each in table}


def training_labels(server: Server, job_id: str) -> dict[str, int]:
    plan = server.get(f"/v1/jobs/{job_id}/plan")
    return {each["name"]: each["training_labels"] for each in plan["classes"]["shown"]}


def lines(
    ended: dict[str, dict[str, Any]], tables: dict[str, dict[str, dict[str, float]]]
) -> list[str]:
    """Return a Markdown table: weights, best epoch, and each class's AP50 and F1."""
    head = "| weights | best epoch | mAP50-95 | class | AP50 | AP50-95 | precision | recall | F1 |"
    rows = [head, "|" + " --- |" * 9]
    for name, table in tables.items():
        best = ended[name]["best"]
        for kind, row in table.items():
            numbers = (row[key] for key in ("ap50", "ap50_95", "precision", "recall", "f1"))
            shown = " | ".join(f"{number:.3f}" for number in numbers)
            rows.append(f"| {name} | {best['epoch']} | {best['value']:.3f} | {kind} | {shown} |")
    return rows
