"""A real training on photographs of blood cells (BCCD, MIT) must learn."""

import zipfile
from pathlib import Path

import pytest

from tests.e2e.conftest import Plain
from tests.e2e.series import columns, without_named_rates
from tests.worlds.server import Server

BCCD = Path(__file__).parents[1] / "data" / "bccd-yolo.zip"
JOB_SECONDS = 600.0
ARGUMENTS = {
    "epochs": 8,
    "imgsz": 160,
    "batch": 4,
    "nbs": 4,
    "warmup_epochs": 0,
    "optimizer": "AdamW",
    "lr0": 0.001,
    "seed": 0,
}


QUICK = {**ARGUMENTS, "epochs": 2, "imgsz": 96, "fraction": 0.3}

pytestmark = [pytest.mark.real_data, pytest.mark.integration]


@pytest.mark.slow
def test_two_epochs_on_blood_cells_learn_something(server: Server) -> None:
    dataset = server.upload(BCCD, name="bccd")

    job_id = server.submit(dataset, train=QUICK)
    server.succeed(job_id, within=JOB_SECONDS)

    series = server.get(f"/v1/jobs/{job_id}/metrics")["series"]
    assert series["train/box_loss"][1] < series["train/box_loss"][0]
    assert series["val/cls_loss"][1] < series["val/cls_loss"][0]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_eight_epochs_on_blood_cells_learn_to_find_white_cells(
    server: Server, plain: Plain, tmp_path: Path
) -> None:
    dataset = server.upload(BCCD, name="bccd")

    job_id = server.submit(dataset, train=ARGUMENTS)
    status = server.succeed(job_id, within=JOB_SECONDS)

    series = server.get(f"/v1/jobs/{job_id}/metrics")["series"]
    losses, scores = series["val/cls_loss"], series["metrics/mAP50(B)"]
    validated = plain(
        "val",
        {
            "weights": str(server.download(job_id, "best.pt", tmp_path)),
            "arguments": {"data": unpacked(tmp_path), "imgsz": 160, "batch": 4, "device": "cpu"},
        },
    )
    white = validated["classes"].index(validated["names"].index("WBC"))
    assert status["best"]["epoch"] >= 1
    assert losses[-1] < 0.92 * losses[0]
    assert scores[-1] > 5 * scores[0]
    assert validated["ap50"][white] >= 0.2
    assert without_named_rates(series) == columns(server.download(job_id, "results.csv", tmp_path))


def unpacked(folder: Path) -> str:
    """Unpack the dataset as its owner has it; return the path of its data.yaml."""
    with zipfile.ZipFile(BCCD) as archive:
        archive.extractall(folder / "bccd")
    return str(folder / "bccd" / "data.yaml")
