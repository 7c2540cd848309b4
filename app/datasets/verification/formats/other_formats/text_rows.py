"""Formats with a text file for each image and an object in each of its rows, in pixels."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from app.core.tasks import Task
from app.datasets.reports.findings import shown
from app.datasets.verification.formats.other_formats.annotated import (
    Annotations,
    Place,
    with_backgrounds,
)
from app.datasets.verification.formats.other_formats.plain_text import first_lines, text_of
from app.datasets.verification.formats.other_formats.stems import StemIndex
from app.datasets.verification.matching import split_of
from app.datasets.verification.source import Source, Upload
from app.datasets.verification.tree import suffix

if TYPE_CHECKING:
    from app.datasets.reports.report import Split

MAX_PROBES: Final = 50
MAX_ROWS: Final = 20
IMAGES_OF_LABELS: Final = "image"

AddRow = Callable[[str, str, Annotations, Place], None]


def labelled_texts(
    upload: Upload, is_row: Callable[[str], bool], headers: tuple[str, ...] = ()
) -> list[str]:
    """Return the text files in folders of labels if the rows of most of them are of the format.

    A sample of the files is judged. A folder of labels has `label` or `annotation` in its name;
    without such a folder, all text files count.
    """
    texts = sorted(path for path in upload.tree.files if suffix(path) == ".txt")
    inside = [path for path in texts if _is_in_labels(path)]
    files = inside or texts
    fits = others = 0
    for path in files[:: max(1, len(files) // MAX_PROBES)]:
        lines = first_lines(upload, path)
        rows = [line for line in lines if not line.lower().startswith(headers or "\n")][:MAX_ROWS]
        if rows:
            fit = all(map(is_row, rows))
            fits, others = fits + fit, others + (not fit)
    return files if fits > others else []


def _is_in_labels(path: str) -> bool:
    folders = path.lower().split("/")[:-1]
    return any("label" in folder or "annotation" in folder for folder in folders)


def read_rows(
    upload: Upload,
    files: Sequence[str],
    annotations: Annotations,
    add: AddRow,
    *,
    is_shared: bool = False,
) -> None:
    """Add each row of each file to the image with its name.

    With `is_shared`, images of one split that have the same name are one image.
    """
    images = StemIndex(upload.tree.images_below(""), upload.tree.root)
    first: dict[tuple[Split | None, str], str] = {}
    for file, candidates in images.pairs({file: file for file in files}).items():
        found = _nearest(candidates, file)
        if len(found) != 1:
            what = "Several images have" if found else "No image of the archive has"
            annotations.ignore(f"{what} the name of this file.", Place(file))
            continue
        image = found[0]
        if is_shared:
            image = first.setdefault((split_of(image), image.rpartition("/")[2]), image)
            annotations.leave_out(found[0] if image != found[0] else None)
        text = text_of(upload, file, upload.members.read_labels(file))
        if text is None:
            annotations.drop([image], file, "It is damaged or too large.")
        elif annotations.add_image(image, None) or is_shared:
            _add_lines(text, image, file, annotations, add)
        else:
            annotations.ignore(f"Another file already annotates {shown(image)}.", Place(file))


def _add_lines(text: str, image: str, file: str, annotations: Annotations, add: AddRow) -> None:
    for line, content in enumerate(text.splitlines(), start=1):
        if content.strip():
            add(image, content, annotations, Place(file, line))


def _nearest(found: Sequence[str], file: str) -> list[str]:
    """Return the image in the folder that belongs to the labels: `image_2` to `label_2`."""
    if len(found) <= 1:
        return list(found)
    wanted = file.rpartition("/")[0].lower().replace("label", IMAGES_OF_LABELS)
    exact = [image for image in found if image.rpartition("/")[0].lower() == wanted]
    return exact or list(found)


def source_of(
    upload: Upload, annotations: Annotations, files: Sequence[str], usual: Task | None = None
) -> Source | None:
    """Return the source; its splits are those that folders name.

    `usual` is the task of the format where the sender asks for none.
    """
    task = annotations.task()
    if task is None:
        return None
    if upload.options.task is None and usual is not None:
        task = usual
    splits = {image: split_of(image) for image in annotations.images}
    return annotations.source(task, with_backgrounds(upload, splits), files)
