"""Make a classification source of images whose class a file names."""

from collections.abc import Iterable, Mapping, Sequence

from app.datasets.archives.finding_codes import Code
from app.datasets.archives.findings import shown
from app.datasets.archives.report import Split
from app.datasets.verification.source import Source, SourceImage, Upload
from app.datasets.verification.tree import MAX_PART_BYTES

NO_FOLDERS = frozenset({".", ".."})


def classified(
    upload: Upload,
    format_name: str,
    labels: Mapping[str, Sequence[str]],
    splits: Mapping[str, Split | None],
    read: Iterable[str],
) -> Source | None:
    """Return the source, or None with a finding if a class cannot be the name of a folder.

    The classes are sorted by name, as Ultralytics sorts class folders. Images without exactly one
    class are left out.

    Args:
        upload: the archive.
        format_name: the name of the format.
        labels: the classes of each image.
        splits: the split of each image.
        read: the files that were used.
    """
    names = sorted({name for of_image in labels.values() for name in of_image})
    unfit = [name for name in names if not _is_folder(name)]
    for name in unfit:
        text = f"A class is the name of a folder; rename {shown(name)!r}."
        upload.findings.add(Code.CLASS_NAME_INVALID, text)
    if unfit:
        return None
    numbers = {name: number for number, name in enumerate(names)}
    divided: dict[Split | None, list[SourceImage]] = {}
    for image in sorted(splits):
        of_image = labels.get(image, ())
        if len(of_image) != 1:
            text = f"It has {len(of_image)} classes; classification needs one. It is left out."
            upload.findings.add(Code.ANNOTATION_IGNORED, text, file=image)
            continue
        path = f"{of_image[0]}/{image.rpartition('/')[2]}"
        found = SourceImage(image, path, label=numbers[of_image[0]])
        divided.setdefault(splits[image], []).append(found)
    return Source(format_name, "classify", names, divided, read=set(read))


def _is_folder(name: str) -> bool:
    has_separator = "/" in name or "\\" in name
    return not has_separator and name not in NO_FOLDERS and len(name.encode()) <= MAX_PART_BYTES
