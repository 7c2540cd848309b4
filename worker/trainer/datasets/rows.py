"""A scan as a file: the results of Ultralytics' own verification of each image, as plain arrays.

The file is an .npz without pickles. Texts are JSON in arrays of bytes. Paths are relative to the
dataset's folder, and so are those in messages: `ROOT` stands for the folder.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from app.core.files import whole_file

ROOT: Final = "\0"
"""Stands for the dataset's folder in a message; no message of Ultralytics contains it."""
FORMAT: Final = 1

Kind = Literal["labels", "masks", "depth", "classes"]
Result: TypeAlias = Sequence[Any]
"""What a verification of Ultralytics returns for an image (8.4.190, data/utils.py:303-515)."""
Array: TypeAlias = npt.NDArray[Any]


class ScanDamaged(Exception):
    """The file is not the scan that it should be; the text is a clause that says why."""


@dataclass(frozen=True)
class Settings:
    """What the results depend on besides the files: a kind of scan, and its arguments as JSON."""

    kind: Kind
    arguments: str


@dataclass(frozen=True)
class Scan:
    """The results of all images of a dataset, by the paths of the images.

    `settings` are those of the training split; the validation split has the same.
    """

    settings: Settings
    paths: list[str]
    columns: Mapping[str, Array]

    @classmethod
    def of(cls, settings: Settings, results: Mapping[str, Result], folder: Path) -> Self:
        """Return the scan of images below `folder`, from the results by absolute path."""
        start = len(str(folder)) + 1
        paths = [path[start:] for path in results]
        found = list(results.values())
        return cls(settings, paths, _COLUMNS[settings.kind](found, str(folder)))

    @classmethod
    def read(cls, file: Path, sha256: str) -> Self:
        """Read a scan.

        Raises:
            ScanDamaged: The file is missing, or has another digest, or another format.
        """
        try:
            content = file.read_bytes()
        except OSError as error:
            raise ScanDamaged(f"it cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ScanDamaged("its bytes have another digest")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            columns = {name: arrays[name] for name in arrays.files}
        head = _json_in(columns.pop("head"))
        if head["format"] != FORMAT:
            raise ScanDamaged(f"its format is {head['format']}")
        return cls(Settings(head["kind"], head["arguments"]), head["paths"], columns)

    def write(self, file: Path) -> str:
        """Write the scan to a file, and return the SHA-256 of its bytes."""
        head = {
            "format": FORMAT,
            "kind": self.settings.kind,
            "arguments": self.settings.arguments,
            "paths": self.paths,
        }
        columns: dict[str, Any] = {"head": _as_json(head), **self.columns}
        written = io.BytesIO()
        np.savez(written, **columns)
        content = written.getvalue()
        with whole_file(file) as opened:
            opened.write(content)
        return hashlib.sha256(content).hexdigest()

    def results(self, folder: Path) -> Iterator[tuple[str, Result]]:
        """Yield path and result of each image, as Ultralytics gives them for files in `folder`.

        Messages have no prefix.
        """
        absolute = [f"{folder}/{path}" for path in self.paths]
        yield from zip(
            absolute,
            _RESULTS[self.settings.kind](absolute, self.columns, str(folder)),
            strict=True,
        )


def _label_columns(found: Sequence[Result], folder: str) -> dict[str, Array]:
    kept = [result for result in found if result[0] is not None]
    segments = [segment for result in kept for segment in result[3]]
    columns = {
        **_shared(found, [result[2] for result in found], folder, counts=slice(5, 9)),
        "boxes": _joined([result[1] for result in kept], (0, 5)),
        "boxes_of": np.array([len(result[1]) for result in kept], dtype=np.int64),
        "points": _joined(segments, (0, 2)),
        "points_of": np.array([len(segment) for segment in segments], dtype=np.int64),
        "segments_of": np.array([len(result[3]) for result in kept], dtype=np.int64),
    }
    keypoints = [result[4] for result in kept]
    if keypoints and keypoints[0] is not None:
        columns["keypoints"] = np.concatenate(keypoints)
    return columns


def _label_results(paths: list[str], columns: Mapping[str, Array], folder: str) -> Iterator[Result]:
    boxes = _parts(columns["boxes"], columns["boxes_of"])
    keypoints = None
    if "keypoints" in columns:
        keypoints = _parts(columns["keypoints"], columns["boxes_of"])
    segments = list(_parts(columns["points"], columns["points_of"]))
    of_images = pairwise(_ends(columns["segments_of"]))
    for path, shape, counts, message in _each(paths, columns, folder):
        if shape is None:
            yield [None, None, None, None, None, *counts, message]
        else:
            start, end = next(of_images)
            points = None if keypoints is None else next(keypoints)
            yield path, next(boxes), shape, segments[start:end], points, *counts, message


def _mask_columns(found: Sequence[Result], folder: str) -> dict[str, Array]:
    masks = [None if each[1] is None else each[1].replace(folder, ROOT) for each in found]
    return {
        **_shared(found, [result[2] for result in found], folder, counts=slice(4, 7)),
        "masks": _as_json(masks),
        "modes": _as_json([result[3] for result in found]),
    }


def _mask_results(paths: list[str], columns: Mapping[str, Array], folder: str) -> Iterator[Result]:
    masks, modes = _json_in(columns["masks"]), _json_in(columns["modes"])
    rows = zip(_each(paths, columns, folder), masks, modes, strict=True)
    for (path, shape, counts, message), mask, mode in rows:
        if shape is None:
            yield None, None, None, None, *counts, message
        else:
            yield path, mask.replace(ROOT, folder), shape, mode, *counts, message


def _depth_columns(found: Sequence[Result], folder: str) -> dict[str, Array]:
    return _shared(found, [result[1] for result in found], folder, counts=slice(2, 5))


def _depth_results(paths: list[str], columns: Mapping[str, Array], folder: str) -> Iterator[Result]:
    for path, shape, counts, message in _each(paths, columns, folder):
        yield path if shape else None, shape, *counts, message


def _class_columns(found: Sequence[Result], folder: str) -> dict[str, Array]:
    return _shared(found, [None] * len(found), folder, counts=slice(1, 3))


def _class_results(paths: list[str], columns: Mapping[str, Array], folder: str) -> Iterator[Result]:
    for path, _, counts, message in _each(paths, columns, folder):
        yield path, *counts, message


def _shared(
    found: Sequence[Result],
    shapes: Sequence[tuple[int, int] | None],
    folder: str,
    *,
    counts: slice,
) -> dict[str, Array]:
    """Return the columns of every kind of scan: shapes (0, 0 if left out), counts, messages."""
    return {
        "shapes": np.array([shape or (0, 0) for shape in shapes], dtype=np.int64).reshape(-1, 2),
        "counts": np.array([result[counts] for result in found], dtype=np.uint8),
        "messages": _as_json([result[-1].replace(folder, ROOT) for result in found]),
    }


def _each(
    paths: list[str], columns: Mapping[str, Array], folder: str
) -> Iterator[tuple[str, tuple[int, int] | None, list[int], str]]:
    shapes, counts = columns["shapes"].tolist(), columns["counts"].tolist()
    rows = zip(paths, shapes, counts, _json_in(columns["messages"]), strict=True)
    for path, (height, width), numbers, message in rows:
        shape = (height, width) if height else None
        yield path, shape, numbers, message.replace(ROOT, folder) if message else message


def _joined(parts: Sequence[Array], empty: tuple[int, int]) -> Array:
    return np.concatenate(parts) if parts else np.zeros(empty, dtype=np.float32)


def _parts(whole: Array, lengths: Array) -> Iterator[Array]:
    return (whole[start:end] for start, end in pairwise(_ends(lengths)))


def _ends(lengths: Array) -> list[int]:
    return [0, *np.cumsum(lengths).tolist()]


def _as_json(value: object) -> Array:
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)


def _json_in(array: Array) -> Any:  # noqa: ANN401 -- what `_as_json` was given
    return json.loads(array.tobytes())


_COLUMNS: Final = {
    "labels": _label_columns,
    "masks": _mask_columns,
    "depth": _depth_columns,
    "classes": _class_columns,
}
_RESULTS: Final = {
    "labels": _label_results,
    "masks": _mask_results,
    "depth": _depth_results,
    "classes": _class_results,
}
