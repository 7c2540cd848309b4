"""A slot inspects weights that wait: the claim, the process, and what becomes of a broken one."""

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

from app.core.database import Database, database_now
from app.core.errors import Unavailable
from app.core.leased_rows import MAX_CRASHES
from app.models.bring_in import add_model
from app.models.tables import Model, ModelState
from tests.models.builders import a_model, hold_of, model_now
from tests.ultralytics_models import a_detection_model
from tests.waiting import eventually
from tests.worker.attempts import Yard, a_yard
from worker.inspection import inspect_models

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]


@pytest.fixture
def yard(database: Database, tmp_path: Path) -> Yard:
    return a_yard(database, tmp_path)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "ours.pt"
    torch.save({"model": a_detection_model(classes=2)}, path)
    return path


def bring_in(yard: Yard, file: Path, *, task: str | None = None) -> str:
    return add_model(yard.context.database, yard.context.store, file=file, task=task).id


def with_inspector(yard: Yard, program: str) -> Yard:
    """The same slot, whose inspecting process is a program that gets FILE REPORT MEMORY."""
    argv = (sys.executable, "-c", program)
    return replace(yard, context=replace(yard.context, inspector_argv=argv))


def left_in(yard: Yard) -> list[Path]:
    return list(yard.context.attempts_folder.glob("*"))


class TestInspectModels:
    def test_real_weights_become_ready_with_what_they_are(self, yard: Yard, weights: Path) -> None:
        model_id = bring_in(yard, weights)

        inspect_models(yard.context, rung_for=model_id)

        model = model_now(yard.context.database, model_id)
        assert (model.state, model.task) == (ModelState.READY, "detect"), model.message
        assert (model.architecture, model.classes) == ("yolo26n.yaml", ["0", "1"])
        assert left_in(yard) == []

    def test_weights_whose_inspector_died_are_taken_over(self, yard: Yard, weights: Path) -> None:
        database = yard.context.database
        model_id = bring_in(yard, weights)
        hold_of(database, model_id)
        with database.write() as unit:
            past = database_now(timedelta(seconds=-1))
            unit.session.execute(update(Model).values(lease_expires_at=past))
        says_refused = """
import pathlib, sys
pathlib.Path(sys.argv[2]).write_text('{"refusal": "It is cut."}')
"""

        inspect_models(with_inspector(yard, says_refused).context)

        model = model_now(database, model_id)
        assert (model.state, model.message) == (ModelState.REFUSED, "It is cut.")
        assert (model.attempt, model.crashes) == (2, 1)

    def test_a_killed_process_leaves_the_model_to_others_three_times(
        self, yard: Yard, weights: Path
    ) -> None:
        killed = with_inspector(yard, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
        model_id = bring_in(yard, weights)
        states = []

        for _ in range(MAX_CRASHES):
            inspect_models(killed.context)
            states.append(model_now(yard.context.database, model_id).state)

        assert states == [ModelState.INSPECTING] * (MAX_CRASHES - 1) + [ModelState.REFUSED]
        assert left_in(yard) == []

    def test_weights_whose_bytes_stay_missing_are_refused_in_the_end(self, yard: Yard) -> None:
        model_id = a_model(yard.context.database, "gone.pt").id

        for _ in range(MAX_CRASHES):
            inspect_models(yard.context)

        assert "not in the store" in (model_now(yard.context.database, model_id).message or "")

    def test_a_slot_that_leaves_claims_nothing(self, yard: Yard, weights: Path) -> None:
        model_id = bring_in(yard, weights)
        yard.context.leaving.set()

        inspect_models(yard.context)

        assert model_now(yard.context.database, model_id).attempt == 0

    def test_a_slot_that_is_told_to_leave_gives_the_model_back_uncounted(
        self, yard: Yard, weights: Path
    ) -> None:
        model_id = bring_in(yard, weights)
        leaving = yard.context.leaving
        hangs = with_inspector(yard, "import threading; threading.Event().wait()")

        def leave_once_claimed() -> None:
            eventually(lambda: model_now(yard.context.database, model_id).attempt == 1, within=30)
            leaving.set()

        with ThreadPoolExecutor(1) as pool:
            pool.submit(leave_once_claimed)
            inspect_models(hangs.context)

        model = model_now(yard.context.database, model_id)
        assert (model.state, model.crashes) == (ModelState.INSPECTING, 0)
        assert model.lease_expires_at is None

    def test_a_model_that_could_not_be_given_back_is_not_reported_as_released(
        self, yard: Yard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a_model(yard.context.database, "a.pt")

        def no_connection() -> None:
            raise OperationalError("BEGIN", {}, Exception("connection refused"))

        def lose_store_and_database(*_: object) -> None:
            monkeypatch.setattr(yard.context.database, "write", no_connection)
            raise Unavailable("the store is away")

        monkeypatch.setattr(yard.context.store, "fetch", lose_store_and_database)

        with capture_logs() as logged:
            inspect_models(yard.context)

        assert [entry["event"] for entry in logged] == [
            "inspection.started",
            "inspection.postponed",
            "inspection.not_released",
        ]
