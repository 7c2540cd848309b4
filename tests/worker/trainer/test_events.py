import math
import os
import threading
from collections.abc import Iterator
from typing import BinaryIO

import pytest

from app.jobs.states import Phase
from tests.waiting import eventually
from worker.trainer.events import EventPipe, events_fd, finite, not_finite
from worker.trainer.protocol import PhaseEvent, WarningEvent, parse_event

Ends = tuple[BinaryIO, BinaryIO]


@pytest.fixture
def pipe_ends() -> Iterator[Ends]:
    """The two ends as file objects: closing one twice cannot close another file's descriptor."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb", 0) as writer:
        yield reader, writer


def nothing_happens() -> None:
    return


class TestEventPipe:
    def test_the_event_pipe_writes_events_in_order_numbered_and_stamped(
        self, pipe_ends: Ends
    ) -> None:
        reading, writing = pipe_ends
        pipe = EventPipe(writing.fileno(), nothing_happens)

        for number in range(3):
            pipe.emit(WarningEvent(code=str(number), message=""))
        pipe.close(within=5)

        writing.close()
        events = [parse_event(line) for line in reading]
        assert [(event.seq, getattr(event, "code", "")) for event in events] == [
            (1, "0"),
            (2, "1"),
            (3, "2"),
        ]
        assert all(event.at > 0 for event in events)

    def test_the_event_pipe_does_not_block_the_trainer_when_nobody_reads(
        self, pipe_ends: Ends
    ) -> None:
        reading, writing = pipe_ends
        pipe = EventPipe(writing.fileno(), nothing_happens)
        longer_than_any_pipe = WarningEvent(code="x", message="x" * 1_000_000)

        for _ in range(5):
            pipe.emit(longer_than_any_pipe)

        reading.close()  # its thread would continue to write to the next file with this number
        pipe.close(within=5)

    def test_the_event_pipe_reports_once_that_the_reader_is_gone(self, pipe_ends: Ends) -> None:
        reading, writing = pipe_ends
        told = threading.Semaphore(0)
        pipe = EventPipe(writing.fileno(), told.release)
        reading.close()

        pipe.emit(PhaseEvent(phase=Phase.TRAINING))
        pipe.emit(PhaseEvent(phase=Phase.TRAINING))

        assert eventually(lambda: told.acquire(blocking=False), within=5)
        pipe.close(within=5)
        assert not told.acquire(blocking=False)


class TestEventsFd:
    def test_the_file_descriptor_of_events_is_the_named_one_or_standard_output(self) -> None:
        assert events_fd({"TRAINYARD_EVENTS_FD": "7"}) == 7
        assert events_fd({}) == 1


class TestFinite:
    def test_a_value_that_is_no_number_becomes_null_and_is_named(self) -> None:
        values = {"a": 1.0, "b": math.nan, "c": -math.inf, "d": None}

        assert finite(values) == {"a": 1.0, "b": None, "c": None, "d": None}
        assert not_finite(values) == ["b", "c"]
