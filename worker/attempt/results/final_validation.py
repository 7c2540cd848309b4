"""Stores what the final validation showed: curves, the worst images, and previews of plots.

The files come from a trainer that is not trusted: they are read with a limit, and stored only after
a model has accepted them. No result of a training depends on them, so one that is refused, or a
picture that cannot be made, is left out and logged.
"""

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from app.artifacts import plots
from app.artifacts.names import CURVES, WORST_IMAGES, ArtifactKind, preview_name
from app.artifacts.validation import CURVES_BYTES, SINGLE_CLASS, WORST_BYTES, Curves, WorstImages
from app.artifacts.worst_images import PREVIEW_BYTES, PREVIEW_SIDE, PreviewContent, write_bundle
from app.core.guarded_files import FileRefused, relative_parts
from app.core.logging import get_logger
from app.datasets.repository import class_names
from worker.attempt.claimed import AttemptFailed, ClaimedAttempt
from worker.attempt.conclusion import KeptArtifact
from worker.attempt.results.pictures import Picture, PictureLimits, make_pictures
from worker.attempt.trainer_files import opened_file
from worker.trainer.protocol import Artifact, FinalEvent

PLOT_LIMITS: Final = PictureLimits(plots.PREVIEW_WIDTH, plots.PREVIEW_HEIGHT, plots.PREVIEW_BYTES)
IMAGE_LIMITS: Final = PictureLimits(PREVIEW_SIDE, PREVIEW_SIDE, PREVIEW_BYTES)
MOST_PLOTS: Final = 100
"""Plots that get a preview; a training draws up to 25."""
LONGEST_PLOT_NAME: Final = 190
PLOT_BYTES: Final = 64 * 1024**2
"""The largest plot that gets a preview."""

Model = TypeVar("Model", bound=BaseModel)

log = get_logger(__name__)


def store_final_validation(
    attempt: ClaimedAttempt, final: FinalEvent | None, dataset: Path
) -> tuple[KeptArtifact, ...]:
    """Store curves, worst images and previews of a training that has finished.

    Args:
        attempt: its attempt; no process of the trainer is alive.
        final: its last event; without one, nothing is stored.
        dataset: the folder of the dataset as it was verified.

    Raises:
        LeaveRequested, LeaseLost: the attempt must not continue.
        InsufficientStorage, Unavailable: the store cannot take the files.
    """
    if final is None:
        return ()
    worst = _checked_worst_images(attempt, final)
    shown = _plots_of(attempt, final)
    images = [] if worst is None else worst.images
    wanted = [
        *((dataset / image.file, IMAGE_LIMITS) for image in images),
        *((attempt.directory.run / plot.path, PLOT_LIMITS) for plot in shown),
    ]
    pictures = make_pictures(attempt, wanted, read=[dataset, attempt.directory.run])
    return (
        *_stored_curves(attempt, final),
        *_stored_worst_images(attempt, worst, pictures),
        *_stored_previews(attempt, shown, pictures, first=len(images)),
    )


def _read(attempt: ClaimedAttempt, path: str | None, kind: type[Model], most: int) -> Model | None:
    """Return what a JSON file of the trainer contains; None if it is missing or refused."""
    if path is None:
        return None
    try:
        with opened_file(attempt.directory.run_files, path, most_bytes=most) as file:
            return kind.model_validate_json(file.read(most))
    except AttemptFailed as error:
        _log_refused(attempt, path, error.message)
    except ValidationError as error:
        _log_refused(attempt, path, f"{error.error_count()} errors: {error.errors()[0]['msg']}")
    return None


def _log_refused(attempt: ClaimedAttempt, path: str, reason: str) -> None:
    log.warning("validation.refused", job_id=attempt.job.id, file=path, reason=reason[:500])


def _stored_curves(attempt: ClaimedAttempt, final: FinalEvent) -> Sequence[KeptArtifact]:
    curves = _read(attempt, final.curves, Curves, CURVES_BYTES)
    if curves is None:
        return ()
    try:
        content = curves.named(_class_names(attempt)).model_dump_json().encode()
    except ValueError as error:
        _log_refused(attempt, final.curves or "", str(error))
        return ()
    file = attempt.directory.new_folder() / "curves.json.gz"
    file.write_bytes(gzip.compress(content, mtime=0))  # equal curves are equal bytes
    stored = attempt.context.store.put_file(file)
    return (KeptArtifact(CURVES, ArtifactKind.VALIDATION, None, stored),)


def _class_names(attempt: ClaimedAttempt) -> Sequence[str]:
    if attempt.spec.train.single_cls:
        return SINGLE_CLASS
    version = attempt.job.dataset_version_id
    return attempt.lease.read(lambda session: tuple(class_names(session, version)))


def _checked_worst_images(attempt: ClaimedAttempt, final: FinalEvent) -> WorstImages | None:
    worst = _read(attempt, final.worst_images, WorstImages, WORST_BYTES)
    if worst is None:
        return None
    try:
        for image in worst.images:
            relative_parts(image.file)
    except ValueError as error:
        _log_refused(attempt, final.worst_images or "", f"the path of an image {error}")
        return None
    return worst


def _stored_worst_images(
    attempt: ClaimedAttempt, worst: WorstImages | None, pictures: Mapping[int, Picture]
) -> Sequence[KeptArtifact]:
    if worst is None:
        return ()
    found = {number: pictures[number] for number in range(len(worst.images)) if number in pictures}
    sized = [
        image
        if image.width is not None or number not in found
        else image.model_copy(
            update={"width": found[number].source_width, "height": found[number].source_height}
        )
        for number, image in enumerate(worst.images)
    ]
    previews = {
        number: PreviewContent(picture.file.read_bytes(), picture.width, picture.height)
        for number, picture in found.items()
    }
    path = attempt.directory.new_folder() / "worst_images"
    with path.open("wb") as file:
        write_bundle(file, worst.model_copy(update={"images": sized}), previews)
    stored = attempt.context.store.put_file(path)
    return (KeptArtifact(WORST_IMAGES, ArtifactKind.VALIDATION, None, stored),)


def _plots_of(attempt: ClaimedAttempt, final: FinalEvent) -> list[Artifact]:
    """Return the plots to preview: whole files of the run directory, and not too large."""
    found = []
    for plot in final.artifacts:
        if plot.kind is not ArtifactKind.PLOT or len(plot.name) > LONGEST_PLOT_NAME:
            continue
        try:
            attempt.directory.run_files.check(plot.path, most_bytes=PLOT_BYTES)
        except FileRefused:
            continue  # it is not stored either, or it is huge
        found.append(plot)
    return found[:MOST_PLOTS]


def _stored_previews(
    attempt: ClaimedAttempt,
    shown: Sequence[Artifact],
    pictures: Mapping[int, Picture],
    *,
    first: int,
) -> Sequence[KeptArtifact]:
    kept = {}
    for number, plot in enumerate(shown, first):
        picture = pictures.get(number)
        if picture is not None:
            stored = attempt.context.store.put_file(picture.file)
            size = (picture.width, picture.height)
            name = preview_name(plot.name)
            kept[name] = KeptArtifact(name, ArtifactKind.PREVIEW, None, stored, size=size)
    return tuple(kept.values())
