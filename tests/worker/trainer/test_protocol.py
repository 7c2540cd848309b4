import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.artifacts.names import ArtifactKind
from app.jobs.end_reasons import EndReason
from app.jobs.states import Phase
from tests.worker.trainer.jobs import a_job, weights
from worker.trainer.protocol import (
    Artifact,
    BatchEvent,
    CheckpointEvent,
    EpochEvent,
    ErrorEvent,
    Event,
    FinalEvent,
    JobFile,
    PhaseEvent,
    ResumedEvent,
    StartedEvent,
    WarningEvent,
    event_line,
    parse_event,
)

EVENTS: list[Event] = [
    PhaseEvent(seq=1, at=1.5, phase=Phase.PREPARING),
    ResumedEvent(mode="exact", epoch=3, reason=None, message=None),
    ResumedEvent(mode="plain", epoch=3, reason="other_batch", message="…"),
    StartedEvent(
        batches_per_epoch=5,
        epochs=2,
        first_epoch=1,
        batch_size=4,
        threads=1,
        device_name="cpu",
        optimizer="SGD",
        lr0=None,
        train_images=18,
        val_images=8,
        environment={"torch": "2.9.1"},
    ),
    BatchEvent(
        epoch=1,
        epochs=2,
        batch=1,
        batches=5,
        losses={"ä": 0.1},
        epoch_seconds=1,
        eta_seconds=None,
    ),
    EpochEvent(
        epoch=1,
        epochs=2,
        metrics={"val/loss": None},
        fitness=0.5,
        best_fitness=None,
        seconds=2,
        optimizer_steps=5,
        eta_seconds=2.5,
    ),
    CheckpointEvent(epoch=1, files={"last.pt": "outbox/1-last.pt", "best.pt": None}),
    CheckpointEvent(
        epoch=2, files={"last.pt": "outbox/2-last.pt", "state.pt": "outbox/2-state.pt"}
    ),
    WarningEvent(code="metric_not_finite", message="…"),
    ErrorEvent(code=EndReason.DIVERGED, message="a\nb", hint=""),
    FinalEvent(
        epochs_done=2,
        best_epoch=1,
        best_fitness=0.5,
        metrics={},
        artifacts=[Artifact(name="best.pt", path="final/best.pt", kind=ArtifactKind.WEIGHTS)],
    ),
]


class TestEvents:
    @pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event.type))
    def test_an_event_reads_back_as_it_was_written(self, event: Event) -> None:
        line = event_line(event)

        assert parse_event(line) == event
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")

    def test_phases_and_kinds_are_plain_words_on_the_pipe(self) -> None:
        phase, final = map(event_line, (EVENTS[0], EVENTS[-1]))

        assert json.loads(phase)["phase"] == "preparing"
        assert json.loads(final)["artifacts"][0]["kind"] == "weights"

    @pytest.mark.parametrize("kind", ["checkpoint", "log"])
    def test_a_trainer_cannot_report_what_the_supervisor_stores(self, kind: str) -> None:
        line = event_line(EVENTS[-1]).replace(b'"weights"', f'"{kind}"'.encode())

        with pytest.raises(ValidationError):
            parse_event(line)

    @pytest.mark.parametrize("code", ["timeout", "cancelled", "no_such_reason"])
    def test_an_error_names_a_reason_that_has_an_exit_code(self, code: str) -> None:
        line = event_line(ErrorEvent(code=EndReason.DIVERGED, message="", hint=""))

        with pytest.raises(ValidationError):
            parse_event(line.replace(b"diverged", code.encode()))

    @pytest.mark.parametrize(
        "line",
        ["", "{}", "[]", '{"type": "other"}', '{"type": "phase", "phase": "resting"}'],
    )
    def test_a_line_that_is_no_event_is_refused(self, line: str) -> None:
        with pytest.raises(ValidationError):
            parse_event(line)

    @pytest.mark.parametrize("number", [float("nan"), float("inf")])
    def test_a_number_that_is_none_cannot_be_said(self, number: float) -> None:
        with pytest.raises(ValidationError):
            BatchEvent(
                epoch=1,
                epochs=1,
                batch=1,
                batches=1,
                losses={"box": number},
                epoch_seconds=1,
                eta_seconds=None,
            )


class TestJobFile:
    def test_a_job_file_is_read_as_it_was_written(self, tmp_path: Path) -> None:
        job = a_job(tmp_path, tmp_path, model=weights(tmp_path / "w.pt"), memory_limit_bytes=1)

        assert JobFile.model_validate_json(job.model_dump_json()) == job

    def test_a_job_file_of_another_protocol_is_refused(self, tmp_path: Path) -> None:
        text = a_job(tmp_path, tmp_path).model_dump_json().replace('"protocol":1', '"protocol":2')

        with pytest.raises(ValidationError):
            JobFile.model_validate_json(text)


class TestImports:
    @pytest.mark.parametrize(
        "name", ["protocol", "environment", "weights.portability", "errors", "process"]
    )
    def test_modules_that_others_import_load_no_torch(self, name: str) -> None:
        program = (
            f"import sys, worker.trainer.{name}; "
            "sys.exit(any(heavy in sys.modules for heavy in ('torch', 'ultralytics')))"
        )

        done = subprocess.run([sys.executable, "-c", program], check=False)

        assert done.returncode == 0
