"""No JSON of any kind makes a reader raise."""

from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.datasets.verification.formats.json_formats import (
    coco,
    createml,
    label_studio,
    labelme,
    ndjson,
    supervisely,
)
from tests.datasets.json_uploads import as_json, pictures
from tests.datasets.verification.json_formats.conftest import Read

FORMS = {
    coco: ("images", "annotations", "categories"),
    labelme: ("shapes", "imagePath", "imageWidth", "imageHeight"),
    supervisely: ("objects", "size"),
}
KEYS = (
    *("id", "file_name", "width", "height", "image_id", "category_id", "bbox", "segmentation"),
    *("counts", "size", "keypoints", "iscrowd", "name", "supercategory", "label", "points"),
    *("shape_type", "group_id", "mask", "classTitle", "exterior", "bitmap", "data", "origin"),
    *("image", "annotations", "annotation", "coordinates", "x", "y", "result", "value", "rotation"),
    *("rectanglelabels", "original_width", "original_height", "rle", "file", "split", "boxes"),
)
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    2.5,
    1e308,
    10**400,
    "",
    "a.jpg",
    "7",
    "\x00",
    "../a.jpg",
    [],
    {},
)
SCALARS = st.sampled_from(ODD)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=20,
)
KEYED = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8)


def reads(read: Read, form: ModuleType, content: bytes) -> None:
    """Read the bytes as a file of the format, recognised or not."""
    read(form, {**pictures("a.jpg"), "x.json": content}, files=["x.json"])


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__.rpartition(".")[2])
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.data())
def test_an_object_of_odd_values_never_raises(
    read: Read, form: ModuleType, content: st.DataObject
) -> None:
    keys = FORMS[form]
    body = {key: content.draw(st.lists(KEYED, max_size=3) | VALUES) for key in keys}

    reads(read, form, as_json(body))


@pytest.mark.parametrize("form", [createml, label_studio], ids=["createml", "label_studio"])
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(entries=st.lists(KEYED | VALUES, max_size=4))
def test_a_list_of_odd_values_never_raises(
    read: Read, form: ModuleType, entries: list[Any]
) -> None:
    reads(read, form, as_json(entries))


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(head=KEYED, entries=st.lists(KEYED | VALUES, max_size=4))
def test_lines_of_odd_values_never_raise(
    read: Read, head: dict[str, Any], entries: list[Any]
) -> None:
    body = [{**head, "type": "dataset"}, *entries]

    reads(read, ndjson, b"\n".join(map(as_json, body)))


@pytest.mark.parametrize(
    "content",
    [b"", b"[", b"\xff\xfe", b"[" * 100_000, b'{"shapes": [' + b"{" * 5000, b"9" * 5000, b"nul"],
    ids=["empty", "cut", "utf16", "deep", "deep-shapes", "digits", "word"],
)
@pytest.mark.parametrize(
    "form",
    [coco, labelme, supervisely, createml, label_studio, ndjson],
    ids=lambda form: form.__name__.rpartition(".")[2],
)
def test_bytes_that_are_not_json_never_raise(read: Read, form: ModuleType, content: bytes) -> None:
    reads(read, form, content)
