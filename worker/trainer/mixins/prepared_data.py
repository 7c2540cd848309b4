"""Datasets take labels and arrays that the worker prepared, instead of making them again."""

from contextlib import ExitStack
from functools import cached_property

from worker.trainer.datasets.reading import (
    PreparedScan,
    keeping_no_cache,
    reading_arrays,
    reading_scan,
    scanned_again,
)
from worker.trainer.datasets.rows import ScanDamaged
from worker.trainer.protocol import WarningEvent
from worker.trainer.run import TrainerMixin
from worker.trainer.upstream import Untyped, log_line


class PreparedData(TrainerMixin):
    """Reads the scan and the arrays of the job file, if it names them.

    Innermost of all mixins: what a dataset raises is the same with and without a scan. Overrides
    `build_dataset` (around super). Labels, images and random numbers are equal to those of
    Ultralytics' own scan and cache, so it changes no number of a training.
    """

    def build_dataset(self, *arguments: Untyped, **options: Untyped) -> Untyped:
        """Build the dataset from what was prepared; report once that there are no arrays."""
        job = self.run.job
        with ExitStack() as layers:
            if job.scan is not None:  # then other trainings read from the same folder
                layers.enter_context(keeping_no_cache())
            if self.__scan is not None:
                layers.enter_context(reading_scan(self.__scan))
            if job.spec.train.cache == "disk":
                self.__say_without_arrays()
                layers.enter_context(reading_arrays(are_there=job.without_arrays is None))
            dataset = super().build_dataset(*arguments, **options)
            if job.without_arrays is not None and hasattr(dataset, "cache_disk"):
                dataset.cache_disk = False  # classify
        return dataset

    @cached_property
    def __scan(self) -> PreparedScan | None:
        job = self.run.job
        if job.scan is None:
            log_line("The worker prepared no scan of the dataset: its labels are scanned now.")
            return None
        try:
            return PreparedScan.read(job.scan, job.dataset_path)
        except ScanDamaged as error:
            log_line(scanned_again(error))
            return None

    def __say_without_arrays(self) -> None:
        why = self.run.job.without_arrays
        if why is not None and not self.__has_said:
            self.__has_said = True
            message = f'Training goes on without the arrays of cache "disk": {why}'
            self.run.pipe.emit(WarningEvent(code="no_disk_cache", message=message))

    __has_said = False
