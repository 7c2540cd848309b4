"""A finished training hands over what stock Ultralytics computes when it validates its best.pt."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
import pytest
from pydantic import BaseModel
from ultralytics.models import YOLO

from app.artifacts.validation import Curve, Curves, WorstImages
from app.core.tasks import Task
from tests.worker.trainer.customizations.in_process import train_here
from tests.worker.trainer.drawn_datasets import CLASSES, VAL_IMAGES
from tests.worker.trainer.jobs import TrainerProcess, a_job
from worker.trainer.upstream import DRAWN_BY_METRICS, Untyped, replaced

OTHER_TASKS = [task for task in get_args(Task) if task != "detect"]
Model = TypeVar("Model", bound=BaseModel)
CURVES = ("pr", "f1", "precision", "recall")


@pytest.fixture(scope="module")
def stock(
    finished: TrainerProcess,
    drawn: Callable[[Task], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Untyped:
    """Return the metrics of a stock validation of the best.pt of the finished training."""
    best = finished.directory / "run" / "final" / "best.pt"
    return validated(best, drawn("detect") / "data.yaml", tmp_path_factory.mktemp("stock"))


class TestDetect:
    def test_curves_equal_those_of_a_stock_validation(
        self, finished: TrainerProcess, stock: Untyped
    ) -> None:
        curves = curves_of(finished)

        assert_equal_curves(curves, stock.curves_results, stock.ap_class_index)

    def test_the_confusion_matrix_equals_that_of_a_stock_validation(
        self, finished: TrainerProcess, stock: Untyped
    ) -> None:
        confusion = curves_of(finished).confusion

        assert confusion is not None
        assert confusion.names == ["0", "1", "2", "background"]
        assert confusion.matrix == stock.confusion_matrix.matrix.tolist()
        assert (confusion.conf, confusion.iou, confusion.unit) == (0.001, 0.45, "objects")

    def test_every_error_of_the_validation_images_is_counted(
        self, finished: TrainerProcess, stock: Untyped
    ) -> None:
        worst = worst_of(finished)

        truths = sum(image.truths_total for image in worst.images)
        assert worst.images_total == VAL_IMAGES
        assert truths == int(stock.nt_per_class.sum())
        assert all(image.file.startswith("images/val/") for image in worst.images)

    def test_boxes_of_the_truths_are_those_of_the_labels(
        self, finished: TrainerProcess, drawn: Callable[[Task], Path]
    ) -> None:
        image = worst_of(finished).images[0]

        label = drawn("detect") / "labels" / Path(image.file).relative_to("images")
        lines = label.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
        expected = sorted([float(each) for each in line.split()] for line in lines)
        found = sorted([each.class_, *(each.box or [])] for each in image.truths)
        assert np.allclose(found, expected, atol=2e-3)


@pytest.mark.slow  # detect, above, shows the same but for what a task adds
class TestOtherTasks:
    @pytest.mark.parametrize("task", OTHER_TASKS)
    def test_what_is_recorded_of_any_task_equals_a_stock_validation(
        self, task: Task, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        job = a_job(drawn(task), tmp_path, task=task, train={"epochs": 1})

        training = train_here(job)

        (final,) = training.of("final")
        worst = read(WorstImages, tmp_path / "run" / final.worst_images)
        assert worst.images_total == VAL_IMAGES
        assert all((drawn(task) / image.file).is_file() for image in worst.images)
        if task == "depth":
            assert final.curves is None
            scores = [image.scores["abs_rel"] for image in worst.images]
            assert np.mean(scores) == pytest.approx(final.metrics["metrics/abs_rel"], abs=1e-4)
            return
        data = drawn(task) if task == "classify" else drawn(task) / "data.yaml"
        theirs = validated(tmp_path / "run" / "final" / "best.pt", data, tmp_path / "stock")
        curves = read(Curves, tmp_path / "run" / final.curves)
        confusion = curves.confusion
        assert confusion is not None
        assert confusion.matrix == theirs.confusion_matrix.matrix.tolist()
        if task in {"classify", "semantic"}:
            assert curves.pr is None
        else:
            assert_equal_curves(curves, theirs.curves_results, theirs.ap_class_index)
        if task == "classify":
            assert curves.accuracy is not None
            assert curves.accuracy.top1 == theirs.top1
            wrong = VAL_IMAGES - round(theirs.top1 * VAL_IMAGES)
            assert len(worst.images) == wrong
            for image in worst.images:
                assert CLASSES[image.truths[0].class_] == Path(image.file).parent.name


def validated(best: Path, data: Path, folder: Path) -> Untyped:
    """Validate as a user does. Without plots there would be no matrix, so they draw nothing."""
    arguments: dict[str, Any] = {
        "imgsz": 64,
        "batch": 8,
        "workers": 0,
        "plots": True,
        "device": "cpu",
    }
    with ExitStack() as drawing:
        for owner, name in DRAWN_BY_METRICS:
            drawing.enter_context(replaced(owner, name, lambda *_, **__: None))
        return YOLO(str(best)).val(data=str(data), save_dir=str(folder), **arguments)


def curves_of(process: TrainerProcess) -> Curves:
    (final,) = process.of("final")
    return read(Curves, process.directory / "run" / final.curves)


def worst_of(process: TrainerProcess) -> WorstImages:
    (final,) = process.of("final")
    return read(WorstImages, process.directory / "run" / final.worst_images)


def read(kind: type[Model], file: Path) -> Model:
    return kind.model_validate_json(file.read_bytes())


def assert_equal_curves(curves: Curves, results: list[Any], indices: list[int]) -> None:
    """Assert that every curve has the values of Ultralytics, with five digits."""
    parts: list[Any] = [each for each in (curves, curves.masks, curves.pose) if each is not None]
    ours = [getattr(part, name) for part in parts for name in CURVES]
    assert len(ours) == len(results)
    for curve, (x, values, _, _) in zip(ours, results, strict=True):
        assert isinstance(curve, Curve)
        assert curve.x == list(x)
        assert list(curve.classes) == [str(index) for index in indices]
        found: Untyped = (list(curve.classes.values()), curve.mean)
        assert found[0] == np.round(values, 5).tolist()
        assert found[1] == np.round(np.mean(values, 0), 5).tolist()
