"""Who may inspect weights, and how the result is recorded."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import update

from app.core.database import Database, database_now
from app.core.leased_rows import MAX_CRASHES, RowHold
from app.models.inspection import (
    INSPECTIONS,
    Findings,
    accept_model,
    models_awaiting_inspection,
    record_crash,
)
from app.models.tables import Model, ModelState
from tests.models.builders import FINDINGS, LEASE, a_model, a_ready_model, hold_of, model_now

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

MODELS, CLAIMANTS = 12, 8


def run_out(database: Database, model_id: str) -> None:
    with database.write() as unit:
        past = database_now(timedelta(seconds=-1))
        unit.session.execute(
            update(Model).where(Model.id == model_id).values(lease_expires_at=past)
        )


def claim(database: Database, rung_for: str | None = None) -> str | None:
    with database.write() as unit:
        model = INSPECTIONS.claim(unit.session, lease=LEASE, rung_for=rung_for)
    return model.id if model else None


def accept(database: Database, hold: RowHold, findings: Findings = FINDINGS) -> bool:
    with database.write() as unit:
        return accept_model(unit.session, hold, findings)


def crash(database: Database, hold: RowHold) -> bool:
    with database.write() as unit:
        return record_crash(unit.session, hold, reason="it was killed")


def waiting(database: Database) -> list[str]:
    with database.read() as unit:
        return [each.model_id for each in models_awaiting_inspection(unit.session)]


class TestClaimInspection:
    def test_the_model_that_was_rung_for_comes_first_then_the_oldest(
        self, database: Database
    ) -> None:
        first, second, third = (a_model(database, name).id for name in ("a.pt", "b.pt", "c.pt"))

        claimed = [claim(database, third), claim(database), claim(database, "mdl_gone")]

        assert claimed == [third, first, second]
        assert claim(database) is None

    def test_one_of_many_claimants_gets_each_model(self, database: Database) -> None:
        models = [a_model(database, f"{number}.pt").id for number in range(MODELS)]
        once: dict[str | None, int] = dict.fromkeys(models, 1)

        with ThreadPoolExecutor(CLAIMANTS) as pool:
            claimed = list(pool.map(lambda number: claim(database, models[number % 3]), range(40)))

        assert Counter(claimed) == once | {None: 40 - MODELS}

    def test_a_model_whose_inspector_died_is_taken_over_and_fences_it(
        self, database: Database
    ) -> None:
        model = a_model(database, "a.pt")
        dead = hold_of(database, model.id)
        assert waiting(database) == []
        run_out(database, model.id)

        heir = hold_of(database, model.id)

        assert heir.attempt == dead.attempt + 1
        assert not accept(database, dead, Findings("segment", None, ()))
        assert accept(database, heir)
        assert model_now(database, model.id).task == "detect"
        assert model_now(database, model.id).crashes == 1

    def test_a_renewed_lease_holds(self, database: Database) -> None:
        hold = hold_of(database, a_model(database, "a.pt").id)
        run_out(database, hold.row_id)

        with database.write() as unit:
            renewed = INSPECTIONS.renew(unit.session, hold, lease=LEASE)

        assert renewed
        assert claim(database) is None

    def test_a_released_inspection_waits_again_without_a_crash(self, database: Database) -> None:
        hold = hold_of(database, a_model(database, "a.pt").id)

        with database.write() as unit:
            INSPECTIONS.release(unit.session, hold)

        assert waiting(database) == [hold.row_id]
        assert model_now(database, hold.row_id).crashes == 0

    def test_inspected_models_wait_no_more(self, database: Database) -> None:
        a_ready_model(database, "a.pt")

        assert waiting(database) == []


class TestVerdict:
    def test_findings_of_an_inspection_are_kept(self, database: Database) -> None:
        model = a_ready_model(database, "a.pt")

        assert (model.state, model.task) == (ModelState.READY, "detect")
        assert (model.architecture, model.classes) == ("yolo26n.yaml", ["circle", "square"])
        assert model.lease_expires_at is None
        assert model.inspected_at is not None

    def test_an_architecture_that_is_not_offered_is_none(self, database: Database) -> None:
        model = a_ready_model(database, "a.pt", findings=Findings("detect", "yolov9c.yaml", ("a",)))

        assert (model.state, model.architecture) == (ModelState.READY, None)

    def test_another_task_than_was_said_is_refused_with_both(self, database: Database) -> None:
        hold = hold_of(database, a_model(database, "a.pt", task="segment").id)

        accept(database, hold)

        model = model_now(database, hold.row_id)
        assert model.state is ModelState.REFUSED
        assert model.message is not None
        assert {"segment", "detect."} <= set(model.message.replace(",", "").split())

    def test_the_third_crash_refuses_the_model(self, database: Database) -> None:
        model = a_model(database, "a.pt")

        states = []
        for _ in range(MAX_CRASHES):
            crash(database, hold_of(database, model.id))
            states.append(model_now(database, model.id).state)

        assert states == [ModelState.INSPECTING] * (MAX_CRASHES - 1) + [ModelState.REFUSED]
        assert "it was killed" in (model_now(database, model.id).message or "")
        assert not crash(database, RowHold(model.id, MAX_CRASHES))
