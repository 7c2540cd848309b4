"""The null trainer does all of a training except the training; only tests offer it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.jobs.spec.job_spec import TrainerChoice
from tests.worker.trainer.jobs import a_job
from worker.plugins import installed_plugins
from worker.trainer.environment import trainer_environment
from worker.trainer.null_trainer import NAME, State, null_check
from worker.trainer.protocol import (
    EVENTS_FD_VARIABLE,
    CheckpointEvent,
    EpochEvent,
    FinalEvent,
    JobFile,
    ResumedEvent,
    TrainerEvent,
    parse_event,
)

EPOCHS = 5
START_SECONDS = 8.0
"""In truth a fraction of one; importing torch takes longer than this on a busy machine."""


def a_null_job(folder: Path, *, seconds_per_epoch: float = 0.0) -> JobFile:
    job = a_job(folder / "dataset", folder, train={"epochs": EPOCHS})
    choice = TrainerChoice(name=NAME, options={"seconds_per_epoch": seconds_per_epoch})
    return job.model_copy(update={"spec": job.spec.model_copy(update={"trainer": choice})})


def started(job: JobFile, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start the trainer as the supervisor does; return it and the pipe's reading end."""
    file = folder / "job.json"
    file.write_text(job.model_dump_json())
    job.run_directory.mkdir(exist_ok=True, parents=True)
    reading, writing = os.pipe()
    environment = trainer_environment(folder, gpu=None, base=os.environ)
    process = subprocess.Popen(
        [sys.executable, "-m", "worker.trainer", str(file)],
        env=environment | {EVENTS_FD_VARIABLE: str(writing)},
        pass_fds=[writing],
    )
    os.close(writing)
    return process, reading


def said(reading: int) -> list[TrainerEvent]:
    with os.fdopen(reading, "rb") as pipe:
        return [parse_event(line) for line in pipe]


def run(job: JobFile, folder: Path) -> tuple[int, list[TrainerEvent]]:
    process, reading = started(job, folder)
    events = said(reading)
    return process.wait(), events


def epochs_in(events: list[TrainerEvent]) -> list[int]:
    return [each.epoch for each in events if isinstance(each, EpochEvent)]


def after_three_epochs(folder: Path) -> JobFile:
    """Return the job of a second attempt, which resumes from the first one's third epoch."""
    first = a_null_job(folder / "first")
    _, events = run(first, folder / "first")
    handed = {each.epoch: each.files for each in events if isinstance(each, CheckpointEvent)}
    job = a_null_job(folder)
    (job.run_directory / "weights").mkdir(parents=True)
    for name, target in (
        ("last.pt", folder / "last.pt"),
        ("state.pt", folder / "state.pt"),
        ("best.pt", job.run_directory / "weights" / "best.pt"),
        ("results.csv", job.run_directory / "results.csv"),
    ):
        shutil.copyfile(first.run_directory / str(handed[3][name]), target)
    resumes = {"resume_from": folder / "last.pt", "state_from": folder / "state.pt"}
    return job.model_copy(update=resumes)


