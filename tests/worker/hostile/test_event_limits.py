"""What a trainer may say: lines that a database can store, few enough, and in order."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.jobs.end_reasons import EndReason
from worker.attempt.claimed import AttemptFailed
from worker.attempt.event_limits import MOST_INVALID_LINES, MOST_NOTES, EventLimits
from worker.trainer.field_types import LONGEST_MESSAGE, MOST_ARTIFACTS
from worker.trainer.protocol import (
    CheckpointEvent,
    EpochEvent,
    NoticeEvent,
    WarningEvent,
    parse_event,
)

RESULT = {"name": "a.png", "path": "a.png", "kind": "plot"}


def a_final(**changes: object) -> dict[str, object]:
    return {
        "type": "final", "epochs_done": 1, "best_epoch": 1, "best_fitness": 0.1, "metrics": {},
        "artifacts": [RESULT], **changes,
    }  # fmt: skip


def an_epoch(epoch: int) -> EpochEvent:
    return EpochEvent(
        epoch=epoch,
        epochs=3,
        metrics={},
        fitness=None,
        best_fitness=None,
        seconds=1,
        optimizer_steps=1,
        eta_seconds=None,
    )


def checkpoint_of(epoch: int, *, files: int) -> CheckpointEvent:
    names = {f"train_batch{epoch}{number}.jpg": None for number in range(files)}
    return CheckpointEvent(epoch=epoch, files=dict(names))


class TestProtocol:
    @pytest.mark.parametrize(
        "event",
        [
            pytest.param(a_final(artifacts=[{**RESULT, "path": path}]), id=f"path {path!r}")
            for path in (
                "../a",
                "/etc/passwd",
                "a/../b",
                "a//b",
                "",
                ".",
                "a\0",
                "a\x1b",
                "x" * 600,
            )
        ]
        + [
            pytest.param(a_final(artifacts=[{**RESULT, "name": name}]), id=f"name {name[:9]!r}")
            for name in ("../a", "a/b", "", "x" * 201, "a\u202eb")
        ]
        + [
            pytest.param(a_final(artifacts=[RESULT] * (MOST_ARTIFACTS + 1)), id="many artifacts"),
            pytest.param(a_final(epochs_done=2**31), id="huge count"),
            pytest.param(a_final(epochs_done=-1), id="negative count"),
            pytest.param(a_final(epochs_done=10**400), id="endless count"),
            pytest.param(a_final(best_fitness=10**400), id="endless number"),
            pytest.param(a_final(metrics={str(n): n for n in range(10_001)}), id="many metrics"),
            pytest.param(
                {"type": "checkpoint", "epoch": 1, "files": {"last.pt": "../../trainyard.db"}},
                id="checkpoint outside",
            ),
            pytest.param({"type": "state", "epoch": 1, "file": "/x"}, id="state outside"),
        ],
    )
    def test_an_event_that_cannot_be_kept_is_invalid(self, event: dict[str, object]) -> None:
        with pytest.raises(ValidationError):
            parse_event(json.dumps(event))

    @pytest.mark.parametrize(
        "line",
        [
            b'{"type": "final", "best_fitness": NaN}',
            b'{"type": "notice", "code": "a", "message": "\\ud800"}',
            b'{"type": "notice", "code": "a", "message": "a", "data": ' + b'{"a":' * 9000,
            b'{"type": "notice", "code": "a", "message": "a", "data": {"a": ' + b"[" * 99_999,
            b"\xff\xfe",
            b"[]",
            b"9" * 5000,
        ],
    )
    def test_a_line_that_is_no_event_is_invalid(self, line: bytes) -> None:
        with pytest.raises(ValidationError):
            parse_event(line)

    @given(st.text())
    def test_any_message_can_be_stored(self, message: str) -> None:
        said = {"type": "notice", "code": "a", "message": message, "data": {message: [message]}}
        try:
            event = parse_event(json.dumps(said))
        except ValidationError:
            assert any(0xD800 <= ord(character) < 0xE000 for character in message)
            return

        assert "\\u0000" not in json.dumps(event.model_dump(mode="json"))

    def test_a_long_message_loses_its_end(self) -> None:
        event = WarningEvent(code="a", message="x" * (LONGEST_MESSAGE + 1))

        assert event.message == "x" * (LONGEST_MESSAGE - 1) + "…"


class TestEventLimits:
    def test_too_many_lines_that_are_no_events_end_the_attempt(self) -> None:
        limits = EventLimits("job_1")
        for _ in range(MOST_INVALID_LINES):
            limits.count_invalid_line(ValueError("bad"))

        with pytest.raises(AttemptFailed) as failed:
            limits.count_invalid_line(ValueError("bad"))

        assert failed.value.reason is EndReason.TRAINER_BUG

    def test_notes_beyond_the_limit_are_dropped(self) -> None:
        limits, note = EventLimits("job_1"), NoticeEvent(code="a", message="b")

        allowed = [limits.allows(note) for _ in range(MOST_NOTES + 50)]

        assert allowed == [True] * MOST_NOTES + [False] * 50
        assert limits.allows(an_epoch(1))

    @pytest.mark.parametrize("epoch", [0, 1, 2, 100_001])
    def test_an_epoch_out_of_order_ends_the_attempt(self, epoch: int) -> None:
        limits = EventLimits("job_1")
        limits.allows(an_epoch(2))

        with pytest.raises(AttemptFailed):
            limits.allows(an_epoch(epoch))

    def test_the_checkpoint_of_one_epoch_comes_once(self) -> None:
        limits, event = EventLimits("job_1"), CheckpointEvent(epoch=1, files={})
        limits.allows(event)

        with pytest.raises(AttemptFailed):
            limits.allows(event)

    def test_the_names_of_checkpoint_files_are_bounded(self) -> None:
        limits = EventLimits("job_1")
        for epoch in (1, 2):
            limits.allows(checkpoint_of(epoch, files=100))

        with pytest.raises(AttemptFailed):
            limits.allows(checkpoint_of(3, files=1))
