"""What an epoch costs the trainer beside its training: files written, digests, syncs."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from app.core.tasks import Task
from tests.counting import counted
from tests.worker.trainer.customizations.in_process import train_here
from tests.worker.trainer.jobs import a_job


class TestEpochCosts:
    def test_a_best_epoch_is_serialized_once_and_syncs_nothing(
        self, drawn: Callable[[Task], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = a_job(drawn("detect"), tmp_path, train={"epochs": 1}, state_every=1)

        with (
            counted(monkeypatch, os, "fsync") as syncs,
            counted(monkeypatch, hashlib, "file_digest") as digests,
            counted(monkeypatch, torch, "save") as saves,
        ):
            trained = train_here(job)

        weights = trained.directory / "weights"
        assert (weights / "best.pt").samefile(weights / "last.pt")
        (checkpoint,) = trained.of("checkpoint")
        assert set(checkpoint.files) == {"last.pt", "best.pt", "results.csv", "state.pt"}
        # The checkpoint and the state; finalizing strips last.pt and best.pt.
        assert len(saves) == 2 + 2
        assert len(digests) == 2  # for the state: results.csv and best.pt
        assert syncs == []
