"""Make a classification source of images whose class a file names."""

from collections.abc import Iterable, Mapping, Sequence

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.report import Split
from app.datasets.verification.source import Source, SourceImage, Upload


def classified(
    upload: Upload,
    format_name: str,
    labels: Mapping[str, Sequence[str]],
    splits: Mapping[str, Split | None],
    read: Iterable[str],
) -> Source:
    """Return the source. Images without exactly one class are left out.

    Args:
        upload: the archive.
        format_name: the name of the format.
        labels: the classes of each image.
        splits: the split of each image.
        read: the files that were used.
    """
    names = sorted({name for of_image in labels.values() for name in of_image})
    numbers = {name: number for number, name in enumerate(names)}
    divided: dict[Split | None, list[SourceImage]] = {}
    for image in sorted(splits):
        of_image = labels.get(image, ())
        if len(of_image) != 1:
            text = f"It has {len(of_image)} classes; classification needs one. It is left out."
            upload.findings.add(Code.ANNOTATION_IGNORED, text, file=image)
            continue
        found = SourceImage(image, image.rpartition("/")[2], label=numbers[of_image[0]])
        divided.setdefault(splits[image], []).append(found)
    return Source(format_name, "classify", names, divided, read=set(read))
