import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.datasets.reports.finding_codes import Code
from app.datasets.verification.formats.other_formats import image_folder
from tests.datasets.builders import Files
from tests.datasets.verdicts import Verify, codes
from tests.datasets.verification.other_formats.conftest import OpenUpload, ReadBy

IMAGE = b"an image that is not decoded here"
OBJECTS = {"bbox": [[10, 5, 20, 20]], "categories": ["disc"]}


def with_images(*rows: object, folder: str = "") -> Files:
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    return {
        f"{folder}metadata.jsonl": lines.encode(),
        f"{folder}a.jpg": IMAGE,
        f"{folder}b.jpg": IMAGE,
    }


class TestImageFolder:
    def test_objects_have_boxes_as_in_coco(self, read_by: ReadBy) -> None:
        reading = read_by(image_folder, with_images({"file_name": "a.jpg", "objects": OBJECTS}))

        assert reading.rows("a.jpg") == [[0, 20, 15, 20, 20]]
        assert reading.image("a.jpg").in_pixels
        assert reading.counts() == {None: 2}

    def test_folders_name_the_splits(self, read_by: ReadBy) -> None:
        row = {"file_name": "a.jpg", "objects": OBJECTS}
        files = with_images(row, folder="train/") | with_images(row, folder="validation/")

        assert read_by(image_folder, files).counts() == {"train": 2, "val": 2}

    def test_labels_make_a_classification(self, read_by: ReadBy) -> None:
        rows = ({"file_name": "a.jpg", "label": "ring"}, {"file_name": "b.jpg", "label": "disc"})

        reading = read_by(image_folder, with_images(*rows))

        assert reading.source is not None
        assert (reading.source.task, reading.source.names) == ("classify", ["disc", "ring"])
        assert reading.image("a.jpg").label == 1

    def test_csv_has_objects_as_json(self, read_by: ReadBy) -> None:
        objects = json.dumps(OBJECTS).replace('"', '""')
        files = {"metadata.csv": f'file_name,objects\na.jpg,"{objects}"\n'.encode(), "a.jpg": IMAGE}

        assert read_by(image_folder, files).rows("a.jpg") == [[0, 20, 15, 20, 20]]

    def test_metadata_of_captions_is_not_recognised(self, read_by: ReadBy) -> None:
        files = with_images({"file_name": "a.jpg", "text": "a disc"})

        assert read_by(image_folder, files).files == []

    @pytest.mark.parametrize(
        "objects",
        [
            {"bbox": [[1, 2, 3]], "categories": ["disc"]},
            {"bbox": [["x", 2, 3, 4]], "categories": ["disc"]},
            {"bbox": [[1, 2, 3, 10**400]], "categories": ["disc"]},
            {"bbox": [[1, 2, 3, 4]], "categories": []},
            {"bbox": 7, "categories": ["disc"]},
        ],
    )
    def test_objects_of_another_shape_are_reported_with_their_line(
        self, read_by: ReadBy, objects: object
    ) -> None:
        rows = (
            {"file_name": "b.jpg", "objects": OBJECTS},
            {"file_name": "a.jpg", "objects": objects},
        )

        reading = read_by(image_folder, with_images(*rows))

        assert [(each.code, each.line) for each in reading.findings] == [("annotation-ignored", 2)]

    def test_a_class_that_is_no_folder_is_refused(self, verified: Verify) -> None:
        rows = [{"file_name": "a.jpg", "label": "../up"}, {"file_name": "b.jpg", "label": "up"}]

        report = verified(with_images(*rows))

        assert Code.CLASS_NAME_INVALID in codes(report)

    @settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        row=st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=5),
            lambda inside: (
                st.lists(inside, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["file_name", "objects", "bbox", "label"]), inside
                )
            ),
            max_leaves=8,
        )
    )
    def test_any_json_ends_in_a_finding_or_a_source(
        self, an_upload: OpenUpload, row: object
    ) -> None:
        upload = an_upload(with_images(row))

        source = image_folder.read(upload, ["metadata.jsonl"])

        assert source is not None or upload.findings.kept()
