"""Boxes equal those that supervision and globox read, as recorded in `tests/data/oracles`.

`make oracle-fixtures` asks them again. A polygon counts by the box around it.
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import pytest
from PIL import Image

from tests.datasets.first_try import verdict_on
from tests.datasets.outputs import files_of_output

RECORDED: Final = Path(__file__).parents[3] / "data" / "oracles" / "answers.json"
ANSWERS: Final = json.loads(RECORDED.read_text())["answers"]
PIXELS: Final = 0.001
BOX_VALUES: Final = 4
ONE_BASED: Final = {
    ("supervision", "voc-devkit"): (1, 1, 0, 0),
    ("supervision", "voc-flat"): (1, 1, 0, 0),
    ("supervision", "voc-roboflow"): (1, 1, 0, 0),
}
"""supervision counts the left and top pixels of Pascal VOC from 1; globox and our reader do not."""

Box = tuple[str, list[float]]


def boxes_in(output: Path, names: Sequence[str]) -> dict[str, list[Box]]:
    """Return class and corners in pixels of each row, sorted, by the name of the image."""
    files = files_of_output(output)
    paths = [PurePosixPath(name) for name in files if name.startswith("images/")]
    return {path.name: sorted(rows_of(files, path, names)) for path in paths}


def rows_of(
    files: Mapping[str, bytes], image: PurePosixPath, names: Sequence[str]
) -> Iterator[Box]:
    with Image.open(io.BytesIO(files[str(image)])) as opened:
        width, height = opened.size
    label = f"labels/{'/'.join(image.parts[1:])}".replace(image.suffix, ".txt")
    for row in files[label].decode().splitlines():
        number, *values = row.split()
        xs, ys = corners([float(value) for value in values])
        box = [min(xs) * width, min(ys) * height, max(xs) * width, max(ys) * height]
        yield names[int(number)], box


def corners(values: list[float]) -> tuple[list[float], list[float]]:
    if len(values) != BOX_VALUES:
        return values[::2], values[1::2]
    x, y, w, h = values
    return [x - w / 2, x + w / 2], [y - h / 2, y + h / 2]


@pytest.mark.parametrize(
    ("oracle_name", "archive"),
    [(name, archive) for name, archives in ANSWERS.items() for archive in archives],
)
def test_boxes_equal_the_recorded_answer(oracle_name: str, archive: str, tmp_path: Path) -> None:
    report = verdict_on(archive, tmp_path)

    read = boxes_in(tmp_path, report.classes)

    recorded = {name: boxes for name, boxes in ANSWERS[oracle_name][archive].items() if boxes}
    assert sum(map(len, recorded.values())) > 0
    assert {name for name, boxes in read.items() if boxes} == recorded.keys()
    shift = ONE_BASED.get((oracle_name, archive), (0, 0, 0, 0))
    for name, boxes in recorded.items():
        assert [label for label, _ in read[name]] == [label for label, *_ in boxes]
        for (_, box), (_, *theirs) in zip(read[name], boxes, strict=True):
            shifted = [value + by for value, by in zip(theirs, shift, strict=True)]
            assert box == pytest.approx(shifted, abs=PIXELS)
