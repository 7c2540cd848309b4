"""Estimated starts: each job takes the first slot that is free for it."""

from app.jobs.life.claim import Demand, SlotOffer
from app.jobs.queue.estimates import QueuedJob, Start, estimated_starts
from app.jobs.queue.reasons import LiveSlot

ANY, CPU, GPU = Demand("q", None, None), Demand("q", 0, None), Demand("q", 1, None)


def a_slot(name: str, *, gpus: int = 0, is_cordoned: bool = False) -> LiveSlot:
    return LiveSlot(name, name, SlotOffer(name, ("q",), gpus), is_cordoned, is_busy=False)


def queued(*jobs: tuple[Demand, float | None]) -> list[QueuedJob]:
    """Return jobs that are named by their number, from 1."""
    return [
        QueuedJob(str(number), demand, seconds, back_off_seconds=0.0)
        for number, (demand, seconds) in enumerate(jobs, 1)
    ]


def seconds_until(
    jobs: list[QueuedJob], slots: list[LiveSlot], free_in: dict[str, float | None]
) -> dict[str, float | None]:
    """Return when each job starts, without where."""
    starts = estimated_starts(jobs, slots, free_in)
    return {job_id: start.seconds if start else None for job_id, start in starts.items()}


class TestEstimatedStarts:
    def test_a_start_names_the_slot(self) -> None:
        slots = [a_slot("a"), a_slot("b")]

        starts = estimated_starts(queued((ANY, 60), (ANY, 60)), slots, {"a": 20})

        assert starts == {"1": Start("b", 0.0), "2": Start("a", 20)}

    def test_a_free_slot_takes_the_first_job_now(self) -> None:
        assert seconds_until(queued((ANY, 60)), [a_slot("a")], {}) == {"1": 0.0}

    def test_a_job_starts_when_those_before_it_have_ended(self) -> None:
        starts = seconds_until(queued((ANY, 60), (ANY, 30), (ANY, 1)), [a_slot("a")], {"a": 10})

        assert starts == {"1": 10, "2": 70, "3": 100}

    def test_jobs_take_the_slot_that_is_free_first(self) -> None:
        slots = [a_slot("a"), a_slot("b")]

        starts = seconds_until(queued((ANY, 60), (ANY, 60), (ANY, 60)), slots, {"b": 20})

        assert starts == {"1": 0, "2": 20, "3": 60}

    def test_a_job_waits_only_for_slots_that_suit_it(self) -> None:
        slots = [a_slot("cpu"), a_slot("gpu", gpus=1)]

        starts = seconds_until(queued((GPU, 500), (CPU, 60), (GPU, 1)), slots, {"gpu": 9})

        assert starts == {"1": 9, "2": 0, "3": 509}

    def test_a_job_behind_one_without_an_estimate_has_none(self) -> None:
        starts = seconds_until(queued((ANY, None), (ANY, 60)), [a_slot("a")], {})

        assert starts == {"1": 0, "2": None}

    def test_a_running_job_without_an_estimate_gives_none(self) -> None:
        assert seconds_until(queued((ANY, 60)), [a_slot("a")], {"a": None}) == {"1": None}

    def test_a_slot_that_may_be_free_earlier_makes_the_start_unknown(self) -> None:
        slots = [a_slot("a"), a_slot("b")]

        starts = seconds_until(queued((ANY, 60), (ANY, 60)), slots, {"a": None, "b": 100})

        assert starts == {"1": None, "2": None}

    def test_a_free_slot_is_enough_though_another_one_is_unknown(self) -> None:
        slots = [a_slot("a"), a_slot("b")]

        assert seconds_until(queued((ANY, 60)), slots, {"a": None}) == {"1": 0}

    def test_a_cordoned_slot_starts_nothing(self) -> None:
        assert seconds_until(queued((ANY, 1)), [a_slot("a", is_cordoned=True)], {}) == {"1": None}

    def test_a_job_starts_after_its_back_off(self) -> None:
        job = QueuedJob("1", ANY, 60, back_off_seconds=25)

        assert seconds_until([job], [a_slot("a")], {}) == {"1": 25}
