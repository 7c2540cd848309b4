"""Turns failures to read the dataset into `BadData`.

A message names the file and the reason. A failure of the machine is not the dataset's fault and
keeps its own type.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.trainer.errors import (
    BadData,
    TrainerError,
    is_of_this_machine,
    plain_line,
    plain_lines,
)
from worker.trainer.run import TrainerMixin
from worker.trainer.upstream import Loader, Untyped

_NOT_DECODED: Final = re.compile(r"(?:Image Not Found|not found or unreadable:) (?P<file>.+)")
"""Ultralytics 8.4.190, data/base.py:294 and data/utils.py:390; ours in upstream.py."""
_DROPPED: Final = re.compile(r"(?:\w+: )?(?P<file>[^:]+): ignoring [^:]+: (?P<why>.+)")
"""A file that a scan left out (data/utils.py:322, 367, 435, 515)."""


class DataFailures(TrainerMixin):
    """Names the file and the reason when the dataset cannot be read.

    Innermost, like NamedFailures. Overrides `get_dataset`, `get_dataloader` (both around super) and
    `build_dataset` (after super). The functions that it puts around a dataset's own return the same
    values, so they change no number of a training.
    """

    def get_dataset(self) -> dict[str, Any]:
        """Raise `BadData` if the dataset is not valid."""
        with self.__blaming_data():
            return super().get_dataset()

    def get_dataloader(self, *arguments: Untyped, **options: Untyped) -> Loader:
        """Raise `BadData` if the loader cannot read the dataset."""
        with self.__blaming_data():
            return super().get_dataloader(*arguments, **options)

    def build_dataset(self, *arguments: Untyped, **options: Untyped) -> Untyped:
        """Have the dataset name the file that it cannot read."""
        dataset = super().build_dataset(*arguments, **options)
        folder = self.run.job.dataset_path
        if hasattr(dataset, "get_image_and_label"):
            read, channels = dataset.get_image_and_label, self.data.get("channels", 3)
            dataset.get_image_and_label = SampleReader(read, folder, dataset.im_files, channels)
        elif hasattr(dataset, "imread"):  # classify
            dataset.imread = ImageReader(dataset.imread, folder)
        return dataset

    @contextmanager
    def __blaming_data(self) -> Iterator[None]:
        try:
            yield
        except TrainerError:
            raise
        except Exception as error:
            if is_of_this_machine(error):
                raise
            raise self.__named(error) from error

    def __named(self, error: Exception) -> BadData:
        first, *more = plain_lines(error) or [""]
        if "No labels found in" in first:  # dataset.py:161, for training images only
            return BadData("No training image has an object.")
        if found := _NOT_DECODED.search(str(error)):
            return BadData(not_decoded(found["file"], self.run.job.dataset_path))
        if first.startswith("No valid images found in"):  # dataset.py:321
            reasons = (_DROPPED.fullmatch(line.strip()) for line in more)
            files = [f"{found['file']}: {found['why']}" for found in reasons if found]
            return BadData(
                f"No image can be used. {files[0]}" if files else "No image can be used."
            )
        if "Error loading data from" in first and error.__cause__ is not None:  # base.py:223
            return BadData(plain_line(error.__cause__))
        return BadData(first)


@dataclass(frozen=True)
class SampleReader:
    """Reads samples of a dataset by index, and names the image when that fails.

    Args:
        read: The dataset's own method.
        folder: File names are relative to it.
        files: The images by index.
        channels: The number of channels that the dataset's images have.
    """

    read: Callable[[int], dict[str, Any]]
    folder: Path
    files: list[str]
    channels: int

    def __call__(self, index: int) -> dict[str, Any]:
        """Read a sample.

        Raises:
            BadData: The image or its target cannot be used.
        """
        with _blaming(self.files[index], self.folder):
            sample = self.read(index)
        channels = sample["img"].shape[-1]
        if channels != self.channels:
            name = name_in(self.folder, self.files[index])
            raise BadData(f"{name} has {channels} channels, and the dataset has {self.channels}.")
        return sample


@dataclass(frozen=True)
class ImageReader:
    """Reads images of a classification dataset, and names the image when that fails."""

    read: Callable[[str], Untyped]
    folder: Path

    def __call__(self, file: str) -> Untyped:
        """Read an image.

        Raises:
            BadData: The file cannot be decoded.
        """
        with _blaming(file, self.folder):
            return self.read(file)


def not_decoded(file: str, folder: Path) -> str:
    """Return the message for an image or a mask that OpenCV cannot decode."""
    return f"{name_in(folder, file)} cannot be decoded by OpenCV, which Ultralytics reads with."


def name_in(folder: Path, file: str) -> str:
    """Return the path of a file relative to the dataset's folder; its name if it is elsewhere."""
    path = Path(file)
    for root in (folder, folder.resolve()):
        if path.is_relative_to(root):
            return str(path.relative_to(root))
    return path.name


@contextmanager
def _blaming(file: str, folder: Path) -> Iterator[None]:
    try:
        yield
    except TrainerError:
        raise
    except Exception as error:
        if is_of_this_machine(error):
            raise
        if found := _NOT_DECODED.search(str(error)):
            with Path(found["file"]).open("rb"):  # Ultralytics also ignores errors of the disk
                raise BadData(not_decoded(found["file"], folder)) from error
        raise BadData(f"{name_in(folder, file)} cannot be used: {plain_line(error)}") from error