class TestNullTrainer:
    def test_the_null_trainer_speaks_the_protocol_to_the_end(self, tmp_path: Path) -> None:
        job = a_null_job(tmp_path)
        began = time.monotonic()

        code, events = run(job, tmp_path)

        assert (code, epochs_in(events)) == (0, [1, 2, 3, 4, 5])
        assert time.monotonic() - began < START_SECONDS
        assert [each.seq for each in events] == list(range(1, len(events) + 1))
        final = events[-1]
        assert isinstance(final, FinalEvent)
        assert {each.name for each in final.artifacts} == {"best.pt", "last.pt", "results.csv"}
        rows = (job.run_directory / "results.csv").read_text().splitlines()
        assert [row.partition(",")[0] for row in rows] == ["epoch", "1", "2", "3", "4", "5"]

    def test_the_null_trainer_hands_over_a_checkpoint_after_every_epoch(
        self, tmp_path: Path
    ) -> None:
        job = a_null_job(tmp_path)

        _, events = run(job, tmp_path)

        handed = [each for each in events if isinstance(each, CheckpointEvent)]
        for each in handed:
            last = job.run_directory / str(each.files["last.pt"])
            assert State.read(last).epoch == each.epoch
        best = [each.epoch for each in handed if each.files["best.pt"] is not None]
        assert best == [1, 3]

    @pytest.mark.parametrize(("every", "epochs"), [(None, [3, 5]), (2, [2, 4, 5])])
    def test_the_null_trainer_hands_over_a_state_after_some_epochs_and_the_last_one(
        self, tmp_path: Path, every: int | None, epochs: list[int]
    ) -> None:
        job = a_null_job(tmp_path).model_copy(update={"state_every": every})

        _, events = run(job, tmp_path)

        handed = [each for each in events if isinstance(each, CheckpointEvent)]
        assert [each.epoch for each in handed if each.files.get("state.pt")] == epochs

    def test_the_null_trainer_continues_exactly_from_a_state_and_the_files_of_its_time(
        self, tmp_path: Path
    ) -> None:
        job = after_three_epochs(tmp_path)

        code, events = run(job, tmp_path)

        (resumed,) = [each for each in events if isinstance(each, ResumedEvent)]
        assert (code, resumed.mode, resumed.epoch) == (0, "exact", 3)
        assert epochs_in(events) == [4, 5]

    @pytest.mark.parametrize("name", ["results.csv", "weights/best.pt"])
    def test_the_null_trainer_refuses_a_state_beside_files_of_another_time(
        self, tmp_path: Path, name: str
    ) -> None:
        job = after_three_epochs(tmp_path)
        file = job.run_directory / name
        file.write_bytes(file.read_bytes() + b"\n")

        code, events = run(job, tmp_path)

        assert (code, epochs_in(events)) == (15, [])

    def test_the_null_trainer_reports_that_there_is_no_state(self, tmp_path: Path) -> None:
        job = after_three_epochs(tmp_path).model_copy(update={"state_from": None})

        _, events = run(job, tmp_path)

        (resumed,) = [each for each in events if isinstance(each, ResumedEvent)]
        assert (resumed.mode, resumed.reason) == ("plain", "no_state")

    def test_the_null_trainer_leaves_on_sigterm_and_continues_from_its_checkpoint(
        self, tmp_path: Path
    ) -> None:
        first = a_null_job(tmp_path, seconds_per_epoch=30)
        process, reading = started(first, tmp_path)
        with os.fdopen(reading, "rb") as pipe:
            while b'"batch"' not in pipe.readline():
                pass
            process.send_signal(signal.SIGTERM)
            assert process.wait() == 10
        state = State().after_an_epoch().after_an_epoch()
        resume_file = tmp_path / "resume.pt"
        resume_file.write_bytes(state.written(0))
        (first.run_directory / "weights" / "best.pt").write_bytes(
            State().after_an_epoch().written(0)
        )

        job = a_null_job(tmp_path).model_copy(update={"resume_from": resume_file})
        code, events = run(job, tmp_path)

        assert (code, epochs_in(events)) == (0, [3, 4, 5])

    def test_the_null_trainer_finishes_early_on_sigusr1(self, tmp_path: Path) -> None:
        process, reading = started(a_null_job(tmp_path, seconds_per_epoch=0.5), tmp_path)
        with os.fdopen(reading, "rb") as pipe:
            while b'"batch"' not in pipe.readline():
                pass
            process.send_signal(signal.SIGUSR1)
            rest = [parse_event(line) for line in pipe]

        assert process.wait() == 0
        assert epochs_in(rest) == [1]
        assert isinstance(rest[-1], FinalEvent)

    @pytest.mark.parametrize(
        "content", [b"", b"{}\n", b'{"epoch": 2', b'{"epoch": 2, "chain": ""}']
    )
    def test_the_null_trainer_refuses_a_damaged_checkpoint(
        self, tmp_path: Path, content: bytes
    ) -> None:
        resume_file = tmp_path / "resume.pt"
        resume_file.write_bytes(content if content != b"{}\n" else json.dumps([1]).encode())

        job = a_null_job(tmp_path).model_copy(update={"resume_from": resume_file})
        code, _ = run(job, tmp_path)

        assert code == 15


class TestItsProof:
    def test_the_proof_of_the_null_trainer_passes_whole_files_and_claims_nothing_of_them(
        self, tmp_path: Path
    ) -> None:
        file = tmp_path / "best.pt"
        file.write_bytes(State().after_an_epoch().written(100))

        assert self.proved(tmp_path, file) == (0, None)

    def test_the_proof_of_the_null_trainer_refuses_a_truncated_file(self, tmp_path: Path) -> None:
        file = tmp_path / "best.pt"
        file.write_bytes(State().after_an_epoch().written(0)[:20])

        code, failure = self.proved(tmp_path, file)

        assert (code, "best.pt" in (failure or "")) == (17, True)

    def proved(self, folder: Path, file: Path) -> tuple[int, str | None]:
        environment = trainer_environment(folder, gpu=None, base=os.environ)
        check = null_check([file], environment, folder / "verdict.json")
        code = subprocess.run(check.argv, env=check.env, check=False).returncode
        assert check.verdict().checks == {}
        return code, check.verdict().failure


class TestWhoIsOffered:
    def test_no_slot_offers_the_null_trainer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TRAINYARD_TESTING", raising=False)

        assert NAME not in [each.name for each in installed_plugins()]

    def test_the_null_trainer_is_offered_under_test(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRAINYARD_TESTING", "1")

        assert NAME in [each.name for each in installed_plugins() if each.error is None]
