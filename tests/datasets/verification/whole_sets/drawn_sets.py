"""Hypothesis strategies of small valid datasets."""

from typing import Any

from hypothesis import strategies as st

from app.core.tasks import Task
from tests.datasets.builders import POSE_KEYS, Files, a_yaml, an_image

JPEGS = [an_image(seed, side=16) for seed in range(3)]
NAMES = st.lists(
    st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=6),
    min_size=1,
    max_size=4,
    unique=True,
)
SHARES = st.integers(1, 999_999).map(lambda share: share / 1_000_000)
SPLITS = ("train", "val", "test")


def with_number(jpeg: bytes, number: int) -> bytes:
    """Return the picture with a comment, so that no two files are equal."""
    comment = str(number).encode()
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


@st.composite
def rows(draw: st.DrawFn, task: Task, classes: int) -> str:
    """Draw a row that is valid for a task."""
    number = draw(st.integers(0, classes - 1))
    points = {"detect": 2, "pose": 2, "obb": 4, "segment": draw(st.integers(3, 6))}[task]
    values = [f"{draw(SHARES):g}" for _ in range(2 * points)]
    if task == "pose":
        values += [
            part for _ in range(4) for part in (f"{draw(SHARES):g}", f"{draw(SHARES):g}", "2")
        ]
    return " ".join([str(number), *values])


@st.composite
def datasets(draw: st.DrawFn) -> tuple[Task, Files]:
    """Draw the files of a valid dataset with labels, and its task."""
    tasks: tuple[Task, ...] = ("detect", "segment", "pose", "obb")
    task = draw(st.sampled_from(tasks))
    names = draw(NAMES)
    keys: dict[str, Any] = dict(POSE_KEYS) if task == "pose" else {}
    files = {"data.yaml": a_yaml(names=names, test="images/test", **keys)}
    for split in SPLITS:
        for number in range(draw(st.integers(1, 3))):
            stem = f"{split}/{number}"
            files[f"images/{stem}.jpg"] = with_number(draw(st.sampled_from(JPEGS)), len(files))
            text = draw(st.lists(rows(task, len(names)), min_size=int(not number), max_size=3))
            has_file = draw(st.booleans())
            if text or has_file:
                files[f"labels/{stem}.txt"] = "\n".join(text).encode()
    return task, files


@st.composite
def class_folders(draw: st.DrawFn) -> tuple[Task, Files]:
    """Draw the files of a valid dataset for classification."""
    names = draw(st.lists(st.sampled_from("abc déÜ雪1-"), min_size=1, max_size=4, unique=True))
    kept = draw(st.lists(st.sampled_from(names), max_size=3))
    files: Files = {}
    for split, used in (("train", names + kept), ("val", kept or names[:1])):
        for name in used:
            path = f"{split}/x{name}/{len(files):03d}.jpg"
            files[path] = with_number(draw(st.sampled_from(JPEGS)), len(files))
    return "classify", files
