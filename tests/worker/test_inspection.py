"""A slot inspects waiting weights: the claim, the process, and the handling of a broken one."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from sqlalchemy import update
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from app.core.database import database_now
from app.core.errors import Unavailable
from app.core.leased_rows import MAX_CRASHES
from app.models.bring_in import add_model
from app.models.tables import Model, ModelState
from tests.models.builders import a_model, hold_of, model_now
from tests.ultralytics_models import a_detection_model
from tests.waiting import eventually
from tests.worlds.worker import Worker
from worker.inspection import inspect_models

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "ours.pt"
    torch.save({"model": a_detection_model(classes=2)}, path)
    return path


def bring_in(worker: Worker, file: Path, *, task: str | None = None) -> str:
    return add_model(worker.context.database, worker.context.store, file=file, task=task).id


def with_inspector(worker: Worker, program: str) -> Worker:
    """Return the same slot, with this program, called with FILE REPORT MEMORY, as inspector."""
    argv = (sys.executable, "-c", program)
    return replace(worker, context=replace(worker.context, inspector_argv=argv))


def left_in(worker: Worker) -> list[Path]:
    return list(worker.context.attempts_folder.glob("*"))


class TestInspectModels:
    def test_real_weights_become_ready_with_what_they_are(
        self, worker: Worker, weights: Path
    ) -> None:
        model_id = bring_in(worker, weights)

        inspect_models(worker.context, rung_for=model_id)

        model = model_now(worker.context.database, model_id)
        assert (model.state, model.task) == (ModelState.READY, "detect"), model.message
        assert (model.architecture, model.classes) == ("yolo26n.yaml", ["0", "1"])
        assert left_in(worker) == []

    def test_weights_whose_inspector_died_are_taken_over(
        self, worker: Worker, weights: Path
    ) -> None:
        database = worker.context.database
        model_id = bring_in(worker, weights)
        hold_of(database, model_id)
        with database.write() as unit:
            past = database_now(timedelta(seconds=-1))
            unit.session.execute(update(Model).values(lease_expires_at=past))
        says_refused = """
import pathlib, sys
pathlib.Path(sys.argv[2]).write_text('{"refusal": "It is cut."}')
"""

        inspect_models(with_inspector(worker, says_refused).context)

        model = model_now(database, model_id)
        assert (model.state, model.message) == (ModelState.REFUSED, "It is cut.")
        assert (model.attempt, model.crashes) == (2, 1)

    def test_a_killed_process_leaves_the_model_to_others_three_times(
        self, worker: Worker, weights: Path
    ) -> None:
        killed = with_inspector(worker, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
        model_id = bring_in(worker, weights)
        states = []

        for _ in range(MAX_CRASHES):
            inspect_models(killed.context)
            states.append(model_now(worker.context.database, model_id).state)

        assert states == [ModelState.INSPECTING] * (MAX_CRASHES - 1) + [ModelState.REFUSED]
        assert left_in(worker) == []

    def test_weights_whose_bytes_stay_missing_are_refused_in_the_end(self, worker: Worker) -> None:
        model_id = a_model(worker.context.database, "gone.pt").id

        for _ in range(MAX_CRASHES):
            inspect_models(worker.context)

        assert "not in the store" in (model_now(worker.context.database, model_id).message or "")

    def test_a_slot_that_leaves_claims_nothing(self, worker: Worker, weights: Path) -> None:
        model_id = bring_in(worker, weights)
        worker.context.leaving.set()

        inspect_models(worker.context)

        assert model_now(worker.context.database, model_id).attempt == 0

    def test_a_slot_that_is_told_to_leave_gives_the_model_back_uncounted(
        self, worker: Worker, weights: Path
    ) -> None:
        model_id = bring_in(worker, weights)
        leaving = worker.context.leaving
        hangs = with_inspector(worker, "import threading; threading.Event().wait()")

        def leave_once_claimed() -> None:
            eventually(lambda: model_now(worker.context.database, model_id).attempt == 1, within=30)
            leaving.set()

        with ThreadPoolExecutor(1) as pool:
            pool.submit(leave_once_claimed)
            inspect_models(hangs.context)

        model = model_now(worker.context.database, model_id)
        assert (model.state, model.crashes) == (ModelState.INSPECTING, 0)
        assert model.lease_expires_at is None

    def test_a_model_that_could_not_be_given_back_is_not_reported_as_released(
        self, worker: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a_model(worker.context.database, "a.pt")

        def no_connection() -> None:
            raise OperationalError("BEGIN", {}, Exception("connection refused"))

        def lose_store_and_database(*_: object) -> None:
            monkeypatch.setattr(worker.context.database, "write", no_connection)
            raise Unavailable("the store is away")

        monkeypatch.setattr(worker.context.store, "fetch", lose_store_and_database)

        with capture_logs() as logged:
            inspect_models(worker.context)

        assert [entry["event"] for entry in logged] == [
            "inspection.started",
            "inspection.postponed",
            "inspection.not_released",
        ]
