"""Which idle slot is rung for weights that wait for inspection, and when it is rung again."""

import pytest

from app.core.database import Database
from app.jobs.life.inspection_bells import InspectionBells
from app.models.inspection import INSPECTIONS
from app.settings.timing import Timing
from tests.models.builders import a_model, hold_of

pytestmark = pytest.mark.integration

TIMING = Timing(doorbell_retry_seconds=10, doorbell_retry_max_seconds=15)


class Bells:
    """Returns the bells that are due at a time, as (model, slot)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._bells = InspectionBells(TIMING)

    def at(self, now: float, *idle: str) -> list[tuple[str, str]]:
        with self._database.read() as unit:
            due = self._bells.due(unit.session, idle, now=now)
        return [(bell.model_id, bell.worker_id) for bell in due]


class TestInspectionBells:
    def test_idle_slots_are_rung_in_turn_for_inspections(self, database: Database) -> None:
        models = [a_model(database, name).id for name in ("a.pt", "b.pt")]

        rung = Bells(database).at(0, "wrk_1", "wrk_2")

        assert sorted(model for model, _ in rung) == models
        assert {worker for _, worker in rung} == {"wrk_1", "wrk_2"}

    def test_pauses_between_inspection_bells_grow_up_to_their_bound(
        self, database: Database
    ) -> None:
        a_model(database, "a.pt")
        bells = Bells(database)

        rings = [second for second in range(60) if bells.at(second, "wrk_1")]

        assert rings == [0, 11, 27, 43, 59]

    def test_no_inspection_bell_is_spent_without_an_idle_slot(self, database: Database) -> None:
        a_model(database, "a.pt")
        bells = Bells(database)

        assert bells.at(0) == []
        assert len(bells.at(1, "wrk_1")) == 1

    def test_a_model_that_is_being_inspected_is_not_rung_for(self, database: Database) -> None:
        hold_of(database, a_model(database, "a.pt").id)

        assert Bells(database).at(0, "wrk_1") == []

    def test_a_model_that_was_given_back_is_rung_for_at_once(self, database: Database) -> None:
        model = a_model(database, "a.pt")
        bells = Bells(database)
        bells.at(0, "wrk_1")
        hold = hold_of(database, model.id)
        with database.write() as unit:
            INSPECTIONS.release(unit.session, hold)

        assert bells.at(1, "wrk_2") == [(model.id, "wrk_2")]
