"""Records a validation: watches the validator of one run, and returns what it shows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from worker.trainer.upstream import Untyped
from worker.trainer.validation.curves import Json, curves_of
from worker.trainer.validation.images import judge_of
from worker.trainer.validation.worst import WorstRecord


class ValidationRecord:
    """Records one validation of any task.

    Args:
        task: The task.
        classes: The number of classes of the dataset.
        dataset: The folder of the dataset; files of images are named from there.
        warn: Gets an error of the record itself. The validation goes on without the record.
    """

    def __init__(
        self, task: str, *, classes: int, dataset: Path, warn: Callable[[Exception], None]
    ) -> None:
        self._task, self._classes, self._dataset, self._warn = task, classes, dataset, warn
        self._judge = judge_of(task)
        self._kept = WorstRecord()
        self._has_failed = False

    @contextmanager
    def watching(self, validator: Untyped) -> Iterator[None]:
        """Watch a validator that validates in the block."""
        method = self._judge.method
        if not hasattr(validator, method):  # of a plugin's validator: there is nothing to record
            yield
            return
        act: Callable[..., object] = getattr(validator, method)
        own = vars(validator).get(method)
        note = self._guard(partial(self._judge.note, validator, self._kept))

        def watched(*arguments: object) -> object:
            note(*arguments)
            return act(*arguments)

        setattr(validator, method, watched)
        try:
            yield
        finally:
            delattr(validator, method)
            if own is not None:
                setattr(validator, method, own)

    def curves(self, validator: Untyped) -> Json | None:
        """Return `Curves` of a validator that has validated, as JSON; None without any."""
        found: list[Json | None] = []
        self._guard(
            lambda: found.append(curves_of(validator, task=self._task, classes=self._classes))
        )()
        return found[0] if found else None

    def worst_images(self, order: Callable[[], Sequence[str] | None]) -> Json | None:
        """Return `WorstImages` of the validation, as JSON; None if they could not be recorded.

        Args:
            order: Returns the files of the validation in its order, if images do not name them.
        """
        found: list[Json] = []
        self._guard(lambda: found.append(self._worst(order)))()
        return found[0] if found and not self._has_failed else None

    def _worst(self, order: Callable[[], Sequence[str] | None]) -> Json:
        images = self._kept.worst_first()
        if any("file" not in image for _, image in images):
            files = order()
            if files is None or len(files) != self._kept.images_total:
                raise LookupError("the order of the validation images is not known")
            images = [(number, image | {"file": files[number]}) for number, image in images]
        return {
            "conf": self._judge.conf,
            "iou": self._judge.iou,
            "images_total": self._kept.images_total,
            "images": [image | {"file": self._named(image["file"])} for _, image in images],
        }

    def _named(self, file: str) -> str:
        """Return the path of an image in its dataset; its name, if it lies elsewhere."""
        path = Path(file)
        for root in (self._dataset, self._dataset.resolve()):
            if path.is_relative_to(root):
                return str(path.relative_to(root))
        return path.name

    def _guard(self, act: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: object) -> None:
            if self._has_failed:
                return
            try:
                act(*arguments)
            except Exception as error:  # noqa: BLE001 -- a plugin's validator may be of any kind
                self._has_failed = True
                self._warn(error)

        return guarded
