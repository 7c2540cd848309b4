"""Signatures, bodies, event types and the schedule, as pure functions."""

import ast
import json
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Verifier

from app.datasets.tables import VersionState
from app.events.tables import EPOCH_FINISHED
from app.jobs.guards import TRANSITIONS
from app.webhooks.bodies import MAX_BODY_BYTES, body_of
from app.webhooks.event_types import EventChoice, is_chosen
from app.webhooks.schedule import AttemptFacts, AttemptVerdict, delay_after, verdict_of
from app.webhooks.signatures import new_secret, signed_headers
from app.webhooks.tables import DeliveryState, DisabledReason
from tests.architecture.sources import python_files

pytestmark = pytest.mark.unit

NOW: Final = datetime(2026, 11, 30, 12, tzinfo=UTC)
WRITERS: Final = {"append_event", "log_event", "_log"}
DELAY: Final = timedelta(hours=1)


class TestSignatures:
    def test_the_example_of_the_specification_has_its_signature(self) -> None:
        """From the tests of the reference libraries, github.com/standard-webhooks."""
        secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'

        headers = signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, [secret])

        assert headers == {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        }

    @given(st.text(max_size=200), st.integers(1, 2))
    def test_w6_each_secret_verifies_a_message_with_one_or_two_signatures(
        self, text: str, count: int
    ) -> None:
        body = json.dumps(text)
        secrets = [new_secret() for _ in range(count)]
        now = int(datetime.now(UTC).timestamp())

        headers = signed_headers("msg_1", now, body.encode(), secrets)

        assert [Verifier(each).verify(body, dict(headers)) for each in secrets] == [text] * count

    def test_a_new_secret_has_256_random_bits(self) -> None:
        secrets = {new_secret() for _ in range(100)}

        assert len(secrets) == 100
        assert {len(each) for each in secrets} == {len("whsec_") + 44}


class TestBodies:
    def test_a_body_has_type_time_and_data(self) -> None:
        body = body_of("job.failed", NOW, {"project": "birds"}, details={"reason": "oom"})

        assert json.loads(body) == {
            "type": "job.failed",
            "timestamp": "2026-11-30T12:00:00.000Z",
            "data": {"project": "birds", "details": {"reason": "oom"}, "truncated": False},
        }

    @pytest.mark.parametrize("character", ["x", "\u00fc", "\U0001f600", '"', "\u0000"])
    def test_a_body_is_at_most_20_kib_and_names_what_it_lost(self, character: str) -> None:
        body = body_of("job.failed", NOW, {"project": "birds"}, details=character * 21_000)

        assert len(body.encode()) <= MAX_BODY_BYTES
        assert json.loads(body)["data"] == {
            "project": "birds",
            "details": None,
            "truncated": True,
        }


def written_types() -> set[str]:
    """Return the types of events that the code writes as texts."""
    found = {row.logged_as for row in TRANSITIONS if row.logged_as}
    found |= {f"dataset.{state}" for state in (*VersionState, "removed")} | {EPOCH_FINISHED}
    for path in python_files("app", "worker"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _name_of(node.func) in WRITERS:
                texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
                found |= {text for text in texts if isinstance(text, str)}
    return found


def _name_of(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


class TestEventTypes:
    def test_every_type_of_event_can_be_chosen_by_its_name_or_its_beginning(self) -> None:
        unknown = {
            type_
            for type_ in written_types()
            if not any(each.includes(type_) for each in EventChoice if each != "*")
        }

        assert len(written_types()) > 25
        assert unknown == set()

    def test_every_name_of_a_type_is_one_that_the_code_writes(self) -> None:
        names = {each.value for each in EventChoice if not each.value.endswith("*")}

        assert names - written_types() == set()

    @pytest.mark.parametrize(
        ("type_", "choices", "expected"),
        [
            ("job.succeeded", ["job.succeeded"], True),
            ("job.succeeded", ["job.failed"], False),
            ("job.succeeded", ["dataset.ready", "job.*"], True),
            ("jobs", ["job.*"], False),
            ("anything.new", ["*"], True),
        ],
    )
    def test_an_event_is_chosen_by_name_or_beginning(
        self, type_: str, choices: list[str], *, expected: bool
    ) -> None:
        assert is_chosen(type_, choices) is expected


def facts(*, failing_since: datetime | None = None, left: timedelta = DELAY * 2) -> AttemptFacts:
    return AttemptFacts(NOW, NOW + left, failing_since)


def exactly(low: float, high: float) -> float:
    return (low + high) / 2


class TestSchedule:
    def test_attempts_follow_after_growing_delays_for_24_hours(self) -> None:
        delays = [delay_after(attempt, exactly).total_seconds() for attempt in range(1, 13)]

        within_a_day = [moment for moment in accumulate(delays) if moment <= 24 * 3600]
        assert delays[:8] == [10, 40, 160, 640, 2560, 10240, 14400, 14400]
        assert len(within_a_day) == 11

    @given(st.integers(1, 10**9), st.randoms(use_true_random=False))
    def test_no_delay_is_longer_than_its_maximum_and_jitter(
        self, attempts: int, random: object
    ) -> None:
        delay = delay_after(attempts, random.uniform)  # type: ignore[attr-defined] # a Random

        assert timedelta(seconds=8) <= delay <= timedelta(hours=4.8)

    @pytest.mark.parametrize(
        ("given_facts", "succeeded", "status", "expected"),
        [
            (facts(failing_since=NOW), True, 200, AttemptVerdict(DeliveryState.DELIVERED, None)),
            (facts(), False, 500, AttemptVerdict(DeliveryState.PENDING, NOW)),
            (facts(), False, None, AttemptVerdict(DeliveryState.PENDING, NOW)),
            (facts(left=DELAY / 2), False, 500, AttemptVerdict(DeliveryState.FAILED, NOW)),
            (
                facts(),
                False,
                410,
                AttemptVerdict(DeliveryState.FAILED, NOW, DisabledReason.GONE),
            ),
            (
                facts(failing_since=NOW - timedelta(days=2)),
                False,
                500,
                AttemptVerdict(DeliveryState.PENDING, NOW - timedelta(days=2)),
            ),
            (
                facts(failing_since=NOW - timedelta(days=4)),
                False,
                500,
                AttemptVerdict(
                    DeliveryState.PENDING, NOW - timedelta(days=4), DisabledReason.FAILING
                ),
            ),
        ],
    )
    def test_w4_what_follows_from_an_attempt_depends_on_answer_and_time(
        self,
        given_facts: AttemptFacts,
        succeeded: bool,  # noqa: FBT001 -- a column of the table
        status: int | None,
        expected: AttemptVerdict,
    ) -> None:
        found = verdict_of(given_facts, succeeded=succeeded, status=status, delay=DELAY)

        assert found == expected
