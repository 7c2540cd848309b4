"""Every job in docs/customizing.md trains with the customizations that it requests."""

import json
from pathlib import Path

import pytest

from app.jobs.spec.job_spec import JobSpec
from tests.architecture.sources import ROOT
from tests.docs.blocks import Block, blocks_of
from tests.worker.trainer.customizations.combinations import FIVE, Watched
from tests.worker.trainer.customizations.in_process import train_here
from tests.worker.trainer.drawn_datasets import draw_dataset
from tests.worker.trainer.jobs import a_job

pytestmark = pytest.mark.integration

SHOWN = [block for block in blocks_of(ROOT / "docs" / "customizing.md") if block.shows == "JobSpec"]
CLASSES = ("circle", "square", "triangle")
"""Of the dataset of `make demo`."""


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_dataset(tmp_path_factory.mktemp("shapes"), "detect", classes=CLASSES)


class TestExamples:
    def test_each_customization_has_an_example_and_one_has_all(self) -> None:
        asked = [set(json.loads(block.text)["customize"]) for block in SHOWN]

        assert {each.name for each in FIVE} in asked
        for each in FIVE:
            assert {each.name} in [names - {"keep_best"} for names in asked]

    @pytest.mark.parametrize("block", SHOWN, ids=str)
    @pytest.mark.slow
    def test_a_documented_example_trains(self, block: Block, shapes: Path, tmp_path: Path) -> None:
        spec = JobSpec.model_validate_json(block.text)
        document = json.loads(block.text)
        job = a_job(
            shapes,
            tmp_path,
            train=document["train"],
            customize=document["customize"],
            facts={"classes": CLASSES, "class_counts": {"circle": 30, "square": 15, "triangle": 9}},
        )

        run = train_here(job, watching=(Watched,))

        run.assert_it_trained()
        assert len(run.of("epoch")) == spec.train.epochs
        assert run.of("final")[0].best_epoch is not None
