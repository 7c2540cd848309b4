"""How many requests may wait to write, and what happens to the others."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.core import writers
from app.core.writers import Patience, Writers, as_request, patience


@pytest.fixture
def stuck_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make writers count as stuck as soon as no more are admitted."""
    monkeypatch.setattr(writers, "STUCK_SECONDS", 0.0)


@pytest.fixture
def in_a_request() -> Iterator[None]:
    with as_request():
        yield


class TestAdmission:
    @pytest.mark.usefixtures("stuck_at_once", "in_a_request")
    def test_a_request_beyond_the_bound_is_refused_while_nothing_moves(self) -> None:
        admission = Writers(2)

        with admission.admitted(), admission.admitted(), pytest.raises(PoolTimeoutError):
            admission.admitted().__enter__()

    @pytest.mark.usefixtures("stuck_at_once", "in_a_request")
    def test_a_writer_that_ends_makes_room(self) -> None:
        admission = Writers(1)
        with admission.admitted():
            pass

        with admission.admitted():
            admitted_again = True

        assert admitted_again

    @pytest.mark.usefixtures("stuck_at_once", "in_a_request")
    def test_a_writer_that_fails_makes_room(self) -> None:
        admission = Writers(1)
        with pytest.raises(ValueError, match="wrong"), admission.admitted():
            raise ValueError("wrong")

        with admission.admitted():
            admitted_again = True

        assert admitted_again

    def test_a_request_waits_no_longer_than_its_patience_while_others_move(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(writers, "STUCK_SECONDS", 3600.0)
        monkeypatch.setattr(writers, "REQUEST_WAIT_SECONDS", 0.05)
        admission = Writers(1)

        with as_request(), admission.admitted(), as_request(), pytest.raises(PoolTimeoutError):
            admission.admitted().__enter__()

    @pytest.mark.usefixtures("stuck_at_once")
    def test_a_background_thread_is_never_refused(self) -> None:
        admission = Writers(1)

        with ExitStack() as writing:
            for _ in range(10):
                writing.enter_context(admission.admitted())
            count = 10

        assert count == 10

    def test_every_request_of_a_burst_gets_its_turn(self) -> None:
        admission, turns = Writers(2), []

        def write(number: int) -> None:
            with as_request(), admission.admitted():
                turns.append(number)

        with ThreadPoolExecutor(30) as requests:
            list(requests.map(write, range(300)))

        assert sorted(turns) == list(range(300))

    def test_one_that_waits_continues_as_soon_as_there_is_room(self) -> None:
        admission, entered, leave = Writers(1), threading.Event(), threading.Event()
        order: list[str] = []

        def first() -> None:
            with as_request(), admission.admitted():
                entered.set()
                leave.wait(10)
                order.append("first")

        def second() -> None:
            with as_request(), admission.admitted():
                order.append("second")

        with ThreadPoolExecutor(2) as requests:
            one = requests.submit(first)
            assert entered.wait(10)
            two = requests.submit(second)
            leave.set()
            one.result()
            two.result()

        assert order == ["first", "second"]


class TestPatience:
    def test_waits_of_one_request_add_up(self) -> None:
        own = Patience(0.05)
        pause = threading.Event()

        with own.spent():
            pause.wait(0.06)

        with own.spent() as left:
            assert left == 0.0

    def test_a_thread_of_the_request_shares_its_patience(self) -> None:
        with as_request():
            own, context = patience(), copy_context()

        assert own is not None
        with ThreadPoolExecutor(1) as threads:
            assert threads.submit(context.run, patience).result() is own

    def test_nothing_outside_of_requests_has_one(self) -> None:
        with as_request():
            pass

        assert patience() is None
